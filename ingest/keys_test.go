package ingest

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// keyWorld is a server in a bubble with two keys of one stream.
func keyWorld(t *testing.T, a, b media.KeyGrant) *standbyWorld {
	return newStandbyWorld(t, Config{}, func(r *recorder) { r.grants = map[string]media.KeyGrant{"key-a": a, "key-b": b} })
}

func wantEnd(t *testing.T, f *testFeed, want string) {
	t.Helper()
	if told, gone := f.ended(); !gone || !strings.Contains(told, codeDenied) || !strings.Contains(told, want) {
		t.Errorf("it was told %q, gone %v, want %q", told, gone, want)
	}
}

func wantLive(t *testing.T, f *testFeed) {
	t.Helper()
	if told, gone := f.ended(); gone {
		t.Errorf("it is gone and was told %q", told)
	}
}

// A publisher is dropped when its key expires, not before; then the key is refused, and that is told apart in the log.
func TestKeyExpiresWhileLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := keyWorld(t, media.KeyGrant{ID: "a", ExpiresAt: time.Now().Add(10 * time.Second)}, media.KeyGrant{ID: "b"})
		live := dialFeedWith(t, w.testServer, media.FeedPrimary, "key-a")
		run(9900*time.Millisecond, live)
		wantLive(t, live)
		if r, ok := w.Session(w.rec.path); !ok || r.KeyID != "a" {
			t.Errorf("the session is told with key %q", r.KeyID)
		}
		run(200*time.Millisecond, live)
		wantEnd(t, live, "has expired")
		if p := w.rec.publs[0]; !p.closed || p.clean {
			t.Errorf("closed %v, clean %v: it is no goodbye", p.closed, p.clean)
		}
		w.log.await(t, "publisher left", `how="key expired"`)
		again := MustShakeHands(t, pipeTo(t, w.testServer))
		again.connect("live", "")
		again.command(1, "publish", 3.0, nil, "key-a", "live")
		if code, says := again.status(); code != codeDenied || !strings.Contains(says, "has expired") {
			t.Errorf("told %s: %s", code, says)
		}
		w.log.await(t, "publish refused", `reason="key expired"`)
		if len(w.Keys()) != 0 {
			t.Errorf("keys %v are left", w.Keys())
		}
	})
}

// A standby whose key is right goes on where the live feed's expires; a revoked standby does not touch who is live.
func TestKeysOfBothFeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := keyWorld(t, media.KeyGrant{ID: "a", ExpiresAt: time.Now().Add(5 * time.Second)}, media.KeyGrant{ID: "b"})
		live := dialFeedWith(t, w.testServer, media.FeedPrimary, "key-a")
		run(time.Second, live)
		standby := dialFeedWith(t, w.testServer, media.FeedBackup, "key-b")
		run(5*time.Second, live, standby)
		wantEnd(t, live, "has expired")
		w.wantFeed(t, media.FeedBackup, 0)

		second := dialFeedWith(t, w.testServer, media.FeedPrimary, w.rec.key) // no id: a source's, say
		run(time.Second, standby, second)
		if keys := w.Keys(); !slices.Equal(keys, []string{"b"}) {
			t.Errorf("keys %v", keys)
		}
		if w.RevokeKey(w.rec.path, "a") || w.RevokeKey(media.StreamPath{Publisher: "acme", Stream: "other"}, "b") {
			t.Error("a key that nobody came with was revoked")
		}
		wantLive(t, standby)
		if !w.RevokeKey(w.rec.path, "b") {
			t.Error("found nobody")
		}
		run(time.Second, standby, second)
		wantEnd(t, standby, "was revoked")
		w.log.await(t, "publisher left", `how="key revoked"`)
		w.wantFeed(t, media.FeedPrimary, 0)
		wantLive(t, second)
	})
	synctest.Test(t, func(t *testing.T) {
		w := keyWorld(t, media.KeyGrant{ID: "a"}, media.KeyGrant{ID: "b"})
		live := dialFeedWith(t, w.testServer, media.FeedPrimary, "key-a")
		run(time.Second, live)
		standby := dialFeedWith(t, w.testServer, media.FeedBackup, "key-b")
		run(time.Second, live, standby)
		w.wantFeed(t, media.FeedPrimary, 1)
		w.RevokeKey(w.rec.path, "b")
		run(time.Second, live, standby)
		wantEnd(t, standby, "was revoked")
		wantLive(t, live)
		w.wantFeed(t, media.FeedPrimary, 0)
	})
}

// What becomes of keys while they are in use is told again and again: one that is rotated gets a time, which may move,
// one that is gone drops its publisher, and one that came after the question stays.
func TestKeysAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := keyWorld(t, media.KeyGrant{ID: "a"}, media.KeyGrant{ID: "b"})
		live := dialFeedWith(t, w.testServer, media.FeedPrimary, "key-a")
		run(time.Second, live)
		asked := w.Keys()
		standby := dialFeedWith(t, w.testServer, media.FeedBackup, "key-b")
		run(time.Second, live, standby)
		w.KeysNow(asked, map[string]time.Time{"a": time.Now().Add(time.Second)})
		w.KeysNow(asked, map[string]time.Time{"a": time.Now().Add(time.Hour)})
		run(2*time.Second, live, standby)
		wantLive(t, live)
		wantLive(t, standby)
		w.KeysNow(asked, map[string]time.Time{"a": {}})
		run(2*time.Second, live, standby)
		wantLive(t, live)
		w.KeysNow(asked, map[string]time.Time{"a": time.Now().Add(time.Second)})
		run(2*time.Second, live, standby)
		wantEnd(t, live, "has expired")
		w.wantFeed(t, media.FeedBackup, 0)
		w.KeysNow(w.Keys(), nil)
		run(time.Second, standby)
		wantEnd(t, standby, "was revoked")
	})
}

// An SRT client is refused with the code of a wrong key, and the log tells why.
func TestSRTExpiredKey(t *testing.T) {
	rec := newRecorder()
	rec.grants = map[string]media.KeyGrant{"old": {ID: "a", ExpiresAt: time.Now().Add(-time.Second)}}
	s := MustServeSRT(t, Config{}, rec)
	if _, err := dialSRT(s, "publish:acme/show:old", ""); err == nil {
		t.Error("accepted")
	}
	s.log.await(t, "publish refused", `reason="key expired"`, "code=1401")
}
