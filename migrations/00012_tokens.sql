-- +goose Up

-- What a token may do, and of which publisher it is: null is all. The tokens that are there may do everything. A token
-- that may less, or expires, has a hash that the version before does not find: there it would be an administrator's.
ALTER TABLE tokens ADD COLUMN publisher TEXT REFERENCES publishers (name) ON DELETE CASCADE;
ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT 'admin'; -- separated by spaces
ALTER TABLE tokens ADD COLUMN expires_at BIGINT;   -- null is never
ALTER TABLE tokens ADD COLUMN last_used_at BIGINT; -- to the minute; null is never

CREATE INDEX tokens_of_publisher ON tokens (publisher, id) WHERE publisher IS NOT NULL;
