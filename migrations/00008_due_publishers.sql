-- +goose Up

-- What is due of one publisher, and which publishers have something due: archivers divide their work among them. The
-- conditions stand in the claims' queries word for word.
CREATE INDEX recordings_to_archive_of ON recordings (cluster, publisher, archive_due)
    WHERE state IN ('ended', 'archiving') AND local AND archive_due IS NOT NULL;
CREATE INDEX recordings_to_drop_of ON recordings (cluster, publisher, drop_due)
    WHERE state = 'archived' AND local AND drop_due IS NOT NULL;
CREATE INDEX recordings_to_delete_of ON recordings (cluster, publisher, expire_due)
    WHERE state IN ('ended', 'archived', 'deleting') AND NOT keep AND NOT held AND expire_due IS NOT NULL;
