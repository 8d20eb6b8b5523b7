-- +goose Up

-- The setting group, kept here because SQL does not look into settings: the stream, of the same publisher, whose show
-- this one is a rendition of. Empty is its own.
ALTER TABLE streams ADD COLUMN member_of TEXT NOT NULL DEFAULT '';

CREATE INDEX streams_members ON streams (publisher, member_of, name) WHERE member_of <> '';
