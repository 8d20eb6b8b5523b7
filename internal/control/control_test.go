package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var show = media.StreamPath{Publisher: "acme", Stream: "show"}

// ingest is a node's parts: what they answer, and what they were asked.
type ingest struct {
	mu      sync.Mutex
	reports []media.IngestReport
	event   media.TimedEvent
	source  media.SourceStatus
	err     error
	asked   []string
}

func (n *ingest) note(format string, args ...any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, fmt.Sprintf(format, args...))
	return n.err
}

func (n *ingest) seen() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

func (n *ingest) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err = err
}

func (n *ingest) Sessions(context.Context) ([]media.IngestReport, error) {
	return n.reports, n.note("sessions")
}

func (n *ingest) Session(_ context.Context, path media.StreamPath) (media.IngestReport, error) {
	if err := n.note("session %s", path); err != nil {
		return media.IngestReport{}, err
	}
	return n.reports[0], nil
}

func (n *ingest) EndSession(_ context.Context, path media.StreamPath, reason string) error {
	return n.note("end %s %q", path, reason)
}

func (n *ingest) AddEvent(_ context.Context, path media.StreamPath, e media.TimedEvent) (media.ShowEvent, error) {
	n.event = e
	return media.ShowEvent{TimedEvent: e, Number: 7}, n.note("add %s", path)
}

func (n *ingest) CompleteEvent(_ context.Context, path media.StreamPath, e media.TimedEvent) (media.ShowEvent, error) {
	n.event = e
	return media.ShowEvent{TimedEvent: e, Number: 8}, n.note("complete %s", path)
}

func (n *ingest) Events(_ context.Context, path media.StreamPath) ([]media.ShowEvent, error) {
	return []media.ShowEvent{{TimedEvent: n.event, Number: 9}}, n.note("events %s", path)
}

// fixed gives one good token.
func fixed(token string) *admission.Tokens {
	tokens, err := admission.Fixed(token)
	if err != nil {
		panic(err)
	}
	return tokens
}

// handler serves the node's parts.
func (n *ingest) handler(id, token string) http.Handler {
	return NewHandler(Deps{
		Node:     func() media.Node { return media.Node{ID: id, Role: media.RoleIngest} },
		Leases:   func() []media.Lease { return []media.Lease{{Path: show, Node: id, Epoch: 3}} },
		Sessions: n, Events: n,
		SwitchFeed: func(_ context.Context, path media.StreamPath, feed string) error {
			return n.note("switch %s %s", path, feed)
		},
		RevokeKey:      func(path media.StreamPath, id string) { _ = n.note("revoke %s %s", path, id) },
		SourceStatus:   func(media.StreamPath) media.SourceStatus { return n.source },
		SourcesChanged: func() { _ = n.note("sources changed") },
		Drain:          func(context.Context) error { return n.note("drain") },
	}, fixed(token), slog.New(slog.DiscardHandler))
}

// cluster is nodes on loopback and a client of them.
type cluster struct {
	*Client
	mu    sync.Mutex
	nodes []media.Node
	owner string
	err   error // of Owner
	owned int   // times that it was asked for
}

