-- +goose Up

-- What may be told again has a key, so that it is in the log once: a save that is repeated because nobody heard of its
-- commit, or a recording's history that the next owner tells.
ALTER TABLE events ADD COLUMN key TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX events_once ON events (key) WHERE key <> '';

-- The newest event that was pruned: who reads on from before it has missed some.
INSERT INTO event_counter (name, last) VALUES ('pruned', 0);

-- When recording.failed was last told; null when nothing has failed since what was to be done was done.
ALTER TABLE recordings ADD COLUMN failure_told BIGINT;
