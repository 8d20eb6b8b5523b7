package catalog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func (s suite) testPublishers(t *testing.T) {
	ctx := t.Context()
	db := s.fresh(t)
	none, err := db.Publishers(ctx, "", 0)
	noError(t, err)
	same(t, "list of none", 0, len(none))

	want := media.Publisher{
		Name: "acme", CreatedAt: start, UpdatedAt: start, Revision: start.UnixMilli(),
		Settings: media.SettingsPatch{ArchiveDelay: span(time.Second), Listed: new(true)},
	}
	noError(t, db.CreatePublisher(ctx, want))
	got, err := db.Publisher(ctx, "acme")
	noError(t, err)
	same(t, "publisher", want, got)

	for _, name := range []string{"zebra", "beta"} {
		noError(t, db.CreatePublisher(ctx, media.Publisher{Name: name}))
	}
	var names []string
	for after := ""; ; {
		page, err := db.Publishers(ctx, after, 2)
		noError(t, err)
		for _, p := range page {
			names = append(names, p.Name)
		}
		if len(page) < 2 {
			break
		}
		after = page[1].Name
	}
	same(t, "names", []string{"acme", "beta", "zebra"}, names)

	noError(t, db.DeletePublisher(ctx, "beta"))
	_, err = db.Publisher(ctx, "beta")
	wantError(t, err, media.ErrNotFound)
}

func (s suite) testPublisherRefusals(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	wantError(t, db.CreatePublisher(ctx, media.Publisher{Name: "acme"}), media.ErrExists, "acme")
	wantError(t, db.CreatePublisher(ctx, media.Publisher{Name: "Acme"}), media.ErrBadName)
	wantError(t, db.CreatePublisher(ctx, media.Publisher{Name: "v1"}), media.ErrBadName, "reserved")
	bad := media.SettingsPatch{ReconnectWindow: span(time.Hour)}
	wantField(t, db.CreatePublisher(ctx, media.Publisher{Name: "other", Settings: bad}), "reconnect_window")
	_, err := db.UpdatePublisher(ctx, "acme", bad)
	wantField(t, err, "reconnect_window")
	_, err = db.UpdatePublisher(ctx, "other", media.SettingsPatch{})
	wantError(t, err, media.ErrNotFound, "other")
	wantError(t, db.DeletePublisher(ctx, "other"), media.ErrNotFound)
	for _, limit := range []int{-1, 1001} {
		_, err = db.Publishers(ctx, "", limit)
		wantField(t, err, "limit")
		_, err = db.Streams(ctx, "acme", "", limit)
		wantField(t, err, "limit")
	}
}

func (s suite) testStreams(t *testing.T) {
	ctx := t.Context()
	db := s.fresh(t)
	noError(t, db.CreatePublisher(ctx, media.Publisher{
		Name:     "acme",
		Settings: media.SettingsPatch{ArchiveDelay: span(time.Minute), Retention: span(time.Hour)},
	}))
	overrides := media.SettingsPatch{Retention: span(2 * time.Hour), EndOnUnpublish: new(false)}
	settings := media.DefaultSettings()
	settings.ArchiveDelay = media.Span(time.Minute)
	settings.Retention = media.Span(2 * time.Hour)
	settings.EndOnUnpublish = false
	want := media.Stream{
		Path: show, CreatedAt: start, UpdatedAt: start, Revision: start.UnixMilli(), Overrides: overrides, Settings: settings,
	}

	created, err := db.CreateStream(ctx, show, overrides)
	noError(t, err)
	same(t, "created stream", want, created)
	got, err := db.Stream(ctx, show)
	noError(t, err)
	same(t, "stream", want, got)

	// What the publisher sets goes through to what the stream does not set.
	db.now = func() time.Time { return start.Add(time.Second) }
	_, err = db.UpdatePublisher(ctx, "acme", media.SettingsPatch{
		ArchiveDelay: span(time.Second), Retention: span(3 * time.Hour),
	})
	noError(t, err)
	want.Settings.ArchiveDelay = media.Span(time.Second)
	got, err = db.Stream(ctx, show)
	noError(t, err)
	same(t, "stream after its publisher's update", want, got)

	for _, name := range []string{"zulu", "alpha"} {
		_, err := db.CreateStream(ctx, media.StreamPath{Publisher: "acme", Stream: name}, media.SettingsPatch{})
		noError(t, err)
	}
	page, err := db.Streams(ctx, "acme", "alpha", 1)
	noError(t, err)
	same(t, "page", []media.Stream{want}, page)
	list, err := db.Streams(ctx, "acme", "", 0)
	noError(t, err)
	same(t, "number of streams", 3, len(list))

	noError(t, db.DeleteStream(ctx, show))
	_, err = db.Stream(ctx, show)
	wantError(t, err, media.ErrNotFound, "acme/show")
}

