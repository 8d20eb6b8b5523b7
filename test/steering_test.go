package test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/api"
	"github.com/oxbow-video/oxbow/cacheproxy"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/steering"
	"github.com/oxbow-video/oxbow/test/hlscheck"
)

// steeredSite is edges in front of one server, and the API that steers their viewers, whose edges a test makes drain.
type steeredSite struct {
	tb     testing.TB
	origin *oxbow
	show   recording
	api    string
	status atomic.Int64 // of the manifest; zero is as it is
	secure *tls.Config  // of the edges; nil is plain HTTP
	// policies are who may watch at the edges.
	policies media.PlaybackPolicies

	mu    sync.Mutex
	nodes []media.Node
	asked []url.Values // for manifests
	times []time.Time
	edges map[string]*steeredEdge
}

// steeredEdge counts what is asked of it.
type steeredEdge struct {
	url                 string
	media, audio, index atomic.Int64
	told, preflights    atomic.Int64 // requests with CMCD in headers, and what browsers ask before those
}

const steeringStep = time.Second // TTL

func newSteeredSite(tb testing.TB, origin *oxbow, show recording) *steeredSite {
	tb.Helper()
	s := &steeredSite{tb: tb, origin: origin, show: show, edges: make(map[string]*steeredEdge)}
	s.policies = media.PlaybackPolicies{Version: 1, Publishers: map[string]media.PublisherPlaybackPolicy{}}
	var public http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked, s.times = append(s.asked, r.URL.Query()), append(s.times, time.Now())
		s.mu.Unlock()
		if status := s.status.Load(); status != 0 {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.WriteHeader(int(status))
			return
		}
		public.ServeHTTP(w, r)
	}))
	tb.Cleanup(server.Close)
	s.api = server.URL
	steers := api.New(api.Config{SteeringURL: s.api, SteeringTTL: steeringStep}, api.Deps{Nodes: s.list},
		slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	public = steers.Public()
	startTask(tb, "api", steers.Run)
	return s
}

func (s *steeredSite) list(context.Context) ([]media.Node, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]media.Node(nil), s.nodes...), nil
}

