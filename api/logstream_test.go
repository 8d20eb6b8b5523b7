package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
)

// logFixture is a server that runs, with a log and a socket.
type logFixture struct {
	*fixture
	url  string
	stop func()
}

func newLogFixture(t *testing.T, change func(*Config, *Deps)) *logFixture {
	t.Helper()
	f := &logFixture{fixture: newFixture(t, func(c *Config, d *Deps) {
		c.Timeout = 4 * time.Second // streams last longer
		if change != nil {
			change(c, d)
		}
	})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	front := httptest.NewServer(f.Public())
	f.url = front.URL + logStreamPath
	f.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		f.stop()
		front.Close()
	})
	f.settle()
	return f
}

// settle waits until the reader has all that the log has.
func (f *logFixture) settle() {
	f.t.Helper()
	ends, err := f.db.EventEnds(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	late := time.After(2 * time.Minute)
	for {
		f.follow.mu.Lock()
		there := f.follow.mu.open && f.follow.mu.last >= ends.Last
		f.follow.mu.Unlock()
		if there {
			return
		}
		f.follow.look()
		select {
		case <-late:
			f.t.Fatal("the log is not read")
		case <-time.After(time.Millisecond):
		}
	}
}

// add logs n warnings of a publisher.
func (f *fixture) add(publisher string, n int) {
	f.t.Helper()
	var events []media.LogEvent
	for range n {
		events = append(events, media.LogEvent{
			Type: media.EventIngestWarning, Publisher: publisher, Stream: "show",
			Data: media.MarshalEventData(media.WarningData{Code: "x", Text: "two\nlines"}),
		})
	}
	if err := f.db.AddEvents(f.t.Context(), events...); err != nil {
		f.t.Fatal(err)
	}
}

// follower is one client.
type follower struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Reader
	id   string // as a client remembers it
}

func (f *logFixture) open(query, lastID string) *follower {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.url+query, http.NoBody)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		f.t.Fatalf("%s: %s", query, resp.Status)
	}
	return &follower{t: f.t, resp: resp, in: bufio.NewReader(resp.Body)}
}

// next gives the next n events by id and name.
func (f *follower) next(n int) string {
	f.t.Helper()
	var got []string
	name, data := "", ""
	for len(got) < n {
		line, err := f.in.ReadString('\n')
		if err != nil {
			f.t.Fatalf("after %v: %v", got, err)
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "id":
			f.id = value
		case "event":
			name = value
		case "data":
			data = value
		case "":
			if data == "" {
				break
			}
			if name == "lost" {
				got = append(got, "lost "+data)
			} else {
				var e media.LogEvent
				if err := json.Unmarshal([]byte(data), &e); err != nil || fmt.Sprint(e.ID) != f.id || e.Type != name {
					f.t.Errorf("event %s %s: %s, %v", f.id, name, data, err)
				}
				got = append(got, e.Publisher+f.id)
			}
			name, data = "", ""
		}
	}
	return strings.Join(got, " ")
}

func wantNext(t *testing.T, f *follower, want string) {
	t.Helper()
	if got := f.next(len(strings.Fields(want))); got != want {
		t.Errorf("came %s, want %s", got, want)
	}
}

func TestLogStreamResumesExactly(t *testing.T) {
	f := newLogFixture(t, withLog)
	f.add("acme", 1)
	f.settle()
	now, all := f.open("", ""), f.open("?after=0", "")
	wantNext(t, all, "acme1")
	for range 3 { // longer than the bound on a request's work, all in all
		f.add("acme", 1)
		f.add("other", 1)
		f.settle()
		<-time.After(1500 * time.Millisecond)
	}
	wantNext(t, all, "acme2 other3 acme4 other5 acme6 other7")
	wantNext(t, now, "acme2 other3 acme4 other5 acme6 other7")
	wantNext(t, f.open("?after=4", ""), "other5 acme6 other7")
	wantNext(t, f.open("?after=4", "5"), "acme6 other7") // the header goes first
	wantNext(t, f.open("?after=0&publisher=other", ""), "other3 other5 other7")
	wantNext(t, f.open("?after=0&publisher=other&type=stream.live&type=ingest.warning", ""), "other3 other5 other7")

	// From before what the process remembers, and across its end.
	f.stop()
	f.add("acme", 2)
	again := newLogFixture(t, func(_ *Config, d *Deps) { d.Log = f.db })
	again.db = f.db
	r := again.open("", all.id)
	wantNext(t, r, "acme8 acme9")
	f.add("acme", 1)
	again.settle()
	wantNext(t, r, "acme10")
}