func (s suite) testStreamRefusals(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	nobodys := media.StreamPath{Publisher: "nobody", Stream: "show"}
	_, err := db.CreateStream(ctx, show, media.SettingsPatch{})
	wantError(t, err, media.ErrExists, "acme/show")
	_, err = db.CreateStream(ctx, nobodys, media.SettingsPatch{})
	wantError(t, err, media.ErrNotFound, "publisher")
	_, err = db.CreateStream(ctx, media.StreamPath{Publisher: "acme", Stream: "a/b"}, media.SettingsPatch{})
	wantError(t, err, media.ErrBadName)
	_, err = db.CreateStream(ctx, show, media.SettingsPatch{Latency: new("none")})
	wantField(t, err, "latency")
	_, err = db.UpdateStream(ctx, show, media.SettingsPatch{Latency: new("none")})
	wantField(t, err, "latency")
	_, err = db.UpdateStream(ctx, nobodys, media.SettingsPatch{})
	wantError(t, err, media.ErrNotFound)
	_, err = db.Streams(ctx, "nobody", "", 0)
	wantError(t, err, media.ErrNotFound)
	wantError(t, db.DeleteStream(ctx, nobodys), media.ErrNotFound)
}

func (s suite) testUpdateMerges(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	db.now = func() time.Time { return start.Add(time.Minute) }
	_, err := db.UpdatePublisher(ctx, "acme", media.SettingsPatch{Listed: new(true), Retention: span(time.Hour)})
	noError(t, err)
	p, err := db.UpdatePublisher(ctx, "acme", media.SettingsPatch{Retention: span(0)})
	noError(t, err)
	want := media.Publisher{
		Name: "acme", CreatedAt: start, UpdatedAt: start.Add(time.Minute), Revision: start.UnixMilli() + 2,
		Settings: media.SettingsPatch{Listed: new(true), Retention: span(0)},
	}
	same(t, "returned publisher", want, p)
	p, err = db.Publisher(ctx, "acme")
	noError(t, err)
	same(t, "publisher", want, p)

	_, err = db.UpdateStream(ctx, show, media.SettingsPatch{Listed: new(false)})
	noError(t, err)
	returned, err := db.UpdateStream(ctx, show, media.SettingsPatch{Retention: span(time.Minute)})
	noError(t, err)
	stored, err := db.Stream(ctx, show)
	noError(t, err)
	same(t, "stream", returned, stored)
	same(t, "overrides", media.SettingsPatch{Listed: new(false), Retention: span(time.Minute)}, stored.Overrides)
	same(t, "listed in force", false, stored.Settings.Listed)
	same(t, "retention in force", media.Span(time.Minute), stored.Settings.Retention)
}

func (s suite) testSRTPassphrase(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	const passphrase = "correct horse battery"
	key, err := db.AddKey(ctx, show, "", "secret")
	noError(t, err)
	set, err := db.SetSRTPassphrase(ctx, show, passphrase)
	noError(t, err)
	same(t, "passphrase", passphrase, set.SRTPassphrase)
	updated, err := db.UpdateStream(ctx, show, media.SettingsPatch{Listed: new(true)})
	noError(t, err)
	same(t, "passphrase after an update of settings", passphrase, updated.SRTPassphrase)
	updated.Key = media.KeyGrant{ID: key.ID} // whose answers the next are
	byKey, err := db.AuthorizeKey(ctx, "secret")
	noError(t, err)
	if byKey.Key.ID == "" {
		t.Error("it does not say which key it was")
	}
	updated.Key = byKey.Key
	same(t, "stream of a key", updated, byKey)
	byPath, err := db.AuthorizePath(ctx, show, "secret")
	noError(t, err)
	same(t, "stream of a path", updated, byPath)

	for _, bad := range []string{"too short", strings.Repeat("x", 80)} {
		_, err := db.SetSRTPassphrase(ctx, show, bad)
		wantField(t, err, "srt_passphrase")
	}
	_, err = db.SetSRTPassphrase(ctx, media.StreamPath{Publisher: "acme", Stream: "other"}, passphrase)
	wantError(t, err, media.ErrNotFound)
	removed, err := db.SetSRTPassphrase(ctx, show, "")
	noError(t, err)
	same(t, "removed passphrase", "", removed.SRTPassphrase)
}

