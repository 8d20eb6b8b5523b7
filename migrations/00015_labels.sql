-- +goose Up

-- What people sort recordings by: the row has its labels as JSON to be told, the table to be found by.
ALTER TABLE recordings ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';

CREATE TABLE recording_labels (
    recording TEXT NOT NULL REFERENCES recordings (id),
    name      TEXT NOT NULL,
    value     TEXT NOT NULL,
    PRIMARY KEY (recording, name)
);

CREATE INDEX recording_labels_value ON recording_labels (name, value, recording);

-- The name in small letters, which SQL makes differently from database to database.
ALTER TABLE recordings ADD COLUMN name_folded TEXT NOT NULL DEFAULT '';
UPDATE recordings SET name_folded = LOWER(name) WHERE name <> '';

CREATE INDEX recordings_named ON recordings (started_at, id) WHERE name_folded <> '' AND state <> 'deleted';

-- Listings of what has ended, in other orders than that of the start. The conditions stand in the queries word for word.
CREATE INDEX recordings_by_end ON recordings (ended_at, id) WHERE ended_at IS NOT NULL AND state <> 'deleted';
CREATE INDEX recordings_by_duration ON recordings (duration_ms, id) WHERE ended_at IS NOT NULL AND state <> 'deleted';
CREATE INDEX recordings_by_bytes ON recordings (bytes, id) WHERE ended_at IS NOT NULL AND state <> 'deleted';
CREATE INDEX recordings_by_end_of ON recordings (publisher, ended_at, id)
    WHERE ended_at IS NOT NULL AND state <> 'deleted';
CREATE INDEX recordings_by_duration_of ON recordings (publisher, duration_ms, id)
    WHERE ended_at IS NOT NULL AND state <> 'deleted';
CREATE INDEX recordings_by_bytes_of ON recordings (publisher, bytes, id)
    WHERE ended_at IS NOT NULL AND state <> 'deleted';