func newCluster(t *testing.T, cfg Config) *cluster {
	t.Helper()
	c := &cluster{}
	c.Client = NewClient(cfg, Directory{
		Nodes: func(context.Context) ([]media.Node, error) { return c.nodes, nil },
		Owner: func(_ context.Context, path media.StreamPath) (media.Lease, bool, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.owned++
			return media.Lease{Path: path, Node: c.owner}, c.owner != "", c.err
		},
	}, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *cluster) own(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owner = id
}

func (c *cluster) add(t *testing.T, id string, h http.Handler) media.Node {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	node := media.Node{ID: id, Role: media.RoleIngest, URL: server.URL}
	c.nodes = append(c.nodes, node)
	return node
}

func report(stream string, epoch uint64) media.IngestReport {
	return media.IngestReport{Publisher: "acme", Stream: stream, Epoch: epoch}
}

func TestAsks(t *testing.T) {
	c := newCluster(t, Config{})
	parts := &ingest{reports: []media.IngestReport{{
		Publisher: "acme", Stream: "show", Epoch: 3, BitrateBPS: 4_000_000, Repairs: map[string]int64{"x": 1},
		Tracks:    []media.IngestTrack{{Name: "video", KeyFrames: &media.KeyFrameReport{IntervalSec: 2}}},
		Transport: media.IngestTransport{SRT: &media.SRTReport{RTTMS: 20.5}},
		Warnings:  []media.IngestWarning{{Code: "av_skew", Since: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}},
	}}}
	node := c.add(t, "a", parts.handler("a", ""))
	c.owner = "a"
	ctx := t.Context()
	got, err := c.Session(ctx, show)
	if err != nil || !reflect.DeepEqual(got, parts.reports[0]) {
		t.Errorf("session %+v, %v", got, err)
	}
	duration := 12.5
	event := media.TimedEvent{
		ID: "ad", StartDate: time.Date(2026, 11, 20, 12, 0, 0, 1e6, time.UTC), Duration: &duration, Cue: []string{"PRE"},
		Attributes: map[string]any{"X-A": "text", "X-N": 2.5, "SCTE35-OUT": map[string]any{"hex": "0xFC"}},
	}
	added, err := c.AddEvent(ctx, show, event)
	if err != nil || !reflect.DeepEqual(added, media.ShowEvent{TimedEvent: event, Number: 7}) ||
		!reflect.DeepEqual(parts.event, event) {
		t.Errorf("added %+v, %v", added, err)
	}
	if whole, err := c.CompleteEvent(ctx, show, event); err != nil || whole.Number != 8 {
		t.Errorf("complete %+v, %v", whole, err)
	}
	if events, err := c.Events(ctx, show); err != nil || len(events) != 1 || events[0].ID != "ad" {
		t.Errorf("events %+v, %v", events, err)
	}
	for _, err := range []error{
		c.EndSession(ctx, show, "the hall is closed"), c.SwitchFeed(ctx, show, media.FeedBackup), c.Drain(ctx, node),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	want := `session acme/show|add acme/show|complete acme/show|events acme/show|end acme/show "the hall is closed"|` +
		`switch acme/show backup|drain`
	if got := strings.Join(parts.asked, "|"); got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	status, err := c.Status(ctx, node)
	if err != nil || status.Node.ID != "a" || len(status.Leases) != 1 || status.Leases[0].Path != show ||
		status.Leases[0].Epoch != 3 {
		t.Errorf("status %+v, %v", status, err)
	}
}

func TestErrorsGoThereAndBack(t *testing.T) {
	sentinels := []error{
		media.ErrBadName, media.ErrInvalid, media.ErrNotFound, media.ErrGone, media.ErrExists, media.ErrConflict,
		media.ErrDenied, media.ErrTakenOver, media.ErrFenced, media.ErrUnsupported, media.ErrTooLarge, media.ErrLimit,
		media.ErrUnavailable, media.ErrCorrupt,
	}
	c := newCluster(t, Config{})
	parts := &ingest{}
	c.add(t, "a", parts.handler("a", ""))
	c.owner = "a"
	for _, want := range sentinels {
		text := fmt.Sprintf("event ad: %v: since it is so", want)
		parts.fail(fmt.Errorf("event ad: %w: since it is so", want))
		_, err := c.AddEvent(t.Context(), show, media.TimedEvent{})
		if !errors.Is(err, want) || err.Error() != text {
			t.Errorf("%v: came back as %v", want, err)
		}
		for _, other := range sentinels {
			if !errors.Is(want, other) && errors.Is(err, other) {
				t.Errorf("%v is also %v", want, other)
			}
		}
	}
	parts.fail(fmt.Errorf("add: %w", &media.FieldError{Field: "attributes.X-A", Want: "must be text"}))
	_, err := c.AddEvent(t.Context(), show, media.TimedEvent{})
	field := (*media.FieldError)(nil)
	if !errors.As(err, &field) || *field != (media.FieldError{Field: "attributes.X-A", Want: "must be text"}) ||
		!errors.Is(err, media.ErrInvalid) || err.Error() != "add: attributes.X-A: must be text" {
		t.Errorf("field: %v", err)
	}
	parts.fail(errors.New("secret detail"))
	_, err = c.AddEvent(t.Context(), show, media.TimedEvent{})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "node a") {
		t.Errorf("an internal error: %v", err)
	}
	for _, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			t.Errorf("an internal error is %v", sentinel)
		}
	}
	parts.fail(context.DeadlineExceeded)
	if _, err = c.AddEvent(t.Context(), show, media.TimedEvent{}); !errors.Is(err, media.ErrUnavailable) {
		t.Errorf("a node's own deadline: %v", err)
	}
}

func TestSessionsOfAllNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, Config{Timeout: 5 * time.Second, MaxAnswer: 4000})
	spare := report("two", 0)
	spare.Standby = true
	a := &ingest{reports: []media.IngestReport{spare, report("two", 1), report("four", 1)}}
	b := &ingest{reports: []media.IngestReport{report("two", 2), report("one", 1)}}
	c.add(t, "a", a.handler("a", ""))
	c.add(t, "b", b.handler("b", ""))
	c.nodes = append(c.nodes, media.Node{ID: "edge", Role: media.RoleEdge, URL: "http://127.0.0.1:1"})
	names := func(reports []media.IngestReport) (list []string) {
		for _, r := range reports {
			list = append(list, fmt.Sprint(r.Stream, r.Epoch))
		}
		return list
	}
	reports, err := c.Sessions(t.Context())
	if got := fmt.Sprint(names(reports)); err != nil || got != "[four1 one1 two2 two0]" {
		t.Errorf("%s, %v", got, err)
	}
	hang := make(chan struct{})
	defer close(hang)
	c.add(t, "hangs", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	c.add(t, "half", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "[")
		_ = http.NewResponseController(w).Flush()
		<-hang
	}))
	c.add(t, "floods", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `["`+strings.Repeat("x", 5000)+`"]`)
	}))
	c.add(t, "babbles", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}))
	c.add(t, "elsewhere", http.NotFoundHandler())
	c.add(t, "redirects", http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
	c.nodes = append(c.nodes, media.Node{ID: "refuses", Role: media.RoleIngest, URL: "http://127.0.0.1:1"})
	reports, err = c.Sessions(t.Context())
	var unanswered *media.UnansweredError
	if !errors.As(err, &unanswered) ||
		fmt.Sprint(unanswered.Nodes) != "[babbles elsewhere floods half hangs redirects refuses]" {
		t.Errorf("missing: %v", err)
	}
	if got := fmt.Sprint(names(reports)); got != "[four1 one1 two2 two0]" {
		t.Errorf("with faults: %s", got)
	}
}

