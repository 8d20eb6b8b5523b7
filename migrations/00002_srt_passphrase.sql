-- +goose Up

-- What SRT publishers of the stream must encrypt with; empty is the server's. SRT derives its keys from the text itself,
-- so a hash of it would be of no use.
ALTER TABLE streams ADD COLUMN srt_passphrase TEXT NOT NULL DEFAULT '';
