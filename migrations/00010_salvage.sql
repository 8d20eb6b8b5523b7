-- +goose Up

-- What is to be archived without the cluster's storage, of one publisher: see 00008.
CREATE INDEX recordings_to_salvage_of ON recordings (cluster, publisher, archive_due)
    WHERE state IN ('ended', 'archiving') AND NOT local AND uploaded AND archive_due IS NOT NULL;
