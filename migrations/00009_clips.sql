-- +goose Up

-- What people call it; clips may have one.
ALTER TABLE recordings ADD COLUMN name TEXT NOT NULL DEFAULT '';

-- A clip that is to be made, or to get a copy of its media; null is neither. And whether it has one: until then its
-- media is that of the recording that it is a clip of, which must not go before.
ALTER TABLE recordings ADD COLUMN clip_due BIGINT;
ALTER TABLE recordings ADD COLUMN clip_own BOOLEAN NOT NULL DEFAULT FALSE;

-- The condition stands in the claim's query word for word.
CREATE INDEX recordings_to_clip ON recordings (cluster, clip_due)
    WHERE clip_due IS NOT NULL AND state IN ('ended', 'archived');

-- The latest recording of a stream is never a clip.
CREATE INDEX recordings_shows ON recordings (publisher, stream, started_at, id)
    WHERE clip_of = '' AND state <> 'deleted';
