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

// applyDues sets what follows for a recording from its end and the settings in force: when it is to be archived and
// where, when it expires, and whether it is held. What bounds many recordings together is not seen here.
func applyDues(r *media.Recording, s media.Settings) {
	r.Follow(s)
	r.ArchiveDue = r.EndedAt.Add(s.ArchiveDelay.D())
	if s.Record == media.RecordOff {
		r.ArchiveDue = time.Time{}
	}
	r.ExpireDue, r.ExpireReason = expiryOf(r.EndedAt, s)
	if r.Continuous {
		r.ArchiveDue = r.EndedAt
	}
}

// applySettings carries a publisher's changed settings to its streams and recordings.
func applySettings(ctx context.Context, tx *sql.Tx, p media.Publisher) error {
	streams, err := all(ctx, tx, scanStream, streamQuery+`WHERE s.publisher = $1`, p.Name)
	if err != nil {
		return err
	}
	if err := checkMirrors(p.Settings, streams...); err != nil {
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

// setDues computes anew, for the recordings of a stream, all that follows from its settings and was not yet acted on:
// archiving of those that wait for it, the dropping of copies of archived ones, expiry of all that are not being
// deleted. What a bound or a want of room had made due is due by its age again, until it is judged anew. Recordings
// that the archive has, or is getting, do not expire because nothing is recorded any more.
func setDues(ctx context.Context, tx *sql.Tx, path media.StreamPath, s media.Settings) error {
	// The dues of a recording that ended at the epoch are how long they come after the end.
	r := media.Recording{EndedAt: time.UnixMilli(0)}
	applyDues(&r, s)
	after := func(due time.Time) sql.Null[int64] {
		return sql.Null[int64]{V: due.UnixMilli(), Valid: !due.IsZero()}
	}
	_, err := changed(ctx, tx, `
		UPDATE recordings SET
			archive_due = CASE WHEN state = 'ended' THEN ended_at + $1 ELSE archive_due END,
			expire_due = ended_at + CASE WHEN `+begun+` THEN CAST($10 AS BIGINT) ELSE CAST($2 AS BIGINT) END,
			expire_reason = CASE WHEN ended_at IS NULL THEN '' WHEN `+begun+` THEN CAST($11 AS TEXT)
				ELSE CAST($3 AS TEXT) END,
			held = $4,
			continuous = CASE WHEN state IN ('live', 'interrupted', 'ended') THEN $5 ELSE continuous END,
			archive = CASE WHEN `+begun+` THEN archive ELSE $6 END,
			mirror = CASE WHEN `+begun+` THEN mirror ELSE $7 END
		WHERE publisher = $8 AND stream = $9 AND state IN ('live', 'interrupted', 'ended', 'archiving', 'archived')`,
		after(r.ArchiveDue), after(r.ExpireDue), r.ExpireReason, r.Held, r.Continuous, r.Archive, r.Mirror,
		path.Publisher, path.Stream, after(retained(r.EndedAt, s)), reasonOfAge(s))
	if err != nil {
		return err
	}
	local := sql.Null[int64]{V: s.LocalRetention.D().Milliseconds(), Valid: s.LocalRetention > 0}
	_, err = changed(ctx, tx, `
		UPDATE recordings SET
			drop_due = CASE WHEN CAST($1 AS BIGINT) IS NULL THEN drop_grace ELSE archived_at + CAST($1 AS BIGINT) END,
			drop_reason = CASE WHEN CAST($1 AS BIGINT) IS NOT NULL THEN 'local_retention'
				WHEN drop_grace IS NULL THEN '' ELSE 'grace' END
		WHERE publisher = $2 AND stream = $3 AND state = 'archived' AND local`, local, path.Publisher, path.Stream)
	return err
}
