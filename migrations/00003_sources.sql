-- +goose Up

-- Where the server fetches streams that nobody pushes: one source per stream.
CREATE TABLE sources (
    publisher       TEXT    NOT NULL,
    stream          TEXT    NOT NULL,
    url             TEXT    NOT NULL, -- with its secrets, which the server needs
    mode            TEXT    NOT NULL CHECK (mode IN ('always', 'on_demand')),
    enabled         BOOLEAN NOT NULL,
    idle_timeout_ms BIGINT  NOT NULL,
    created_at      BIGINT  NOT NULL,
    updated_at      BIGINT  NOT NULL,
    PRIMARY KEY (publisher, stream),
    FOREIGN KEY (publisher, stream) REFERENCES streams (publisher, name) ON DELETE CASCADE
);
