package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/webhook"
)

const hookSecret = "secret-of-a-receiver"

// hookReceiver takes events, all but every 23rd request, which it answers with 500, or what else its answer says.
type hookReceiver struct {
	url string
	// answer, if it is set, answers the nth request and says whether the event is taken.
	answer func(w http.ResponseWriter, req *http.Request, n int, e hookEvent) bool

	mu       sync.Mutex
	requests int
	taken    map[int64]int       // by event
	arrived  map[int64]time.Time // when an event was taken first
	last     map[string]int64    // the last event taken, by recording
	faults   []string
}

// hookEvent is what receivers read of an event.
type hookEvent struct {
	ID        int64
	Type      string
	Recording string
}

// newHookReceiver starts a receiver; what it was sent is verified and noted.
func newHookReceiver(tb testing.TB) *hookReceiver {
	r := &hookReceiver{
		taken: map[int64]int{}, arrived: map[int64]time.Time{}, last: map[string]int64{}, answer: everyNth,
	}
	server := httptest.NewServer(r)
	tb.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// ServeHTTP implements http.Handler.
func (r *hookReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		return // the server was killed in the middle
	}
	var e hookEvent
	err = errors.Join(json.Unmarshal(body, &e),
		webhook.Verify(hookSecret, req.Header.Get("Oxbow-Signature"), body, time.Now(), time.Minute))
	r.mu.Lock()
	if err != nil {
		r.faults = append(r.faults, err.Error())
	}
	r.requests++
	n, answer := r.requests, r.answer
	r.mu.Unlock()
	if !answer(w, req, n, e) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// One that was taken may come again, as the server could die before it noted that; none before comes after.
	if e.ID < r.last[e.Recording] {
		r.faults = append(r.faults, fmt.Sprintf("%s: event %d after %d", e.Recording, e.ID, r.last[e.Recording]))
	}
	if r.taken[e.ID]++; r.taken[e.ID] == 1 {
		r.arrived[e.ID] = time.Now()
	}
	r.last[e.Recording] = e.ID
}

func everyNth(w http.ResponseWriter, _ *http.Request, n int, _ hookEvent) bool {
	if n%23 == 0 {
		w.WriteHeader(http.StatusInternalServerError)
	}
	return n%23 != 0
}

func (r *hookReceiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.taken)
}

// TestWebhooksSurviveKillNine kills the server twice with -9 while it sends: every event arrives, and of each recording
// in order, while another webhook's receiver hangs all the time.
func TestWebhooksSurviveKillNine(t *testing.T) {
	t.Parallel()
	server := newOxbow(t)
	server.start("serve")
	server.createStream("acme", "show", nil)
	receiver := newHookReceiver(t)
	stuck := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stuck:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hangs.Close)
	t.Cleanup(func() { close(stuck) })
	var hook struct{ ID string }
	for _, url := range []string{hangs.URL, receiver.url} {
		body := map[string]any{"publisher": "acme", "url": url, "secret": hookSecret}
		if status := server.api(http.MethodPost, "/v1/webhooks", body, &hook); status != http.StatusCreated {
			t.Fatalf("create webhook: %d", status)
		}
	}
	var tested struct{ OK bool }
	if status := server.api(http.MethodPost, "/v1/webhooks/"+hook.ID+"/test", nil, &tested); status != http.StatusOK || !tested.OK {
		t.Fatalf("test: %d %+v", status, tested)
	}

	// Another process logs the events, as archivers do.
	db, err := catalog.OpenSQLite(t.Context(), filepath.Join(server.data, "catalog.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const recordings, each = 30, 10
	for range each {
		var events []media.LogEvent
		for n := range recordings {
			events = append(events, media.LogEvent{
				Type: media.EventInterrupted, Publisher: "acme", Stream: "show",
				Recording: media.RecordingID(fmt.Sprintf("01jd%022d", n)),
			})
		}
		if err := db.AddEvents(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
	}
	const all = recordings*each + 1 // and the test
	for _, part := range []int{all / 5, all / 2} {
		eventually(t, 20*time.Second, "events arrive", func() bool { return receiver.count() >= part })
		if n := receiver.count(); n == all {
			t.Fatalf("all %d arrived before the kill", n)
		}
		server.stop(syscall.SIGKILL)
		server.start("serve")
	}
	eventually(t, 30*time.Second, "every event has arrived", func() bool { return receiver.count() == all })
	receiver.mu.Lock()
	defer receiver.mu.Unlock()
	for _, fault := range receiver.faults {
		t.Error(fault)
	}
	t.Logf("%d requests for %d events", receiver.requests, all)
	var row struct {
		State   string
		Waiting int
	}
	eventually(t, 10*time.Second, "nothing waits", func() bool {
		server.api(http.MethodGet, "/v1/webhooks/"+hook.ID, nil, &row)
		return row.Waiting == 0
	})
	server.stop(syscall.SIGTERM)
}
