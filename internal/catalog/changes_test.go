package catalog

import (
	"context"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Changes of one thing alone, as most tests make them.

func (db *DB) SetKeep(ctx context.Context, id media.RecordingID, keep bool, revisions ...int64) (
	media.Recording, error,
) {
	return db.ChangeRecording(ctx, id, media.RecordingChange{Keep: &keep}, revisions...)
}

func (db *DB) UpdateStream(
	ctx context.Context, path media.StreamPath, patch media.SettingsPatch, revisions ...int64,
) (media.Stream, error) {
	return db.ChangeStream(ctx, path, media.StreamChange{Settings: patch}, revisions...)
}

func (db *DB) SetSRTPassphrase(ctx context.Context, path media.StreamPath, passphrase string) (media.Stream, error) {
	return db.ChangeStream(ctx, path, media.StreamChange{SRTPassphrase: &passphrase})
}
