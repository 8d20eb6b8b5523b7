-- +goose Up

-- The cluster whose storage has the recording: its archiver alone claims it. Whatever was there before clusters had
-- names is the default one's.
ALTER TABLE recordings ADD COLUMN cluster TEXT NOT NULL DEFAULT 'main';

-- What is due, and what grows, is asked for by cluster. The conditions stand in the queries word for word.
DROP INDEX recordings_to_archive;
DROP INDEX recordings_to_drop;
DROP INDEX recordings_to_delete;
CREATE INDEX recordings_to_archive ON recordings (cluster, archive_due) WHERE state IN ('ended', 'archiving') AND local;
CREATE INDEX recordings_to_drop ON recordings (cluster, drop_due) WHERE state = 'archived' AND local;
CREATE INDEX recordings_to_delete ON recordings (cluster, expire_due)
    WHERE state IN ('ended', 'archived', 'deleting') AND NOT keep;
CREATE INDEX recordings_growing_of ON recordings (cluster, started_at, id) WHERE state IN ('live', 'interrupted');
