package catalog

import (
	"context"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// SaveArchive tells how a store of a cluster's archivers fares. While its state stays the same, so does its Since.
func (db *DB) SaveArchive(ctx context.Context, a media.ArchiveStatus) error {
	if err := media.CheckArchiveName(a.Name); err != nil {
		return fmt.Errorf("save archive: %w", err)
	}
	_, err := changed(ctx, db.writes, `
		INSERT INTO archives (cluster, name, place, state, last_error, since, checked_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (cluster, name) DO UPDATE SET
			place = excluded.place, state = excluded.state, last_error = excluded.last_error,
			since = CASE WHEN archives.state = excluded.state THEN archives.since ELSE excluded.since END,
			checked_at = excluded.checked_at
		WHERE archives.checked_at <= excluded.checked_at`,
		a.Cluster, a.Name, a.Place, a.State, shortened(a.LastError), a.Since.UnixMilli(), a.CheckedAt.UnixMilli())
	if err != nil {
		return db.failed("save archive "+a.Name, err)
	}
	return nil
}

// Archives lists the stores of all clusters, by name and cluster.
func (db *DB) Archives(ctx context.Context) ([]media.ArchiveStatus, error) {
	list, err := all(ctx, db.reads, func(row scanner) (media.ArchiveStatus, error) {
		var a media.ArchiveStatus
		err := row.Scan(&a.Cluster, &a.Name, &a.Place, &a.State, &a.LastError, at{&a.Since}, at{&a.CheckedAt})
		return a, err
	}, `SELECT cluster, name, place, state, last_error, since, checked_at FROM archives ORDER BY name, cluster`)
	if err != nil {
		return nil, db.failed("list archives", err)
	}
	return list, nil
}

// RemoveArchives forgets the stores of a cluster that no archiver has looked at since the given time: they are
// configured no more.
func (db *DB) RemoveArchives(ctx context.Context, cluster string, before time.Time) error {
	_, err := changed(ctx, db.writes, `DELETE FROM archives WHERE cluster = $1 AND checked_at < $2`,
		cluster, before.UnixMilli())
	if err != nil {
		return db.failed("remove archives of cluster "+shown(cluster), err)
	}
	return nil
}

// checkMirrors refuses settings in force by which a publisher's recordings, or those of one of its streams, would have
// their copy in the very store that they are in.
func checkMirrors(publisher media.SettingsPatch, streams ...media.Stream) error {
	if err := inForce(publisher, media.SettingsPatch{}).CheckMirror(); err != nil {
		return err
	}
	for _, s := range streams {
		if err := s.Settings.CheckMirror(); err != nil {
			return fmt.Errorf("stream %s: %w", s.Path.Stream, err)
		}
	}
	return nil
}