// Every node knows a source, and who is furthest with it tells.
func TestSourceStatus(t *testing.T) {
	since := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	off, waits := media.SourceStatus{State: media.SourceOff}, media.SourceStatus{
		State: media.SourceWaiting, Since: since, LastError: "refused", NextRetry: since.Add(time.Second), Retries: 3,
	}
	live := media.SourceStatus{State: media.SourceLive, Since: since}
	for _, c := range []struct {
		name  string
		nodes []media.SourceStatus
		want  media.SourceStatus
	}{
		{"no nodes", nil, off},
		{"nobody fetches", []media.SourceStatus{off, off}, off},
		{"one waits for its retry", []media.SourceStatus{off, waits}, waits},
		{"one is live", []media.SourceStatus{live, waits}, live},
		{"an answer without a state", []media.SourceStatus{{}, waits}, waits},
	} {
		t.Run(c.name, func(t *testing.T) {
			nodes := newCluster(t, Config{})
			for i, status := range c.nodes {
				id := fmt.Sprint("n", i)
				nodes.add(t, id, (&ingest{source: status}).handler(id, ""))
			}
			nodes.add(t, "elsewhere", http.NotFoundHandler())
			if got := nodes.SourceStatus(t.Context(), show); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestEveryNodeIsToldOfChangedSources(t *testing.T) {
	nodes, a, b := newCluster(t, Config{}), &ingest{}, &ingest{}
	nodes.add(t, "a", a.handler("a", ""))
	nodes.add(t, "gone", http.NotFoundHandler())
	nodes.add(t, "b", b.handler("b", ""))
	nodes.SourcesChanged(t.Context())
	for _, n := range []*ingest{a, b} {
		if got := strings.Join(n.seen(), "|"); got != "sources changed" {
			t.Errorf("asked %q", got)
		}
	}
}

// A key is revoked on every node, for a standby may be on any; one that fails is asked again, and no other.
func TestRevokedKeysAreToldToEveryNode(t *testing.T) {
	nodes, a, b := newCluster(t, Config{}), &ingest{}, &ingest{}
	var failed, told atomic.Int32
	nodes.add(t, "a", a.handler("a", ""))
	nodes.add(t, "older", http.NotFoundHandler())
	nodes.add(t, "busy", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if failed.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		told.Add(1)
		b.handler("busy", "").ServeHTTP(w, r)
	}))
	began := time.Now()
	nodes.RevokeKey(show, "key 1/2")
	for told.Load() == 0 && time.Since(began) < 2*time.Minute {
		runtime.Gosched()
	}
	for len(b.seen()) == 0 && time.Since(began) < 2*time.Minute {
		runtime.Gosched()
	}
	for _, n := range []*ingest{a, b} {
		if got := strings.Join(n.seen(), "|"); got != "revoke acme/show key 1/2" {
			t.Errorf("asked %q", got)
		}
	}
}

// The standby's node switches: the owner does not know of it.
func TestSwitchToAnotherNodesStandby(t *testing.T) {
	spare := report("show", 0)
	spare.Standby, spare.Feed, spare.Node = true, media.FeedPrimary, "b"
	for _, c := range []struct {
		name, feed, asked string
		reports           []media.IngestReport
		sentinel          error
	}{
		{"it is kept ready there", media.FeedPrimary, "sessions|switch acme/show primary", []media.IngestReport{spare}, nil},
		{"another feed is", media.FeedBackup, "sessions", []media.IngestReport{spare}, media.ErrConflict},
		{"nothing is", media.FeedPrimary, "sessions", nil, media.ErrConflict},
	} {
		t.Run(c.name, func(t *testing.T) {
			nodes := newCluster(t, Config{})
			owner := &ingest{err: fmt.Errorf("%w: not connected to this server", media.ErrConflict)}
			keeper := &ingest{reports: c.reports}
			nodes.add(t, "a", owner.handler("a", ""))
			nodes.add(t, "b", keeper.handler("b", ""))
			nodes.owner = "a"
			if err := nodes.SwitchFeed(t.Context(), show, c.feed); !errors.Is(err, c.sentinel) {
				t.Errorf("%v, want %v", err, c.sentinel)
			}
			if got := strings.Join(keeper.asked, "|"); got != c.asked {
				t.Errorf("asked %q, want %q", got, c.asked)
			}
		})
	}
}

func TestFaultsOfOwners(t *testing.T) {
	for name, f := range map[string]func(t *testing.T, c *cluster) (h http.Handler, text string, sentinel error){
		"nobody owns it": func(_ *testing.T, c *cluster) (http.Handler, string, error) {
			c.owner = ""
			return nil, "nobody publishes acme/show now", media.ErrNotFound
		},
		"the registry is away": func(_ *testing.T, c *cluster) (http.Handler, string, error) {
			c.owner, c.err = "", media.ErrUnavailable
			return nil, "owner of acme/show", media.ErrUnavailable
		},
		"its node left": func(_ *testing.T, c *cluster) (http.Handler, string, error) {
			c.owner = "gone"
			return nil, "node gone is not there", media.ErrUnavailable
		},
		"its node hangs": func(*testing.T, *cluster) (http.Handler, string, error) {
			hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
			return http.HandlerFunc(hang), "no answer within", media.ErrUnavailable
		},
		"another server's 404 is no answer": func(*testing.T, *cluster) (http.Handler, string, error) {
			return http.NotFoundHandler(), "internal port", errAnswer
		},
		"a code of another version": func(*testing.T, *cluster) (http.Handler, string, error) {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusTeapot)
				_, _ = io.WriteString(w, `{"code":"teapot","detail":"no coffee"}`)
			}), "no coffee", errAnswer
		},
		"it panics": func(*testing.T, *cluster) (http.Handler, string, error) {
			return NewHandler(Deps{}, nil, slog.New(slog.DiscardHandler)), "the node's log says more", errAnswer
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Timeout: time.Minute}
			if name == "its node hangs" {
				cfg.Timeout = 100 * time.Millisecond
			}
			c := newCluster(t, cfg)
			c.owner = "a"
			h, text, sentinel := f(t, c)
			if h != nil {
				c.add(t, "a", h)
			}
			_, err := c.Session(t.Context(), show)
			if !errors.Is(err, sentinel) || !strings.Contains(err.Error(), text) {
				t.Errorf("got %v, want %v with %q", err, sentinel, text)
			}
			if errors.Is(err, media.ErrNotFound) != errors.Is(sentinel, media.ErrNotFound) {
				t.Errorf("%v is told as not found", err)
			}
		})
	}
	c := newCluster(t, Config{})
	if _, err := c.Events(t.Context(), show); !errors.Is(err, media.ErrConflict) {
		t.Errorf("events of a stream that nobody owns: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.add(t, "a", (&ingest{}).handler("a", ""))
	c.owner = "a"
	if _, err := c.Session(ctx, show); !errors.Is(err, context.Canceled) {
		t.Errorf("who asked has left: %v", err)
	}
}

func TestARememberedOwnerIsAsked(t *testing.T) {
	c := newCluster(t, Config{})
	parts := &ingest{}
	c.add(t, "a", parts.handler("a", ""))
	c.owner, c.err = "a", media.ErrUnavailable
	if err := c.EndSession(t.Context(), show, ""); err != nil {
		t.Error(err)
	}
}

func TestAStreamThatMovedIsFollowedOnce(t *testing.T) {
	c := newCluster(t, Config{})
	a, b := &ingest{}, &ingest{}
	c.add(t, "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.own("b")
		a.handler("a", "").ServeHTTP(w, r)
	}))
	c.add(t, "b", b.handler("b", ""))
	c.owner = "a"
	a.fail(media.ErrNotFound)
	if err := c.EndSession(t.Context(), show, "x"); err != nil || len(b.seen()) != 1 {
		t.Errorf("%v, b was asked %v", err, b.seen())
	}
	b.fail(media.ErrNotFound)
	if err := c.EndSession(t.Context(), show, "x"); !errors.Is(err, media.ErrNotFound) || len(b.seen()) != 2 {
		t.Errorf("%v, b was asked %v", err, b.seen())
	}
}

