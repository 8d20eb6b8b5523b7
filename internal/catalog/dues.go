package catalog

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// inForce gives the settings of a stream: the defaults, over them its publisher's, over those its own.
func inForce(publisher, stream media.SettingsPatch) media.Settings {
	return media.DefaultSettings().Apply(publisher).Apply(stream)
}

// lockSettings gives the settings in force for a path, and keeps them from changing until the transaction ends. A
// stream or publisher that is gone sets nothing: its recordings still have to be archived.
func lockSettings(ctx context.Context, tx *sql.Tx, path media.StreamPath) (media.Settings, error) {
	p, err := lockPublisher(ctx, tx, path.Publisher)
	if err != nil && !errors.Is(err, media.ErrNotFound) {
		return media.Settings{}, err
	}
	s, err := stream(ctx, tx, path)
	if err != nil && !errors.Is(err, media.ErrNotFound) {
		return media.Settings{}, err
	}
	return inForce(p.Settings, s.Overrides), nil
}

// dues says when a recording that ended is to be archived and when it expires; zero is never.
func dues(ended time.Time, s media.Settings) (archive, expire time.Time) {
	archive = ended.Add(s.ArchiveDelay.D())
	if s.Retention > 0 {
		expire = ended.Add(s.Retention.D())
	}
	return archive, expire
}

// applySettings carries a publisher's changed settings to its streams and recordings.
func applySettings(ctx context.Context, tx *sql.Tx, p media.Publisher) error {
	streams, err := all(ctx, tx, scanStream, streamQuery+`WHERE s.publisher = $1`, p.Name)
	if err != nil {
		return err
	}
	known := make(map[string]media.Settings, len(streams))
	for _, s := range streams {
		known[s.Path.Stream] = s.Settings
		if _, err := changed(ctx, tx, `
			UPDATE streams SET listed = $1 WHERE publisher = $2 AND name = $3 AND listed <> $1`,
			s.Settings.Listed, s.Path.Publisher, s.Path.Stream); err != nil {
			return err
		}
	}
	// Streams as the recordings name them: a recording may have outlived its stream.
	names, err := all(ctx, tx, func(row scanner) (name string, err error) { err = row.Scan(&name); return name, err }, `
		SELECT DISTINCT stream FROM recordings WHERE publisher = $1 AND state <> 'deleted'`, p.Name)
	if err != nil {
		return err
	}
	for _, name := range names {
		settings, ok := known[name]
		if !ok {
			settings = inForce(p.Settings, media.SettingsPatch{})
		}
		if err := setDues(ctx, tx, media.StreamPath{Publisher: p.Name, Stream: name}, settings); err != nil {
			return err
		}
	}
	return nil
}

// setDues computes anew when the recordings of a stream are due that were not yet acted on: archiving of those that
// wait for it, expiry of all that are not being deleted.
func setDues(ctx context.Context, tx *sql.Tx, path media.StreamPath, s media.Settings) error {
	retention := sql.Null[int64]{V: s.Retention.D().Milliseconds(), Valid: s.Retention > 0}
	_, err := changed(ctx, tx, `
		UPDATE recordings SET
			archive_due = CASE WHEN state = 'ended' THEN ended_at + $1 ELSE archive_due END,
			expire_due = ended_at + $2
		WHERE publisher = $3 AND stream = $4 AND state IN ('ended', 'archiving', 'archived')`,
		s.ArchiveDelay.D().Milliseconds(), retention, path.Publisher, path.Stream)
	return err
}
