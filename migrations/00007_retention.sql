-- +goose Up

-- What publishers (stream is empty) and streams set to bound their recordings, kept here because SQL does not look into
-- settings. Who bounds nothing has no row, and costs nothing.
CREATE TABLE retention_bounds (
    publisher   TEXT   NOT NULL,
    stream      TEXT   NOT NULL,
    most        BIGINT NOT NULL, -- finished recordings, and their bytes; 0 is no bound
    bytes       BIGINT NOT NULL,
    local_most  BIGINT NOT NULL, -- the cluster's copies of archived ones
    local_bytes BIGINT NOT NULL,
    local_free  BIGINT,          -- percent of the volume; null is what the publisher says
    judge_at    BIGINT,          -- when the recordings are to be compared with the bounds next; null is never
    PRIMARY KEY (publisher, stream)
);

CREATE INDEX retention_bounds_due ON retention_bounds (judge_at) WHERE judge_at IS NOT NULL;

-- Why the cluster's copy goes at drop_due; empty is that nobody knows. And when it goes by the archiver's grace, for the
-- time after a policy that came before it; null is never.
ALTER TABLE recordings ADD COLUMN drop_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE recordings ADD COLUMN drop_grace BIGINT;
UPDATE recordings SET drop_grace = drop_due, drop_reason = 'grace' WHERE drop_due IS NOT NULL;

-- What bounds count, newest first, and what they have marked. The conditions stand in the queries word for word.
CREATE INDEX recordings_bounded ON recordings (publisher, ended_at, id)
    WHERE state IN ('ended', 'archiving', 'archived');
CREATE INDEX recordings_bounded_local ON recordings (publisher, ended_at, id) WHERE state = 'archived' AND local;

-- What will be deleted, in its order.
CREATE INDEX recordings_to_expire ON recordings (expire_due, id)
    WHERE state <> 'deleted' AND expire_due IS NOT NULL;
