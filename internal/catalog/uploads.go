package catalog

import (
	"context"

	"github.com/oxbow-video/oxbow/internal/media"
)

// SaveUpload notes a multipart upload, before its first part. An object may have several: each is remembered until it
// is removed, so that it can be aborted.
func (db *DB) SaveUpload(ctx context.Context, u media.Upload) error {
	if _, err := db.Recording(ctx, u.Recording); err != nil { // rows stay for ever, so it is still there below
		return db.failed("save upload", err)
	}
	_, err := changed(ctx, db.writes, `
		INSERT INTO uploads (recording, store, object, upload_id, created_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (recording, object, upload_id) DO NOTHING`,
		u.Recording, u.Store, u.Object, u.UploadID, db.now().UnixMilli())
	if err != nil {
		return db.failed("save upload of recording "+string(u.Recording), err)
	}
	return nil
}

// Uploads lists a recording's uploads, by object and of one object the oldest first.
func (db *DB) Uploads(ctx context.Context, id media.RecordingID) ([]media.Upload, error) {
	list, err := all(ctx, db.reads, func(row scanner) (media.Upload, error) {
		var u media.Upload
		err := row.Scan(&u.Recording, &u.Store, &u.Object, &u.UploadID)
		return u, err
	}, `SELECT recording, store, object, upload_id FROM uploads WHERE recording = $1
		ORDER BY object, created_at, upload_id`, id)
	if err != nil {
		return nil, db.failed("uploads of recording "+shown(string(id)), err)
	}
	return list, nil
}

// RemoveUpload forgets an upload that was completed or aborted. It may be repeated.
func (db *DB) RemoveUpload(ctx context.Context, u media.Upload) error {
	_, err := changed(ctx, db.writes, `
		DELETE FROM uploads WHERE recording = $1 AND object = $2 AND upload_id = $3 AND store = $4`,
		u.Recording, u.Object, u.UploadID, u.Store)
	if err != nil {
		return db.failed("remove upload of recording "+shown(string(u.Recording)), err)
	}
	return nil
}
