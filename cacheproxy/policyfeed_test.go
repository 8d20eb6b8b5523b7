package cacheproxy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/playback"
)

// policyDirectory says who may watch.
type policyDirectory struct {
	counter
	mu     sync.Mutex
	told   media.PlaybackPolicies
	status int // instead, unless zero
	full   int // answers that were not 304
	token  string
}

func (d *policyDirectory) tell(told media.PlaybackPolicies) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told, d.status = told, 0
}

func (d *policyDirectory) away(status int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = status
}

func (d *policyDirectory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.add(r.URL.Path)
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.URL.Path != "/internal/v1/playback" || d.status != 0 {
		w.WriteHeader(max(d.status, http.StatusNotFound))
		return
	}
	if d.token != "" && r.Header.Get("Authorization") != "Bearer "+d.token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	tag := fmt.Sprintf(`"%d-%t"`, d.told.Version, d.told.Remembered)
	w.Header().Set("Etag", tag)
	if d.told.Remembered {
		w.Header().Set("Age", "100")
	}
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	d.full++
	_ = json.NewEncoder(w).Encode(d.told)
}

// followed is a world that follows a policyDirectory until its test ends.
func followed(t *testing.T, d *policyDirectory) *signedWorld { return followedWith(t, d, Config{}) }

func followedWith(t *testing.T, d *policyDirectory, c Config) *signedWorld {
	s := newSignedWorld(t, c)
	s.policies.Store(nil)
	s.feed = newPolicyFeed()
	s.net.set("dir", d)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.FollowPlayback(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestPoliciesAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &policyDirectory{status: http.StatusServiceUnavailable}
		s := followed(t, d)
		synctest.Wait()
		wantStatus(t, s.get(t, "/acme/open/index.m3u8"), http.StatusServiceUnavailable)
		d.tell(policiesOf(1, s.key))
		if err := s.AwaitPlayback(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		path := recBase + "/1/video/init.mp4"
		wantRefusal(t, s, s.get(t, path), playback.ReasonMissing)

		time.Sleep(time.Minute)
		if n := d.of("/internal/v1/playback"); n < 20 || n > 35 || d.full != 1 {
			t.Errorf("asked %d times in a minute, with %d whole answers", n, d.full)
		}
		uri := "/t/" + s.token(t, playback.Claims{}) + path
		d.tell(policiesOf(2))
		s.apply(media.Event{Type: media.EventPlayback, Publisher: "acme"})
		synctest.Wait()
		wantRefusal(t, s, s.get(t, uri), playback.ReasonKey) // at once

		d.tell(policiesOf(3, s.key)) // an event is lost
		time.Sleep(policyPoll)
		synctest.Wait()
		if v := s.policies.Load().version; v != 3 {
			t.Errorf("version %d after a poll", v)
		}
		for _, status := range []int{http.StatusServiceUnavailable, http.StatusNotFound} {
			d.away(status)
			time.Sleep(time.Hour)
			wantRefusal(t, s, s.get(t, path), playback.ReasonMissing)
			if s.policies.Load().version != 3 {
				t.Error("what is known is gone with the directory")
			}
		}
		if age := time.Since(time.Unix(0, s.feed.confirmed.Load())); age < 2*time.Hour {
			t.Errorf("age %s", age)
		}
	})
}

// TestRememberedPolicies has a directory whose catalog is away: better than nothing, and never back to older ones.
func TestRememberedPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &policyDirectory{}
		remembered := func(version int64) {
			told := policiesOf(version)
			told.Remembered = true
			d.tell(told)
		}
		remembered(5)
		s := followed(t, d)
		if err := s.AwaitPlayback(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			tell func()
			want int64
		}{
			{func() { remembered(4) }, 5},
			{func() { remembered(6) }, 6},
			{func() { d.tell(policiesOf(2)) }, 2}, // the catalog itself: it was restored
		} {
			step.tell()
			time.Sleep(2 * policyPoll)
			synctest.Wait()
			if got := s.policies.Load().version; got != step.want {
				t.Errorf("version %d, want %d", got, step.want)
			}
		}
		if n := testutil.ToFloat64(s.metrics.unknownPolicies); n != 0 {
			t.Errorf("%v requests without policies", n)
		}
	})
}

func TestBadPoliciesAreNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &policyDirectory{}
		d.tell(media.PlaybackPolicies{Version: 1}) // no publishers: some other server
		s := followed(t, d)
		time.Sleep(time.Minute)
		if s.policies.Load() != nil {
			t.Error("an answer without publishers was taken")
		}
		odd := policiesOf(2, s.key)
		odd.Publishers["beta"] = media.PublisherPlaybackPolicy{Playback: "by-invitation"}
		d.tell(odd)
		time.Sleep(2 * policyPoll)
		synctest.Wait()
		wantRefusal(t, s, s.get(t, "/beta/show/index.m3u8"), playback.ReasonMissing)
	})
}

func TestEdgeShowsItsTokenToTheDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &policyDirectory{token: "of-the-cluster"}
		s := followedWith(t, d, Config{Tokens: admission.MustFixed(t, "of-the-cluster")})
		d.tell(policiesOf(1, s.key))
		if err := s.AwaitPlayback(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // another one, or none
		d := &policyDirectory{token: "of-another-cluster"}
		s := followedWith(t, d, Config{Tokens: admission.MustFixed(t, "of-the-cluster")})
		d.tell(policiesOf(1, s.key))
		time.Sleep(time.Minute)
		wantStatus(t, s.get(t, "/acme/open/index.m3u8"), http.StatusServiceUnavailable)
	})
}
