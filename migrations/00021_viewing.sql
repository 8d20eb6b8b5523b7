-- +goose Up

-- What edges saw of a recording in a minute; recording is '' for what of a stream names none, and run tells the edge's
-- processes apart. Figures are JSON: media.Viewing with its samples.
CREATE TABLE viewing_minutes (
    publisher TEXT   NOT NULL,
    stream    TEXT   NOT NULL,
    recording TEXT   NOT NULL,
    minute    BIGINT NOT NULL, -- when it begins, in Unix seconds
    edge      TEXT   NOT NULL,
    run       TEXT   NOT NULL,
    figures   TEXT   NOT NULL,
    PRIMARY KEY (publisher, stream, minute, recording, edge, run)
);
CREATE INDEX viewing_minutes_recording ON viewing_minutes (recording, minute);
CREATE INDEX viewing_minutes_minute ON viewing_minutes (minute);

-- The same of older hours, all edges together; its one sample is the peak.
CREATE TABLE viewing_hours (
    publisher TEXT   NOT NULL,
    stream    TEXT   NOT NULL,
    recording TEXT   NOT NULL,
    hour      BIGINT NOT NULL,
    figures   TEXT   NOT NULL,
    PRIMARY KEY (publisher, stream, hour, recording)
);
CREATE INDEX viewing_hours_recording ON viewing_hours (recording, hour);
CREATE INDEX viewing_hours_hour ON viewing_hours (hour);
