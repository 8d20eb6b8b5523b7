package api

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/registry"
)

// eventDirectory is a server of events over a registry, on a socket.
type eventDirectory struct {
	*Server
	url  string
	log  *breakable
	stop func()
}

// breakable is a registry that a test can take away.
type breakable struct {
	registry.Registry
	mu   sync.Mutex
	away chan struct{} // closed: the registry is away
	read int
}

func (b *breakable) gate() chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.away
}

func (b *breakable) breakOff() { close(b.gate()) }

func (b *breakable) mend() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = make(chan struct{})
}

func (b *breakable) Tail(ctx context.Context) (int64, error) {
	select {
	case <-b.gate():
		return 0, media.ErrUnavailable
	default:
		return b.Registry.Tail(ctx)
	}
}

func (b *breakable) Read(ctx context.Context, after int64) ([]media.Event, error) {
	away := b.gate()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-away:
			cancel()
		case <-ctx.Done():
		}
	}()
	b.mu.Lock()
	b.read++
	b.mu.Unlock()
	events, err := b.Registry.Read(ctx, after)
	select {
	case <-away:
		return nil, media.ErrUnavailable
	default:
		return events, err
	}
}

func newEventDirectory(t *testing.T, r registry.Registry, streams int) *eventDirectory {
	t.Helper()
	d := &eventDirectory{log: &breakable{Registry: r, away: make(chan struct{})}}
	d.Server = New(Config{EventStreams: streams}, Deps{EventLog: d.log}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- d.Run(ctx) }()
	front := httptest.NewServer(d.Internal())
	d.url = front.URL + "/internal/v1/events"
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		d.stop()
		front.Close()
	})
	d.until(t, func() bool { d.feed.mu.Lock(); defer d.feed.mu.Unlock(); return d.feed.mu.sure })
	return d
}

func (d *eventDirectory) until(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("never")
		}
	}
}

// edgeStream is one edge's connection.
type edgeStream struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Scanner
}

func (d *eventDirectory) open(t *testing.T, after int64) *edgeStream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if after >= 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatInt(after, 10))
	}
	transport := &http.Transport{}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = resp.Body.Close()
		transport.CloseIdleConnections()
	})
	return &edgeStream{t: t, resp: resp, in: bufio.NewScanner(resp.Body)}
}

// next gives the next event's name and id, an empty name at the end. Beats are passed over, and counted.
func (s *edgeStream) next() (name string, id int64) {
	for s.in.Scan() {
		field, value, _ := strings.Cut(s.in.Text(), ": ")
		switch field {
		case "id":
			id, _ = strconv.ParseInt(value, 10, 64)
		case "event":
			name = value
		case "":
			if name != "" {
				return name, id
			}
		}
	}
	return "", 0
}

func (s *edgeStream) want(names ...string) (last int64) {
	s.t.Helper()
	for _, want := range names {
		name, id := s.next()
		if name != want {
			s.t.Fatalf("got %q, want %q", name, want)
		}
		if id > 0 {
			last = id
		}
	}
	return last
}

func publish(t *testing.T, r registry.Registry, types ...string) {
	t.Helper()
	for _, what := range types {
		err := r.Publish(t.Context(), media.Event{Type: what, Publisher: "acme", Stream: "show", Recording: recordingID(1)})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestEventStream(t *testing.T) {
	r := registry.NewMemory(registry.Config{})
	d := newEventDirectory(t, r, 0)
	publish(t, r, "before")
	d.until(t, func() bool { d.feed.mu.Lock(); defer d.feed.mu.Unlock(); return len(d.feed.mu.ring) == 1 })
	one, two := d.open(t, -1), d.open(t, -1)
	if got := one.resp.Header; got.Get("Content-Type") != "text/event-stream" || got.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", got)
	}
	start := one.want("reset")
	two.want("reset")
	publish(t, r, media.EventLive, media.EventDeleted, "odd\nname")
	last := one.want(media.EventLive, media.EventDeleted, "unknown")
	two.want(media.EventLive, media.EventDeleted, "unknown")
	if last != start+3 {
		t.Errorf("from %d to %d", start, last)
	}
	d.log.mu.Lock()
	if d.log.read > 6 {
		t.Errorf("%d reads for two edges", d.log.read)
	}
	d.log.mu.Unlock()
	t.Run("is resumed", func(t *testing.T) {
		d.open(t, start).want(media.EventLive, media.EventDeleted, "unknown", "sure")
		d.open(t, last).want("sure")
	})
	t.Run("at another process, which reads what it does not remember", func(t *testing.T) {
		other := newEventDirectory(t, r, 0)
		other.open(t, start).want(media.EventLive, media.EventDeleted, "unknown", "sure")
		other.open(t, last).want("sure")
	})
	t.Run("behind what is lost it begins anew", func(t *testing.T) {
		d.open(t, 5).want("reset")
		d.open(t, last+1000).want("reset")
	})
	t.Run("the registry is away and comes back", func(t *testing.T) {
		s := d.open(t, -1)
		s.want("reset")
		d.log.breakOff()
		s.want("unsure")
		d.open(t, last).want("unsure")
		d.log.mend()
		s.want("reset")
		publish(t, r, media.EventEnded)
		s.want(media.EventEnded)
	})
	t.Run("bad id", func(t *testing.T) {
		for _, id := range []string{"x", "-1", "1.5", "99999999999999999999"} {
			a := httptest.NewRecorder()
			req := httptest.NewRequest(http.MethodGet, "/internal/v1/events", nil)
			req.Header.Set("Last-Event-ID", id)
			d.Internal().ServeHTTP(a, req)
			if a.Code != 400 || a.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: %d %s", id, a.Code, a.Body)
			}
		}
	})
	t.Run("ends when the process stops", func(t *testing.T) {
		s := d.open(t, -1)
		s.want("reset")
		d.stop()
		s.want("")
		if resp := d.open(t, -1).resp; resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("afterwards: %d", resp.StatusCode)
		}
	})
}