func TestToken(t *testing.T) {
	const token = "a secret of the cluster"
	for _, asked := range []string{"", "another", token + "x", token[:5]} {
		c, parts := newCluster(t, Config{Tokens: fixed(asked)}), &ingest{}
		node := c.add(t, "a", parts.handler("a", token))
		err := c.Drain(t.Context(), node)
		if err == nil || !strings.Contains(err.Error(), "--cluster-token") || strings.Contains(err.Error(), token) {
			t.Errorf("with token %q: %v", asked, err)
		}
		if len(parts.seen()) != 0 {
			t.Errorf("with token %q it did %v", asked, parts.seen())
		}
	}
	c, parts := newCluster(t, Config{Tokens: fixed(token)}), &ingest{}
	if err := c.Drain(t.Context(), c.add(t, "a", parts.handler("a", token))); err != nil {
		t.Error(err)
	}
	if err := c.Drain(t.Context(), c.add(t, "b", parts.handler("b", ""))); err != nil {
		t.Errorf("a node that demands none: %v", err)
	}
	// Nothing is told without it, not even which paths there are.
	for _, path := range []string{"status", "sessions", "nothing"} {
		rec := httptest.NewRecorder()
		parts.handler("a", token).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, Prefix+path, nil))
		if rec.Code != http.StatusUnauthorized || rec.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	parts := &ingest{}
	h := parts.handler("a", "")
	const stream = Prefix + "streams/acme/show/"
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"DELETE", stream + "session", ``, 422, "invalid"},
		{"DELETE", stream + "session", `{"reason":1}`, 422, "invalid"},
		{"DELETE", stream + "session", `{"why":"x"}`, 422, "unknown field"},
		{"DELETE", stream + "session", `{} {}`, 422, "more after"},
		{"DELETE", stream + "session", `{"reason":"` + strings.Repeat("x", 201) + `"}`, 422, `"field":"reason"`},
		{"DELETE", stream + "session", `{"reason":"` + strings.Repeat("x", maxRequest) + `"}`, 413, "too_large"},
		{"POST", stream + "feed", `{"feed":"third"}`, 422, `"field":"feed"`},
		{"POST", stream + "feed", `{}`, 422, `"field":"feed"`},
		{"POST", stream + "events", `[]`, 422, "invalid"},
		{"POST", stream + "events", `{"begin":1}`, 422, "unknown field"},
		{"PATCH", stream + "events", `{"start_date":"yesterday"}`, 422, "invalid"},
		{"GET", Prefix + "streams/v1/show/session", ``, 422, "bad_name"},
		{"GET", Prefix + "streams/acme/SHOW/session", ``, 422, "bad_name"},
		{"GET", Prefix + "nothing", ``, 404, ""},
		{"PUT", Prefix + "drain", ``, 405, ""},
		{"GET", Prefix + "drain", ``, 405, ""},
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.says) {
			t.Errorf("%s %s %.40s: %d %s", c.method, c.path, c.body, rec.Code, rec.Body)
		}
	}
	if len(parts.asked) != 0 {
		t.Errorf("it did %v", parts.asked)
	}
	bare := NewHandler(Deps{}, nil, slog.New(slog.DiscardHandler))
	for path, body := range map[string]string{"drain": "", "streams/acme/show/feed": `{"feed":"backup"}`} {
		rec := httptest.NewRecorder()
		bare.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, Prefix+path, strings.NewReader(body)))
		if rec.Code != http.StatusConflict {
			t.Errorf("%s of a node that can't: %d %s", path, rec.Code, rec.Body)
		}
	}
}

func TestNothingConnected(t *testing.T) {
	rec := httptest.NewRecorder()
	(&ingest{}).handler("a", "").ServeHTTP(rec, httptest.NewRequest(http.MethodGet, Prefix+"sessions", nil))
	if rec.Body.String() != "[]" || rec.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%s %v", rec.Body, rec.Header())
	}
}

func FuzzReadBody(f *testing.F) {
	for _, seed := range []string{``, `{}`, `{"reason":"x"}`, `{} {}`, `{"feed":"backup"}`, `null`, `{"cue":[]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		defer fuzztest.Bound(t, 4<<20+64*len(body))()
		var e media.TimedEvent
		if err := readBody(strings.NewReader(body), &e); err != nil && !errors.Is(err, media.ErrInvalid) &&
			!errors.Is(err, media.ErrTooLarge) {
			t.Errorf("%q: %v", body, err)
		}
		h := (&ingest{}).handler("a", "")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, Prefix+"streams/acme/show/feed", strings.NewReader(body)))
		if rec.Code >= 500 {
			t.Errorf("%q: %d %s", body, rec.Code, rec.Body)
		}
	})
}
