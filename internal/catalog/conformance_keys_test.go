package catalog

import (
	"fmt"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func (s suite) testKeyExpiry(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	until := start.Add(time.Hour)
	added, err := db.AddKeyUntil(ctx, show, "guest", "key-1", until)
	noError(t, err)
	_, err = db.AddKey(ctx, show, "", "key-2")
	noError(t, err)
	keys, err := db.Keys(ctx, show)
	noError(t, err)
	same(t, "key", media.StreamKey{ID: added.ID, Path: show, Label: "guest", CreatedAt: start, ExpiresAt: until}, keys[0])
	got, err := db.AuthorizeKey(ctx, "key-1")
	noError(t, err)
	same(t, "grant", media.KeyGrant{ID: added.ID, ExpiresAt: until}, got.Key)
	for _, never := range []time.Time{start, start.Add(-time.Second), start.Add(maxKeyLife + time.Hour)} {
		_, err = db.AddKeyUntil(ctx, show, "", "key-3", never)
		wantField(t, err, "expires_at")
	}

	db.now = func() time.Time { return until.Add(-time.Millisecond) }
	_, err = db.AuthorizePath(ctx, show, "key-1")
	noError(t, err)
	db.now = func() time.Time { return until }
	_, err = db.AuthorizeKey(ctx, "key-1")
	wantError(t, err, media.ErrKeyExpired)
	wantError(t, err, media.ErrDenied)
	_, err = db.AuthorizePath(ctx, show, "key-1")
	wantError(t, err, media.ErrKeyExpired)
	_, err = db.AuthorizeKey(ctx, "key-2")
	noError(t, err)
	found, err := db.KeyExpiries(ctx, []string{keys[0].ID, keys[1].ID, "none"})
	noError(t, err)
	same(t, "expiries", map[string]time.Time{keys[0].ID: until, keys[1].ID: {}}, found)

	// Expired keys make room in a stream that is full of them.
	for n := 2; n < maxKeys; n++ {
		_, err = db.AddKey(ctx, show, "", fmt.Sprint("more-", n))
		noError(t, err)
	}
	_, err = db.AddKey(ctx, show, "", "one more")
	noError(t, err)
	keys, err = db.Keys(ctx, show)
	noError(t, err)
	same(t, "keys", maxKeys, len(keys))
	_, err = db.AddKey(ctx, show, "", "one too many")
	wantError(t, err, media.ErrConflict)
}

func (s suite) testRotateKey(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	first, err := db.AddKey(ctx, show, "studio", "key-1")
	noError(t, err)

	second, old, err := db.RotateKey(ctx, show, media.KeyRotation{ID: first.ID, Grace: time.Hour}, "key-2")
	noError(t, err)
	same(t, "new key", media.StreamKey{ID: second.ID, Path: show, Label: "studio", CreatedAt: start}, second)
	same(t, "old key's expiry", start.Add(time.Hour), old.ExpiresAt)
	for _, key := range []string{"key-1", "key-2"} {
		_, err = db.AuthorizeKey(ctx, key)
		noError(t, err)
	}
	// A second rotation shortens a grace, and never makes it longer.
	_, old, err = db.RotateKey(ctx, show, media.KeyRotation{ID: first.ID, Grace: 2 * time.Hour}, "key-3")
	noError(t, err)
	same(t, "old key's expiry", start.Add(time.Hour), old.ExpiresAt)
	_, old, err = db.RotateKey(ctx, show, media.KeyRotation{ID: first.ID, Grace: time.Minute}, "key-4")
	noError(t, err)
	same(t, "old key's expiry", start.Add(time.Minute), old.ExpiresAt)

	label, until := "truck", start.Add(24*time.Hour)
	last, old, err := db.RotateKey(ctx, show, media.KeyRotation{ID: second.ID, Label: &label, ExpiresAt: until}, "key-5")
	noError(t, err)
	same(t, "new key", media.StreamKey{ID: last.ID, Path: show, Label: "truck", CreatedAt: start, ExpiresAt: until}, last)
	same(t, "old key", second.ID, old.ID)
	_, err = db.AuthorizeKey(ctx, "key-2")
	wantError(t, err, media.ErrDenied)
	found, err := db.KeyExpiries(ctx, []string{second.ID, last.ID})
	noError(t, err)
	same(t, "expiries", map[string]time.Time{last.ID: until}, found)

	for _, c := range []struct {
		path media.StreamPath
		r    media.KeyRotation
		want string
	}{
		{show, media.KeyRotation{ID: last.ID, Grace: -1}, "grace"},
		{show, media.KeyRotation{ID: last.ID, Grace: maxKeyGrace + 1}, "grace"},
		{show, media.KeyRotation{ID: last.ID, ExpiresAt: start}, "expires_at"},
		{show, media.KeyRotation{ID: last.ID, Label: new("a\x00b")}, "label"},
		{show, media.KeyRotation{ID: second.ID}, ""},
		{media.StreamPath{Publisher: "acme", Stream: "none"}, media.KeyRotation{ID: last.ID}, ""},
	} {
		_, _, err := db.RotateKey(ctx, c.path, c.r, "key-6")
		if c.want == "" {
			wantError(t, err, media.ErrNotFound)
		} else {
			wantField(t, err, c.want)
		}
	}
	_, _, err = db.RotateKey(ctx, show, media.KeyRotation{ID: last.ID}, "key-4")
	wantError(t, err, media.ErrExists)
	_, err = db.AuthorizeKey(ctx, "key-5") // what failed removed nothing
	noError(t, err)
}

func (s suite) testKeyUses(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	k, err := db.AddKey(ctx, show, "", "key-1")
	noError(t, err)
	for _, c := range []struct{ used, want time.Duration }{
		{0, 0}, {59 * time.Second, 0}, {time.Minute, time.Minute}, {30 * time.Second, time.Minute},
		{time.Hour, time.Hour},
	} {
		noError(t, db.NoteKeyUses(ctx, map[string]time.Time{k.ID: start.Add(c.used), "gone": start}))
		keys, err := db.Keys(ctx, show)
		noError(t, err)
		same(t, fmt.Sprint("last use after one at ", c.used), start.Add(c.want), keys[0].LastUsedAt)
	}
}
