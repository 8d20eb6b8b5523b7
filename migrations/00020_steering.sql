-- +goose Up

-- Where an operator sends viewers: those of a stream, of a publisher (stream is null), or all (both are). At most one
-- rule each, which the key makes sure of where null would not.
CREATE TABLE steering_rules (
    path       TEXT   NOT NULL PRIMARY KEY, -- publisher/stream, either of them empty where it is null
    publisher  TEXT   REFERENCES publishers (name) ON DELETE CASCADE,
    stream     TEXT,
    choices    TEXT   NOT NULL, -- JSON
    reason     TEXT   NOT NULL,
    expires_at BIGINT,          -- null is never
    updated_at BIGINT NOT NULL,
    FOREIGN KEY (publisher, stream) REFERENCES streams (publisher, name) ON DELETE CASCADE
);

CREATE INDEX steering_rules_of_stream ON steering_rules (publisher, stream);
