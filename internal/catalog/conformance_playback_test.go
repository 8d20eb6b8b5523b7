package catalog

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

func secretKey(publisher, kid string) media.PlaybackKey {
	return media.PlaybackKey{
		Publisher: publisher, ID: kid, Algorithm: media.PlaybackHS256, Key: []byte(strings.Repeat("k", 43)), Label: "site",
	}
}

func (s suite) testPlaybackKeys(t *testing.T) {
	ctx, db := t.Context(), s.fresh(t)
	if _, err := db.AddPlaybackKey(ctx, secretKey("acme", "a")); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("a key without its publisher: %v", err)
	}
	if _, err := db.PlaybackKeys(ctx, "acme"); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("keys without their publisher: %v", err)
	}
	noError(t, db.CreatePublisher(ctx, media.Publisher{Name: "acme"}))
	noError(t, db.CreatePublisher(ctx, media.Publisher{Name: "beta"}))
	first, err := db.AddPlaybackKey(ctx, secretKey("acme", "a"))
	noError(t, err)
	if _, err := db.AddPlaybackKey(ctx, secretKey("acme", "a")); !errors.Is(err, media.ErrExists) {
		t.Errorf("a kid twice: %v", err)
	}
	other, err := db.AddPlaybackKey(ctx, secretKey("beta", "a")) // kids are a publisher's own
	noError(t, err)
	pair := media.PlaybackKey{
		Publisher: "acme", Algorithm: media.PlaybackEdDSA, Key: []byte(strings.Repeat("p", 32)),
		Private: []byte(strings.Repeat("s", 32)), ExpiresAt: first.CreatedAt.Add(time.Hour),
	}
	second, err := db.AddPlaybackKey(ctx, pair)
	noError(t, err)
	if second.ID == "" {
		t.Error("a key without an id")
	}
	got, err := db.PlaybackKeys(ctx, "acme")
	noError(t, err)
	byID := map[string]media.PlaybackKey{got[0].ID: got[0], got[len(got)-1].ID: got[len(got)-1]}
	same(t, "keys", map[string]media.PlaybackKey{first.ID: first, second.ID: second}, byID)

	for field, change := range map[string]func(*media.PlaybackKey){
		"kid":        func(k *media.PlaybackKey) { k.ID = "a/b" },
		"algorithm":  func(k *media.PlaybackKey) { k.Algorithm = "none" },
		"key":        func(k *media.PlaybackKey) { k.Key = nil },
		"label":      func(k *media.PlaybackKey) { k.Label = "a\nb" },
		"expires_at": func(k *media.PlaybackKey) { k.ExpiresAt = time.Unix(1, 0) },
	} {
		k := secretKey("acme", "bad")
		change(&k)
		var wrong *media.FieldError
		if _, err := db.AddPlaybackKey(ctx, k); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("bad %s: %v", field, err)
		}
	}

	noError(t, db.RemovePlaybackKey(ctx, "acme", "a"))
	for _, name := range []string{"acme", "nobody"} {
		if err := db.RemovePlaybackKey(ctx, name, "a"); !errors.Is(err, media.ErrNotFound) {
			t.Errorf("removed twice, of %s: %v", name, err)
		}
	}
	rest, err := db.PlaybackKeys(ctx, "beta")
	noError(t, err)
	same(t, "another publisher's key of that id", []media.PlaybackKey{other}, rest)
	for n := 1; ; n++ {
		_, err := db.AddPlaybackKey(ctx, secretKey("beta", ""))
		if errors.Is(err, media.ErrLimit) && n == maxPlaybackKeys {
			break
		}
		if err != nil || n > maxPlaybackKeys {
			t.Fatalf("key %d: %v", n+1, err)
		}
	}
	noError(t, db.DeletePublisher(ctx, "beta"))
	noError(t, db.CreatePublisher(ctx, media.Publisher{Name: "beta"}))
	rest, err = db.PlaybackKeys(ctx, "beta")
	noError(t, err)
	same(t, "keys of a publisher that was deleted", 0, len(rest))
}

