package origin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

// noShows is a node that has nothing live.
type noShows struct{}

func (noShows) Current(media.StreamPath) (media.RecordingID, bool)    { return "", false }
func (noShows) Show(media.StreamPath, media.RecordingID) (Show, bool) { return nil, false }

// pair is two nodes of a cluster: the owner of the studio's show, and another over the same storage.
type pair struct {
	*studio
	owner *httptest.Server
	other http.Handler
	reg   *prometheus.Registry
	// owned is what the registry says.
	owned atomic.Pointer[Owner]
	// asked counts what came to the owner.
	asked atomic.Int64
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{studio: newStudio(t), reg: prometheus.NewRegistry()}
	p.live()
	own, _ := p.handler(Config{})
	p.owner = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		if r.Header.Get(RelayedHeader) == "" {
			t.Errorf("%s came without %s: it could go round in circles", r.URL, RelayedHeader)
		}
		own.ServeHTTP(w, r)
	}))
	t.Cleanup(p.owner.Close)
	p.owned.Store(&Owner{URL: p.owner.URL, Recording: testID})
	logger := slog.New(slog.DiscardHandler)
	relay := NewRelay(RelayConfig{
		Own:  New(Config{}, p.root.Files(), noShows{}, p.root.Latest, logger, prometheus.NewRegistry()),
		Live: noShows{},
		Owner: func(context.Context, media.StreamPath) (Owner, error) {
			if o := p.owned.Load(); o != nil {
				return *o, nil
			}
			return Owner{}, media.ErrUnavailable
		},
	}, logger, p.reg)
	t.Cleanup(func() { _ = relay.Close() })
	p.other = relay
	return p
}

func TestRelayAsksTheOwnerForWhatIsLive(t *testing.T) {
	p := newPair(t)
	own, _ := p.handler(Config{})
	for _, path := range []string{
		"/acme/show/index.m3u8", testBase + "/index.m3u8", testBase + "/live/video.m3u8", testBase + "/video.m3u8",
		testBase + "/live/video.m3u8?_HLS_msn=9&_HLS_part=1", testBase + "/2/video/9.1.m4s", testBase + "/1/audio/3.m4s",
		testBase + "/2/video/init.mp4",
	} {
		got, want := get(t, p.other, path, http.StatusOK), get(t, own, path, http.StatusOK)
		if !bytes.Equal(got.body, want.body) || got.Header.Get("Cache-Control") != want.Header.Get("Cache-Control") ||
			got.Header.Get("Etag") != want.Header.Get("Etag") {
			t.Errorf("%s: the other node answers %v %.200q, the owner %v %.200q", path, got.Header, got.body, want.Header,
				want.body)
		}
	}
	if p.asked.Load() != 8 {
		t.Errorf("the owner was asked %d times", p.asked.Load())
	}
	gzipped := get(t, p.other, testBase+"/live/video.m3u8", http.StatusOK, "Accept-Encoding: gzip")
	if gzipped.Header.Get("Content-Encoding") != "gzip" {
		t.Error("the owner's compressed answer was not passed on")
	}
	ranged := ask(t, p.other, http.MethodGet, testBase+"/1/video/2.m4s", "Range: bytes=10-19")
	if ranged.StatusCode != http.StatusPartialContent || len(ranged.body) != 10 {
		t.Errorf("a range: %d, %d bytes", ranged.StatusCode, len(ranged.body))
	}
	get(t, p.other, testBase+"/1/video/77.m4s", http.StatusNotFound)
	get(t, p.other, testBase+"/live/video.m3u8?_HLS_msn=99", http.StatusBadRequest)
}

func TestRelayServesStorageWhereTheOwnerDoesNotAnswer(t *testing.T) {
	for name, fault := range map[string]func(*pair){
		"its process is gone":    func(p *pair) { p.owner.Close() },
		"nobody owns it":         func(p *pair) { p.owned.Store(&Owner{}) },
		"it has another show":    func(p *pair) { p.owned.Store(&Owner{URL: p.owner.URL, Recording: otherID}) },
		"nothing is known of it": func(p *pair) { p.owned.Store(nil) },
		"it lost the stream": func(p *pair) {
			p.owner.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusMisdirectedRequest)
			})
		},
		"it fails": func(p *pair) {
			p.owner.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadGateway)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			fault(p)
			a := get(t, p.other, testBase+"/1/video/3.m4s", http.StatusOK)
			if !bytes.Equal(a.body, p.recorded(1, "video", 3)) {
				t.Error("storage's segment has other bytes")
			}
			list := get(t, p.other, testBase+"/live/video.m3u8", http.StatusOK)
			if !bytes.Contains(list.body, []byte("2/video/8.m4s")) {
				t.Errorf("storage's playlist lacks its newest segment:\n%s", list.body)
			}
		})
	}
}

func TestRelayPassesOnOnce(t *testing.T) {
	p := newPair(t)
	get(t, p.other, testBase+"/1/video/3.m4s", http.StatusOK, RelayedHeader+": 1")
	if p.asked.Load() != 0 {
		t.Error("a request that was passed on already was passed on again")
	}
}