// add starts an edge at an address.
func (s *steeredSite) add(id, address string) *steeredEdge {
	s.tb.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		s.tb.Fatal(err)
	}
	e := &steeredEdge{url: "http://" + listener.Addr().String()}
	if s.secure != nil {
		e.url = "https://" + listener.Addr().String()
		listener = tls.NewListener(listener, s.secure)
	}
	node := media.Node{
		ID: id, Role: media.RoleEdge, URL: e.url, StartedAt: time.Now(), Edge: &media.Edge{PublicURL: e.url, Ready: true},
	}
	directory := httptest.NewServer(http.HandlerFunc(s.direct))
	s.tb.Cleanup(directory.Close)
	proxy := cacheproxy.New(cacheproxy.Config{Directories: []string{directory.URL}}, nil, slog.New(slog.DiscardHandler),
		prometheus.NewRegistry())
	proxy.SetSteering(steering.Offer(s.api, node))
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("CMCD-Session") != "" {
			e.told.Add(1)
		}
		switch {
		case r.Method == http.MethodOptions:
			e.preflights.Add(1)
		case strings.HasSuffix(r.URL.Path, "/index.m3u8"):
			e.index.Add(1)
		case strings.Contains(r.URL.Path, "audio"):
			e.audio.Add(1)
		default:
			e.media.Add(1)
		}
		proxy.ServeHTTP(w, r)
	})}
	startTask(s.tb, "edge "+id, func(ctx context.Context) error {
		done := make(chan error, 2)
		go func() { done <- proxy.FollowPlayback(ctx) }()
		go func() { done <- server.Serve(listener) }()
		<-ctx.Done()
		_ = server.Close()
		first, second := <-done, <-done
		_ = proxy.Close()
		if err := errors.Join(first, second); err != nil && !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(s.tb.Context(), 10*time.Second)
	defer cancel()
	if err := proxy.AwaitPlayback(ctx); err != nil {
		s.tb.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes, s.edges[id] = append(s.nodes, node), e
	return e
}

// direct is the edges' directory: the one server has everything.
func (s *steeredSite) direct(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/internal/v1/locate/"):
		_ = json.NewEncoder(w).Encode(media.Location{
			Publisher: "demo", Stream: "live", Recording: media.RecordingID(s.show.ID), State: media.Live,
			Nodes: []string{s.origin.url("")},
		})
	case r.URL.Path == "/internal/v1/playback":
		_ = json.NewEncoder(w).Encode(s.policies)
	default:
		http.NotFound(w, r)
	}
}

// only leaves one edge that does not drain.
func (s *steeredSite) only(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.nodes {
		s.nodes[i].Draining = s.nodes[i].ID != id
	}
}

// TestHlsJsFollowsSteering holds the rules of content steering against a player: it goes from edge to edge without a
// reload, by a clone that names every track's URI (another port) and by one that names the host; keeps its RELOAD-URI and
// TTL; comes again after 503; and 410 has it stop asking. Its page is of another origin than the edges and the API, and
// it tells CMCD in headers, for which browsers ask first.
func TestHlsJsFollowsSteering(t *testing.T) {
	onlyFull(t)
	server := newOxbow(t)
	server.start("demo")
	s := newSteeredSite(t, server, awaitDemo(t, server))
	a := s.add("a", "127.0.0.1:0")
	b := s.add("b", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(a.url, "http://"))
	c := s.add("c", "127.0.0.2:"+port)

	v := watchInBrowser(t, "hls.js", a.url+"/demo/live/index.m3u8", `{"cmcd": {"useHeaders": true}}`)
	eventually(t, time.Minute, "a picture", func() bool { _, n := v.newest(); return n > 10 })
	if a.media.Load() == 0 || b.media.Load()+c.media.Load() > 0 {
		t.Errorf("it plays from a %d, b %d, c %d: want it to stay at a", a.media.Load(), b.media.Load(), c.media.Load())
	}
	for _, step := range []struct {
		id   string
		edge *steeredEdge
		rest []*steeredEdge
	}{{"b", b, []*steeredEdge{a, c}}, {"c", c, []*steeredEdge{a, b}}, {"a", a, []*steeredEdge{b, c}}} {
		media, audio := step.edge.media.Load(), step.edge.audio.Load()
		begin := time.Now()
		s.only(step.id)
		eventually(t, 20*time.Second, "it plays from "+step.id, func() bool {
			return step.edge.media.Load() > media+3 && step.edge.audio.Load() > audio+3
		})
		took := time.Since(begin)
		_, shown := v.newest()
		var others int64
		for _, e := range step.rest {
			others -= e.media.Load() + e.audio.Load()
		}
		eventually(t, 20*time.Second, "it goes on", func() bool { _, n := v.newest(); return n > shown+30 })
		for _, e := range step.rest {
			others += e.media.Load() + e.audio.Load()
		}
		t.Logf("at %s after %v; %d requests at the others after that", step.id, took.Round(10*time.Millisecond), others)
		if others > 4 { // what was under way
			t.Errorf("%d requests at the others while it is at %s", others, step.id)
		}
	}
	if n := a.index.Load() + b.index.Load() + c.index.Load(); n != 1 {
		t.Errorf("the multivariant playlist was loaded %d times, want once", n)
	}
	for id, e := range s.edges {
		if e.told.Load() < 5 || e.preflights.Load() == 0 {
			t.Errorf("%s: %d requests with CMCD, %d preflights", id, e.told.Load(), e.preflights.Load())
		}
	}
	s.checkAsked(t)
	judged := s.judge(a)
	s.status.Store(http.StatusServiceUnavailable)
	count := func() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.asked) }
	before := count()
	eventually(t, 20*time.Second, "it comes again after 503, and again", func() bool { return count() > before+2 })
	s.status.Store(0)
	media := c.media.Load()
	s.only("c")
	eventually(t, 20*time.Second, "it follows again", func() bool { return c.media.Load() > media+3 })
	if report := <-judged; len(report.Violations) > 0 || report.Seen["MV-3"] == 0 {
		t.Errorf("the steered playlist: %s", report)
	}
	s.status.Store(http.StatusGone)
	before = count()
	eventually(t, 10*time.Second, "it hears that steering is gone", func() bool { return count() > before })
	after := count()
	_, shown := v.newest()
	eventually(t, 30*time.Second, "it plays on", func() bool { _, n := v.newest(); return n > shown+100 })
	if n := count(); n != after {
		t.Errorf("it asked %d times more after 410", n-after)
	}
	noneFatal(t, v)
}

// noneFatal ends a viewing, in which nothing was to be the player's last error.
func noneFatal(t *testing.T, v *viewing) {
	t.Helper()
	v.cancel()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, f := range v.faults {
		if f.fatal {
			t.Errorf("fatal: %s", f.text)
		}
	}
}

// awaitDemo waits for the demo, and gives its recording.
func awaitDemo(t *testing.T, server *oxbow) (show recording) {
	t.Helper()
	eventually(t, 20*time.Second, "the show is live", func() bool {
		status, _ := server.try(server.url("/demo/live/index.m3u8"))
		list := server.recordings("demo", "live")
		if len(list) > 0 {
			show = list[0]
		}
		return status == http.StatusOK && len(list) > 0
	})
	return show
}

// judge has the checker of the standard's rules follow the steered playlist of an edge for a while.
func (s *steeredSite) judge(e *steeredEdge) <-chan *hlscheck.Report {
	answer := make(chan *hlscheck.Report, 1)
	checker := hlscheck.New(hlscheck.Config{URL: e.url + "/demo/live/index.m3u8", Slack: 5 * time.Second})
	ctx, cancel := context.WithTimeout(s.tb.Context(), 3*time.Second)
	go func() {
		defer cancel()
		answer <- checker.Run(ctx)
	}()
	return answer
}

// checkAsked holds what the player asked for against what it was told.
func (s *steeredSite) checkAsked(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) < 3 || s.asked[0].Get("slot") != "" || s.asked[0].Get("_HLS_throughput") == "" {
		t.Fatalf("asked %v", s.asked)
	}
	for i, q := range s.asked[1:] {
		if q.Get("slot") == "" || q.Get("slot") != s.asked[1].Get("slot") || q.Get("base") != s.asked[0].Get("base") {
			t.Errorf("request %d is %v after %v: want the RELOAD-URI", i+1, q, s.asked[i])
		}
		if gap := s.times[i+1].Sub(s.times[i]); gap < steeringStep*8/10 {
			t.Errorf("it asked again after %v, before the TTL", gap)
		}
	}
}