// testPlaybackPolicies has every change be told, with a new version, and nothing else make one.
func (s suite) testPlaybackPolicies(t *testing.T) {
	ctx, db := t.Context(), s.fresh(t)
	signed, public := new(media.PlaybackSigned), new(media.PlaybackPublic)
	path := func(stream string) media.StreamPath { return media.StreamPath{Publisher: "acme", Stream: stream} }
	last := int64(0)
	step := func(what string, changes bool, want map[string]media.PublisherPlaybackPolicy, err error) {
		t.Helper()
		noError(t, err)
		got, err := db.PlaybackPolicies(ctx)
		noError(t, err)
		version, err := db.PlaybackVersion(ctx)
		noError(t, err)
		same(t, what+": version", got.Version, version)
		if (version > last) != changes {
			t.Errorf("%s: version %d after %d", what, version, last)
		}
		last = version
		if diff := cmp.Diff(want, got.Publishers); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	type policies = map[string]media.PublisherPlaybackPolicy
	step("empty", true, policies{}, nil)
	step("a public publisher", false, policies{}, db.CreatePublisher(ctx, media.Publisher{Name: "acme"}))
	key, err := db.AddPlaybackKey(ctx, secretKey("acme", "a"))
	step("a key of a public publisher", true, policies{}, err)
	_, err = db.CreateStream(ctx, path("show"), media.SettingsPatch{})
	step("a stream", false, policies{}, err)
	_, err = db.UpdateStream(ctx, path("show"), media.SettingsPatch{Playback: signed})
	keys := []media.VerifyingKey{{ID: "a", Algorithm: key.Algorithm, Key: key.Key}}
	step("a signed stream", true, policies{
		"acme": {Playback: media.PlaybackPublic, Streams: map[string]string{"show": media.PlaybackSigned}, Keys: keys},
	}, err)
	_, err = db.UpdateStream(ctx, path("show"), media.SettingsPatch{Listed: new(true)})
	step("another setting", false, policies{
		"acme": {Playback: media.PlaybackPublic, Streams: map[string]string{"show": media.PlaybackSigned}, Keys: keys},
	}, err)
	_, err = db.UpdatePublisher(ctx, "acme", media.SettingsPatch{Playback: signed})
	step("a signed publisher", true, policies{"acme": {Playback: media.PlaybackSigned, Keys: keys}}, err)
	_, err = db.CreateStream(ctx, path("open"), media.SettingsPatch{Playback: public})
	step("a public stream of it", true, policies{
		"acme": {Playback: media.PlaybackSigned, Streams: map[string]string{"open": media.PlaybackPublic}, Keys: keys},
	}, err)
	_, _, err = db.PreviewPublisher(ctx, "acme", media.SettingsPatch{Playback: public})
	step("a preview", false, policies{
		"acme": {Playback: media.PlaybackSigned, Streams: map[string]string{"open": media.PlaybackPublic}, Keys: keys},
	}, err)
	step("the public stream deleted", true, policies{"acme": {Playback: media.PlaybackSigned, Keys: keys}},
		db.DeleteStream(ctx, path("open")))
	step("the key removed", true, policies{"acme": {Playback: media.PlaybackSigned}},
		db.RemovePlaybackKey(ctx, "acme", "a"))
	step("the signed stream deleted", true, policies{"acme": {Playback: media.PlaybackSigned}},
		db.DeleteStream(ctx, path("show")))
	step("the publisher deleted", true, policies{}, db.DeletePublisher(ctx, "acme"))
	step("a publisher that is signed at once", true, policies{"acme": {Playback: media.PlaybackSigned}},
		db.CreatePublisher(ctx, media.Publisher{Name: "acme", Settings: media.SettingsPatch{Playback: signed}}))
}