func withLog(_ *Config, d *Deps) { d.Log = d.Publishers.(Log) }

func TestLogStreamTellsWhatItLacks(t *testing.T) {
	f := newLogFixture(t, withLog)
	f.add("acme", 6)
	f.settle()
	if _, err := f.db.PruneEvents(t.Context(), time.Now().Add(time.Hour), 4); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"?after=2": `lost {"after":2,"from":4}`, "?after=99": `lost {"after":99,"from":6}`,
	} {
		s := f.open(query, "")
		if got := s.next(1); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
		if query == "?after=2" {
			wantNext(t, s, "acme5 acme6")
		}
	}
	wantNext(t, f.open("?after=4", ""), "acme5 acme6")
}

func TestLogStreamIsBoundedAndCutsWhoIsSlow(t *testing.T) {
	f := newLogFixture(t, func(c *Config, d *Deps) { withLog(c, d); c.LogFollowers = 16 })
	slow, _, err := f.follow.subscribe(media.LogFilter{}, "acme", -1)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := f.follow.subscribe(media.LogFilter{Publisher: "other"}, "acme", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.follow.subscribe(media.LogFilter{}, "acme", -1); !errors.Is(err, errTooMany) {
		t.Errorf("a publisher's third follower of sixteen: %v", err)
	}
	f.add("acme", logBuffer+1)
	f.settle()
	<-slow.done
	if n := testutil.ToFloat64(f.follow.cut); slow.why != "too slow" || n != 1 {
		t.Errorf("cut for %q, %v counted", slow.why, n)
	}
	if id, ok := f.follow.position(other); !ok || id != logBuffer+1 {
		t.Errorf("who wants none of it stands at %d, %v", id, ok)
	}
	for range 15 {
		if _, _, err := f.follow.subscribe(media.LogFilter{}, "", -1); err != nil {
			t.Fatal(err)
		}
	}
	if a := f.do("GET", logStreamPath, ""); a.Code != http.StatusTooManyRequests ||
		a.Header().Get("Retry-After") == "" || len(a.locations()) != 1 {
		t.Errorf("one too many: %d %s", a.Code, a.Body)
	}
	f.stop()
	<-other.done
	if a := f.do("GET", logStreamPath, ""); a.Code != http.StatusServiceUnavailable {
		t.Errorf("after the end: %d", a.Code)
	}
}

func TestLogIsEachPublishersOwn(t *testing.T) {
	f := newLogFixture(t, withLog)
	f.add("acme", 2)
	f.add("other", 2)
	if err := f.db.AddEvents(t.Context(), media.LogEvent{Type: media.EventPressure}); err != nil {
		t.Fatal(err)
	}
	f.settle()
	ctx, cancel := context.WithCancel(withCaller(t.Context(), media.Token{Publisher: "other", Scopes: []string{media.ScopeRead}}))
	defer cancel()
	out, err := f.listLog(ctx, &listLogInput{Order: "desc", Limit: 10})
	if err != nil || len(out.Body.Items) != 2 || out.Body.Items[0].Publisher != "other" {
		t.Errorf("list: %+v, %v", out, err)
	}
	for _, s := range []LogSelection{{Publisher: "acme"}, {Publisher: "acme", Recording: "x"}} {
		if _, err := s.filter(ctx); !errors.Is(err, media.ErrNotFound) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	filter, err := LogSelection{}.filter(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w := &lines{came: make(chan string, 10)}
	r := httptest.NewRequest(http.MethodGet, logStreamPath, http.NoBody).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer "+token)
	done := make(chan struct{})
	go func() { defer close(done); f.streamLog(w, r, filter, 0) }()
	text := <-w.came
	for !strings.Contains(text, "retry") {
		text += <-w.came
	}
	if strings.Contains(text, "acme") || strings.Count(text, `"publisher":"other"`) != 2 || strings.Contains(text, "pressure") {
		t.Errorf("stream: %s", text)
	}
	cancel()
	<-done
}

// lines is a response that tells what is written.
type lines struct {
	came chan string
	head http.Header
}

func (l *lines) Header() http.Header {
	if l.head == nil {
		l.head = http.Header{}
	}
	return l.head
}
func (l *lines) WriteHeader(int) {}
func (l *lines) Flush()          {}

func (l *lines) Write(p []byte) (int, error) {
	select {
	case l.came <- string(p):
	default:
	}
	return len(p), nil
}

// quietLog is a log without events.
type quietLog struct{ Log }

func (quietLog) EventEnds(context.Context) (media.LogEnds, error) { return media.LogEnds{Last: 7}, nil }

func (quietLog) Events(context.Context, media.LogFilter, media.LogPage) ([]media.LogEvent, error) {
	return nil, nil
}

type tokens = Tokens

// revocable is a token that a test revokes, and that can't be looked at before.
type revocable struct {
	tokens
	revoked atomic.Bool
}

func (r *revocable) CheckToken(context.Context, string) (media.Token, error) {
	if r.revoked.Load() {
		return media.Token{}, media.ErrDenied
	}
	return media.Token{}, media.ErrUnavailable
}

func TestLogStreamBeatsAndEndsWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := &revocable{}
		s := New(Config{}, Deps{Log: quietLog{}, Tokens: tokens}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		running := make(chan struct{})
		go func() { defer close(running); s.follow.run(ctx) }()
		synctest.Wait()
		w := &lines{came: make(chan string, 100)}
		r := httptest.NewRequest(http.MethodGet, logStreamPath, http.NoBody)
		done := make(chan struct{})
		begun := time.Now()
		go func() { defer close(done); s.streamLog(w, r, media.LogFilter{}, -1) }()
		time.Sleep(35*logCheck + time.Second)
		select {
		case <-done:
			t.Fatal("it ended while nobody knew whether its token is good")
		default:
		}
		tokens.revoked.Store(true)
		<-done
		if took := time.Since(begun); took != 36*logCheck {
			t.Errorf("it ended after %s", took)
		}
		close(w.came)
		beats := 0
		for text := range w.came {
			if text == "id: 7\n\n" {
				beats++
			}
		}
		if beats < 34 {
			t.Errorf("%d beats in six minutes", beats)
		}
		cancel()
		<-running
	})
}

func TestLogIsListed(t *testing.T) {
	f := newFixture(t, withLog)
	f.add("acme", 3)
	f.add("other", 2)
	list := func(query string) (ids []string, next string) {
		t.Helper()
		a := f.must(200, "GET", "/v1/events"+query, "")
		for _, item := range a.json["items"].([]any) {
			ids = append(ids, fmt.Sprint(item.(map[string]any)["id"]))
		}
		return ids, a.json["next"].(string)
	}
	for _, tt := range []struct {
		query string
		want  []string
		next  string
	}{
		{"", []string{"5", "4", "3", "2", "1"}, ""},
		{"?limit=2", []string{"5", "4"}, "4"},
		{"?limit=2&cursor=4", []string{"3", "2"}, "2"},
		{"?limit=2&cursor=2", []string{"1"}, ""},
		{"?order=asc&limit=2", []string{"1", "2"}, "2"},
		{"?order=asc&limit=2&cursor=2", []string{"3", "4"}, "4"},
		{"?order=asc&after=3", []string{"4", "5"}, ""},
		{"?publisher=other", []string{"5", "4"}, ""},
		{"?type=stream.live&type=ingest.warning&publisher=acme", []string{"3", "2", "1"}, ""},
		{"?since=2040-01-01T00:00:00Z", nil, ""},
	} {
		if ids, next := list(tt.query); !slices.Equal(ids, tt.want) || next != tt.next {
			t.Errorf("%s: %v then %q, want %v then %q", tt.query, ids, next, tt.want, tt.next)
		}
	}
	for query, field := range map[string]string{
		"?type=stream.gone": "query.type[0]", "?after=3": "query.after", "?cursor=x": "query.cursor", "?order=up": "query.order",
		"?limit=0": "query.limit", "?what=1": "query.what", "/stream?after=-2": "query.after", "/stream?type=x": "query.type[0]",
	} {
		a := f.must(422, "GET", "/v1/events"+query, "")
		if !strings.Contains(a.Body.String(), `"`+field+`"`) {
			t.Errorf("%s does not name %s: %s", query, field, a.Body)
		}
	}
}
