-- +goose Up

-- Where a recording is archived: the stores' names, by the settings in force until its archiving has begun.
ALTER TABLE recordings ADD COLUMN archive TEXT NOT NULL DEFAULT '';
ALTER TABLE recordings ADD COLUMN mirror TEXT NOT NULL DEFAULT '';
ALTER TABLE recordings ADD COLUMN archive_begun BOOLEAN NOT NULL DEFAULT FALSE;

-- Settings in force, kept here because SQL does not look into settings: it is to be uploaded while it grows, and it is
-- held against retention and deletion.
ALTER TABLE recordings ADD COLUMN continuous BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE recordings ADD COLUMN held BOOLEAN NOT NULL DEFAULT FALSE;

-- The archive has uploads of what it was while it grew: they can be completed without the cluster's storage.
ALTER TABLE recordings ADD COLUMN uploaded BOOLEAN NOT NULL DEFAULT FALSE;

-- Which policy set expire_due; empty is none.
ALTER TABLE recordings ADD COLUMN expire_reason TEXT NOT NULL DEFAULT '';

-- How far its archiving is: bytes that the archive has, of how many, and bytes per second.
ALTER TABLE recordings ADD COLUMN progress_done BIGINT NOT NULL DEFAULT 0;
ALTER TABLE recordings ADD COLUMN progress_total BIGINT NOT NULL DEFAULT 0;
ALTER TABLE recordings ADD COLUMN progress_rate BIGINT NOT NULL DEFAULT 0;
ALTER TABLE recordings ADD COLUMN progress_at BIGINT;

-- A clip: the recording whose media it shows, and from where to where on that one's timeline.
ALTER TABLE recordings ADD COLUMN clip_of TEXT NOT NULL DEFAULT '';
ALTER TABLE recordings ADD COLUMN clip_start_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE recordings ADD COLUMN clip_end_ms BIGINT NOT NULL DEFAULT 0;

CREATE INDEX recordings_clips ON recordings (clip_of, id) WHERE clip_of <> '' AND state <> 'deleted';

-- What is due. The conditions stand in the claims' queries word for word.
DROP INDEX recordings_to_delete;
CREATE INDEX recordings_to_delete ON recordings (cluster, expire_due)
    WHERE state IN ('ended', 'archived', 'deleting') AND NOT keep AND NOT held;
CREATE INDEX recordings_to_upload ON recordings (cluster, started_at, id)
    WHERE state IN ('live', 'interrupted') AND continuous;
CREATE INDEX recordings_to_salvage ON recordings (cluster, archive_due)
    WHERE state IN ('ended', 'archiving') AND NOT local AND uploaded;

-- The store that an upload is in.
ALTER TABLE uploads ADD COLUMN store TEXT NOT NULL DEFAULT '';

-- The stores that the archivers of each cluster were given, and how they fare.
CREATE TABLE archives (
    cluster    TEXT   NOT NULL,
    name       TEXT   NOT NULL, -- what the settings archive and mirror say; 'default' stands for the empty name
    place      TEXT   NOT NULL, -- where it is, without secrets
    state      TEXT   NOT NULL, -- ok, or what is wrong in a word
    last_error TEXT   NOT NULL,
    since      BIGINT NOT NULL, -- of the state
    checked_at BIGINT NOT NULL,
    PRIMARY KEY (cluster, name)
);
