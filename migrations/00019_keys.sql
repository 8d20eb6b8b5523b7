-- +goose Up

-- Until when a stream key works, and when a publish was last begun with it; NULL is for ever, and never.
ALTER TABLE stream_keys ADD COLUMN expires_at BIGINT;
ALTER TABLE stream_keys ADD COLUMN last_used_at BIGINT;