func (s suite) testDeleteConflicts(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	wantError(t, db.DeletePublisher(ctx, "acme"), media.ErrConflict, "1 stream", "show")
	save(t, db, growing(ended(0), media.Live))
	wantError(t, db.DeleteStream(ctx, show), media.ErrConflict, "live", "stop publishing")
	save(t, db, ended(0))
	wantError(t, db.DeleteStream(ctx, show), media.ErrConflict, "1 recording", string(recordingID(0)))
	save(t, db, ended(1))
	wantError(t, db.DeleteStream(ctx, show), media.ErrConflict, "2 recordings")

	for n := range 2 {
		_, err := db.RequestDelete(ctx, recordingID(n))
		noError(t, err)
	}
	noError(t, db.FinishClaim(ctx, claim(t, db, "a", start), time.Time{}))
	_, err := db.AddKey(ctx, show, "", "secret")
	noError(t, err)
	noError(t, db.DeleteStream(ctx, show)) // one tombstone and one on its way
	_, err = db.AuthorizeKey(ctx, "secret")
	wantError(t, err, media.ErrDenied)
	noError(t, db.FinishClaim(ctx, claim(t, db, "a", start), time.Time{}))
	same(t, "tombstone", media.Deleted, read(t, db, recordingID(0)).State)

	// A show that was saved after its stream had gone.
	save(t, db, ended(2))
	wantError(t, db.DeletePublisher(ctx, "acme"), media.ErrConflict, "1 recording")
	_, err = db.RequestDelete(ctx, recordingID(2))
	noError(t, err)
	noError(t, db.DeletePublisher(ctx, "acme"))
	same(t, "tombstone of nobody", media.Deleted, read(t, db, recordingID(0)).State)
}

func (s suite) testKeys(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	other := media.StreamPath{Publisher: "acme", Stream: "other"}
	_, err := db.CreateStream(ctx, other, media.SettingsPatch{Latency: new(media.LatencyStandard)})
	noError(t, err)
	first, err := db.AddKey(ctx, show, "studio", "key-1")
	noError(t, err)
	_, err = db.AddKey(ctx, show, "spare", "key-2")
	noError(t, err)
	_, err = db.AddKey(ctx, other, "", "key-3")
	noError(t, err)

	keys, err := db.Keys(ctx, show)
	noError(t, err)
	same(t, "number of keys", 2, len(keys))
	same(t, "key", media.StreamKey{ID: first.ID, Path: show, Label: "studio", CreatedAt: start}, keys[0])

	for key, path := range map[string]media.StreamPath{"key-1": show, "key-2": show, "key-3": other} {
		want, err := db.Stream(ctx, path)
		noError(t, err)
		got, err := db.AuthorizeKey(ctx, key)
		noError(t, err)
		if got.Key.ID == "" {
			t.Errorf("%s: its id is not told", key)
		}
		want.Key = media.KeyGrant{ID: got.Key.ID}
		same(t, "stream of "+key, want, got)
		got, err = db.AuthorizePath(ctx, path, key)
		noError(t, err)
		same(t, "stream of path and "+key, want, got)
	}
	for _, key := range []string{"", "key-4", "KEY-1", strings.Repeat("k", 1<<16)} {
		_, err = db.AuthorizeKey(ctx, key)
		wantError(t, err, media.ErrDenied)
		_, err = db.AuthorizePath(ctx, show, key)
		wantError(t, err, media.ErrDenied)
	}
	_, err = db.AuthorizePath(ctx, show, "key-3")
	wantError(t, err, media.ErrDenied)
	_, err = db.AuthorizePath(ctx, media.StreamPath{Publisher: "no", Stream: "such"}, "key-1")
	wantError(t, err, media.ErrDenied)

	wantError(t, db.RemoveKey(ctx, other, first.ID), media.ErrNotFound)
	noError(t, db.RemoveKey(ctx, show, first.ID))
	wantError(t, db.RemoveKey(ctx, show, first.ID), media.ErrNotFound)
	_, err = db.AuthorizeKey(ctx, "key-1")
	wantError(t, err, media.ErrDenied)
}

func (s suite) testKeyRefusals(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	_, err := db.AddKey(ctx, show, "", "")
	wantField(t, err, "key")
	_, err = db.AddKey(ctx, show, "", strings.Repeat("k", maxSecret+1))
	wantField(t, err, "key")
	for _, label := range []string{strings.Repeat("é", maxLabel+1), "a\x00b", "a\nb", "\xff"} {
		_, err = db.AddKey(ctx, show, label, "key")
		wantField(t, err, "label")
	}
	_, err = db.AddKey(ctx, show, strings.Repeat("é", maxLabel), "key")
	noError(t, err)
	_, err = db.AddKey(ctx, show, "again", "key")
	wantError(t, err, media.ErrExists)
	nobodys := media.StreamPath{Publisher: "acme", Stream: "none"}
	_, err = db.AddKey(ctx, nobodys, "", "other")
	wantError(t, err, media.ErrNotFound)
	_, err = db.Keys(ctx, nobodys)
	wantError(t, err, media.ErrNotFound)

	for n := 1; n < maxKeys; n++ {
		_, err = db.AddKey(ctx, show, "", fmt.Sprint("key-", n))
		noError(t, err)
	}
	_, err = db.AddKey(ctx, show, "", "one too many")
	wantError(t, err, media.ErrConflict, "remove one first")

	var stored int64
	noError(t, db.reads.QueryRowContext(ctx, `SELECT COUNT(*) FROM stream_keys WHERE hash LIKE '%key%'`).Scan(&stored))
	same(t, "keys in clear", int64(0), stored)
}
