-- +goose Up

CREATE TABLE publishers (
    name       TEXT   NOT NULL PRIMARY KEY,
    settings   TEXT   NOT NULL, -- what the publisher set over the defaults, JSON
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE streams (
    publisher  TEXT    NOT NULL REFERENCES publishers (name),
    name       TEXT    NOT NULL,
    settings   TEXT    NOT NULL, -- what the stream sets over its publisher, JSON
    listed     BOOLEAN NOT NULL, -- the setting in force, kept here because SQL does not look into settings
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL,
    PRIMARY KEY (publisher, name)
);

CREATE TABLE stream_keys (
    id         TEXT   NOT NULL PRIMARY KEY,
    publisher  TEXT   NOT NULL,
    stream     TEXT   NOT NULL,
    hash       TEXT   NOT NULL UNIQUE, -- SHA-256 of the key, hex
    label      TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    FOREIGN KEY (publisher, stream) REFERENCES streams (publisher, name) ON DELETE CASCADE
);

CREATE INDEX stream_keys_stream ON stream_keys (publisher, stream);

CREATE TABLE tokens (
    id         TEXT   NOT NULL PRIMARY KEY,
    hash       TEXT   NOT NULL UNIQUE, -- SHA-256 of the token, hex
    label      TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

-- Recordings refer to no stream: a tombstone outlives its stream, and a show that is on storage has its row whatever
-- became of its stream meanwhile.
CREATE TABLE recordings (
    id           TEXT    NOT NULL PRIMARY KEY,
    publisher    TEXT    NOT NULL,
    stream       TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN
        ('live', 'interrupted', 'ended', 'archiving', 'archived', 'deleting', 'deleted')),
    started_at   BIGINT  NOT NULL,
    ended_at     BIGINT, -- null while it grows
    duration_ms  BIGINT  NOT NULL,
    bytes        BIGINT  NOT NULL,
    continues    TEXT    NOT NULL,
    keep         BOOLEAN NOT NULL,
    local        BOOLEAN NOT NULL,
    archive_due  BIGINT, -- null is never, for all three
    expire_due   BIGINT,
    drop_due     BIGINT,
    archived_at  BIGINT,
    deleted_at   BIGINT,
    attempts     BIGINT  NOT NULL,
    last_error   TEXT    NOT NULL,
    retry_at     BIGINT, -- not to be claimed before
    claim_action TEXT    NOT NULL,
    claim_owner  TEXT    NOT NULL,
    claim_epoch  BIGINT  NOT NULL,
    claim_until  BIGINT, -- null is unclaimed
    updated_at   BIGINT  NOT NULL
);

-- Listings. The id breaks ties, so that paging is exact.
CREATE INDEX recordings_by_start ON recordings (started_at, id) WHERE state <> 'deleted';
CREATE INDEX recordings_by_publisher ON recordings (publisher, started_at, id) WHERE state <> 'deleted';
CREATE INDEX recordings_by_stream ON recordings (publisher, stream, started_at, id) WHERE state <> 'deleted';
CREATE INDEX recordings_growing ON recordings (started_at, id) WHERE state IN ('live', 'interrupted');

-- What is due. The conditions stand in the claims' queries word for word.
CREATE INDEX recordings_to_archive ON recordings (archive_due) WHERE state IN ('ended', 'archiving') AND local;
CREATE INDEX recordings_to_drop ON recordings (drop_due) WHERE state = 'archived' AND local;
CREATE INDEX recordings_to_delete ON recordings (expire_due)
    WHERE state IN ('ended', 'archived', 'deleting') AND NOT keep;

-- Multipart uploads under way, noted before their first part.
CREATE TABLE uploads (
    recording  TEXT   NOT NULL REFERENCES recordings (id),
    object     TEXT   NOT NULL,
    upload_id  TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (recording, object, upload_id)
);