// A request that waits at an owner that hangs is answered from storage once the stream has another owner.
func TestRelayLeavesAnOwnerThatIsNoMore(t *testing.T) {
	p := newPair(t)
	held := make(chan struct{})
	p.owner.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p.owned.Store(&Owner{})
		<-r.Context().Done()
		close(held)
	})
	get(t, p.other, testBase+"/1/video/3.m4s", http.StatusOK)
	<-held
	if n := metric(t, p.reg, "oxbow_origin_relayed_total", "failed"); n != 1 {
		t.Errorf("counted %v failed relays", n)
	}
}

// A request that waits on storage, because the owner is gone, follows the stream to its next owner.
func TestRelayFollowsAStreamToItsNextOwner(t *testing.T) {
	p := newPair(t)
	relay := p.other.(*Relay)
	looks := 0
	relay.owners.fetch = func(context.Context, media.StreamPath, Owner, bool) fetched[Owner] {
		owner := Owner{URL: "http://127.0.0.1:1", Recording: testID} // gone
		if looks++; looks > 1 {
			owner = *p.owned.Load()
		}
		return fetched[Owner]{value: owner, ttl: 10 * time.Millisecond}
	}
	list := get(t, relay, testBase+"/live/video.m3u8?_HLS_msn=9&_HLS_part=1", http.StatusOK)
	if !bytes.Contains(list.body, []byte("9.1.m4s")) {
		t.Errorf("the next owner's part is not listed:\n%s", list.body)
	}
	if cache := list.Header["Cache-Control"]; len(cache) != 1 {
		t.Errorf("Cache-Control %q: something of the answer that was taken back is left", cache)
	}
}

// A request that waits on storage is answered as soon as the show has come to this node.
func TestRelayServesAShowThatComesToThisNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		s.lose()
		own, _ := s.handler(Config{})
		relay := NewRelay(RelayConfig{
			Own: own, Live: s,
			Owner: func(context.Context, media.StreamPath) (Owner, error) { return Owner{}, nil },
		}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		time.Sleep(10 * time.Millisecond)
		waits := start(t, relay, sliding+"?_HLS_msn=9&_HLS_part=1")
		left := start(t, relay, sliding+"?_HLS_msn=9&_HLS_part=1")
		waits.held(t, "a show of another node")
		left.cancel()
		s.regain()
		time.Sleep(liveLook)
		waits.answered(t, "the show is here", 200, "9.1.m4s")
		if waits.took > liveLook {
			t.Errorf("answered after %v", waits.took)
		}
	})
}

func TestRelayCutsAnAnswerThatTheOwnerCuts(t *testing.T) {
	p := newPair(t)
	p.owner.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(make([]byte, 10))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	front := httptest.NewServer(p.other)
	defer front.Close()
	resp, err := http.Get(front.URL + testBase + "/1/video/3.m4s")
	if err != nil {
		return // cut before its header was sent on: as good
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("half an answer was passed on as a whole one")
	}
}

// A node that slept asks whether its show is still its own before it answers for it.
func TestRelayConfirmsAfterASleep(t *testing.T) {
	s := newStudio(t)
	s.live()
	own, _ := s.handler(Config{})
	awake, confirmed := true, 0
	relay := NewRelay(RelayConfig{
		Own: own, Live: s,
		Owner: func(context.Context, media.StreamPath) (Owner, error) { return Owner{}, nil },
		Awake: func() bool { return awake },
		Confirm: func(_ context.Context, path media.StreamPath) error {
			confirmed++
			awake = true
			if path != testPath {
				t.Errorf("asked about %s", path)
			}
			s.leave()
			return errors.New("another node has it")
		},
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	get(t, relay, testBase+"/live/video.m3u8?_HLS_msn=9&_HLS_part=1", http.StatusOK)
	if confirmed != 0 {
		t.Fatal("an awake node asked")
	}
	awake = false
	list := get(t, relay, testBase+"/live/video.m3u8", http.StatusOK)
	if confirmed != 1 {
		t.Errorf("asked %d times", confirmed)
	}
	if bytes.Contains(list.body, []byte("9.1.m4s")) {
		t.Error("it answered with what it believed before it slept")
	}
}

// While the registry hangs, players of another node's stream wait for it rarely, and never for long.
func TestRelayDoesNotWaitForAHangingRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		owner := Owner{URL: "http://b", Recording: testID}
		hangs := false
		relay := NewRelay(RelayConfig{Owner: func(ctx context.Context, _ media.StreamPath) (Owner, error) {
			if !hangs {
				return owner, nil
			}
			<-ctx.Done()
			return Owner{}, ctx.Err()
		}}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		var waited time.Duration
		for range 100 { // a request each 100 ms
			begun := time.Now()
			if got, err := relay.owners.get(t.Context(), testPath); err != nil || got != owner {
				t.Fatalf("the owner is %+v: %v", got, err)
			}
			wait := time.Since(begun)
			if waited += wait; wait > ownerPatience {
				t.Fatalf("a player waited for %v", wait)
			}
			hangs = true
			time.Sleep(100 * time.Millisecond)
		}
		if waited > 2100*time.Millisecond {
			t.Errorf("in 10 s players waited for %v", waited)
		}
	})
}
