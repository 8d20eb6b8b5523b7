-- +goose Up

-- Counts the changes of what can be set, so that a change can be made on the condition that nobody made another one
-- meanwhile. Of publishers and streams it begins with the time of their creation: what is made again under an old name
-- has no revision that the old one had.
ALTER TABLE publishers ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
ALTER TABLE streams ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
ALTER TABLE recordings ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;

-- Answers to requests that came with an Idempotency-Key, for the same request to get again. Neither key nor answer can
-- be read from here: the one is hashed, the other is encrypted with what is derived from it.
CREATE TABLE replies (
    hash        TEXT   NOT NULL PRIMARY KEY, -- of who asked, and of the key
    fingerprint TEXT   NOT NULL,             -- of the request
    claim       TEXT   NOT NULL,             -- which process answers it
    lease_until BIGINT,                      -- of that process; null is answered
    answer      TEXT   NOT NULL,             -- encrypted; empty until it is answered
    expires_at  BIGINT NOT NULL
);

CREATE INDEX replies_by_expiry ON replies (expires_at);
