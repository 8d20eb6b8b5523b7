-- +goose Up

-- Who may watch, kept here because SQL does not look into settings: 'public' or 'signed'. A stream's own, empty where
-- it is its publisher's: what a version makes that knows nothing of this is under its publisher's policy.
ALTER TABLE publishers ADD COLUMN playback TEXT NOT NULL DEFAULT 'public';
ALTER TABLE streams ADD COLUMN playback TEXT NOT NULL DEFAULT '';

-- Keys of playback tokens. What verifies is needed by edges, so it is kept as it is.
CREATE TABLE playback_keys (
    publisher  TEXT   NOT NULL REFERENCES publishers (name) ON DELETE CASCADE,
    kid        TEXT   NOT NULL,
    algorithm  TEXT   NOT NULL CHECK (algorithm IN ('HS256', 'EdDSA')),
    verifies   TEXT   NOT NULL, -- base64: the secret of HS256, the public key of EdDSA
    signs      TEXT   NOT NULL, -- base64: the seed of an EdDSA key that was made here; else empty
    label      TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT, -- null is never
    PRIMARY KEY (publisher, kid)
);

-- Counts the changes of policies and keys, in the order of their commits: every transaction that makes one counts last,
-- but for the events' counter.
CREATE TABLE playback_version (
    name    TEXT   NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);
INSERT INTO playback_version (name, version) VALUES ('playback', 1);
