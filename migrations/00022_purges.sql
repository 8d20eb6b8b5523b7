-- +goose Up

-- What edges are to have forgotten, and since when: for edges that do not hear of it as it happens. A wider purge takes
-- the place of the narrower ones that it covers; stream and recording are empty where all are meant.
CREATE TABLE purges (
    publisher TEXT NOT NULL,
    stream TEXT NOT NULL,
    recording TEXT NOT NULL,
    purged_at BIGINT NOT NULL,
    PRIMARY KEY (publisher, stream, recording)
);
