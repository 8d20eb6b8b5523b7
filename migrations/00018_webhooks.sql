-- +goose Up

-- Where events are sent.
CREATE TABLE webhooks (
    id            TEXT    NOT NULL PRIMARY KEY,
    publisher     TEXT    NOT NULL, -- whose events; empty is everybody's
    url           TEXT    NOT NULL,
    label         TEXT    NOT NULL,
    events        TEXT    NOT NULL, -- the types of events, a blank between; empty is all
    enabled       BOOLEAN NOT NULL,
    trusted       BOOLEAN NOT NULL, -- an administrator chose the URL: it may lie in private networks
    secret        TEXT    NOT NULL, -- in clear: it signs
    old_secret    TEXT    NOT NULL, -- signs too, until old_until
    old_until     BIGINT,
    created_at    BIGINT  NOT NULL,
    updated_at    BIGINT  NOT NULL,
    last_success  BIGINT,
    last_failure  BIGINT,
    failing_since BIGINT,           -- the first failure after the last success
    last_error    TEXT    NOT NULL DEFAULT ''
);

CREATE INDEX webhooks_of_publisher ON webhooks (publisher, id);

-- The outbox: an event that is to be sent to a webhook, or was. Nothing refers to webhooks by a key: their deletion
-- would wait for whoever enqueues, and the other way round.
CREATE TABLE deliveries (
    id          BIGINT NOT NULL PRIMARY KEY, -- counts up in the order of sending, by event_counter
    webhook     TEXT   NOT NULL,
    event       BIGINT NOT NULL,
    type        TEXT   NOT NULL,             -- the event's, which may outlive it in the log
    subject     TEXT   NOT NULL,             -- what the order matters for
    state       TEXT   NOT NULL,             -- waiting, delivered, failed
    enqueued_at BIGINT NOT NULL,
    done_at     BIGINT,
    attempts    BIGINT NOT NULL DEFAULT 0,
    tried_at    BIGINT,
    took_ms     BIGINT NOT NULL DEFAULT 0,
    status      BIGINT NOT NULL DEFAULT 0,   -- HTTP, of the last try; 0 is no answer
    answer      TEXT   NOT NULL DEFAULT '',  -- how the answer to the last try begins
    error       TEXT   NOT NULL DEFAULT ''
);

CREATE INDEX deliveries_waiting ON deliveries (webhook, subject, id) WHERE state = 'waiting';
CREATE INDEX deliveries_of_event ON deliveries (event) WHERE state = 'waiting';
CREATE INDEX deliveries_of_webhook ON deliveries (webhook, id);
CREATE INDEX deliveries_by_state ON deliveries (webhook, state, id) WHERE state <> 'waiting';
CREATE INDEX deliveries_done ON deliveries (done_at) WHERE done_at IS NOT NULL;

-- What waits for one webhook of one subject: there is a row while anything does. It is claimed as a whole, so that
-- only its oldest delivery is under way.
CREATE TABLE delivery_queues (
    webhook TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    next_at BIGINT NOT NULL, -- when it is due: for a retry, or because whoever claimed it is gone
    epoch   BIGINT NOT NULL, -- counts claims and their ends
    owner   TEXT   NOT NULL, -- who claimed it; empty is nobody
    PRIMARY KEY (webhook, subject)
);

CREATE INDEX delivery_queues_due ON delivery_queues (webhook, next_at);
CREATE INDEX delivery_queues_next ON delivery_queues (next_at);

INSERT INTO event_counter (name, last) VALUES ('deliveries', 0);
