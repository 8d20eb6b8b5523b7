-- +goose Up

-- What happened, for webhooks, for whoever follows, and to be looked up later. Ids count up in the order of commits, so
-- that who reads on from an id misses nothing: they are drawn from event_counter under its row's lock, which a
-- transaction takes last.
CREATE TABLE events (
    id        BIGINT NOT NULL PRIMARY KEY,
    type      TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    publisher TEXT   NOT NULL, -- empty where it is of none, as the three below
    stream    TEXT   NOT NULL,
    recording TEXT   NOT NULL,
    cluster   TEXT   NOT NULL,
    data      TEXT   NOT NULL  -- what else is told of it, a JSON object
);

CREATE INDEX events_of_publisher ON events (publisher, id);
CREATE INDEX events_of_recording ON events (recording, id) WHERE recording <> '';
CREATE INDEX events_by_time ON events (at);

CREATE TABLE event_counter (
    name TEXT   NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO event_counter (name, last) VALUES ('events', 0);