func TestEventStreamsAreBounded(t *testing.T) {
	d := newEventDirectory(t, registry.NewMemory(registry.Config{}), 2)
	one := d.open(t, -1)
	one.want("reset")
	d.open(t, -1).want("reset")
	if resp := d.open(t, -1).resp; resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the third: %d", resp.StatusCode)
	}
	_ = one.resp.Body.Close()
	d.until(t, func() bool { return testutil.ToFloat64(d.metrics.streams) == 1 })
	d.open(t, -1).want("reset")
}

func TestEventStreamBeats(t *testing.T) {
	d := newEventDirectory(t, registry.NewMemory(registry.Config{}), 0)
	s := d.open(t, -1)
	s.want("reset")
	for s.in.Scan() {
		if s.in.Text() == ":" {
			return
		}
	}
	t.Error("no beat")
}

// TestSlowEdgeIsCutAndResumes fills the buffer of an edge that does not read.
func TestSlowEdgeIsCutAndResumes(t *testing.T) {
	r := registry.NewMemory(registry.Config{})
	d := newEventDirectory(t, r, 0)
	sub, first, err := d.feed.subscribe(-1)
	if err != nil || len(first) != 1 {
		t.Fatal(err, first)
	}
	for range feedBuffer + 1 {
		publish(t, r, media.EventLive)
	}
	<-sub.cut
	if n := testutil.ToFloat64(d.metrics.streamsCut); n != 1 {
		t.Errorf("%v cut", n)
	}
	s := d.open(t, first[0].id)
	for range feedBuffer + 1 {
		s.want(media.EventLive)
	}
	s.want("sure")
}

func TestFeedRemembersABoundedNumber(t *testing.T) {
	f := newFeed(nil, 10, slog.New(slog.DiscardHandler), newMetrics(prometheus.NewRegistry()))
	f.mu.open = true
	f.restart(100)
	for i := range int64(3 * feedRing) {
		f.add(frameOf(101+i, "x", i))
	}
	if n := len(f.mu.ring); n > feedRing || f.mu.ring[0].id != f.mu.lost+1 || f.mu.last != 100+3*feedRing {
		t.Errorf("%d events from %d, lost up to %d, last %d", n, f.mu.ring[0].id, f.mu.lost, f.mu.last)
	}
	if sub, _, err := f.subscribe(f.mu.lost - 1); sub != nil || err != nil {
		t.Errorf("an edge is resumed over a gap: %v", err)
	}
	sub, first, err := f.subscribe(f.mu.lost)
	if err != nil || sub == nil || len(first) != len(f.mu.ring)+1 {
		t.Errorf("%d events, %v", len(first), err)
	}
}

func BenchmarkFeed(b *testing.B) {
	for _, edges := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("edges=%d", edges), func(b *testing.B) {
			f := newFeed(nil, edges, slog.New(slog.DiscardHandler), newMetrics(prometheus.NewRegistry()))
			f.mu.open = true
			f.restart(1)
			var subs []*subscriber
			for range edges {
				sub, _, err := f.subscribe(-1)
				if err != nil {
					b.Fatal(err)
				}
				subs = append(subs, sub)
			}
			id := int64(1)
			b.ReportAllocs()
			for b.Loop() {
				id++
				f.add(frameOf(id, media.EventDeleted, media.Event{ID: id, Type: media.EventDeleted}))
				for _, s := range subs {
					<-s.frames
				}
			}
		})
	}
}
