package webhook

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
	"github.com/oxbow-video/oxbow/internal/media"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "a-secret-of-the-tests"

// receiver is a real HTTP server that verifies what comes and notes it before it answers.
type receiver struct {
	tb     testing.TB
	url    string
	answer func(w http.ResponseWriter, r *http.Request, m Message, try int)
	gone   chan struct{} // closed at the test's end, for those that hang

	mu    sync.Mutex
	tries []try
	byID  map[int64]int // tries by delivery
}

// try is a request that came.
type try struct {
	message Message
	ok      bool // answered with 2xx
	at      time.Time
}

// newReceiver starts a receiver. Answer answers the nth try of a delivery, from 1; nil takes everything.
func newReceiver(tb testing.TB, answer func(w http.ResponseWriter, r *http.Request, m Message, try int)) *receiver {
	tb.Helper()
	r := &receiver{tb: tb, answer: answer, gone: make(chan struct{}), byID: map[int64]int{}}
	server := httptest.NewServer(r)
	r.url = server.URL + "/hook"
	tb.Cleanup(server.Close)
	tb.Cleanup(func() { close(r.gone) })
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		return
	}
	if err := Verify(secret, req.Header.Get(HeaderSignature), body, time.Now(), time.Minute); err != nil {
		r.tb.Errorf("%v: %q", err, req.Header)
	}
	var m Message
	if err := json.Unmarshal(body, &m); err != nil {
		r.tb.Errorf("%v: %s", err, body)
	}
	if req.Header.Get(HeaderEvent) != strconv.FormatInt(m.ID, 10) || req.Header.Get(HeaderType) != m.Type ||
		req.Header.Get(HeaderWebhook) != m.Webhook || req.Header.Get(HeaderDelivery) != strconv.FormatInt(m.Delivery, 10) {
		r.tb.Errorf("headers %q of %s", req.Header, body)
	}
	r.mu.Lock()
	r.byID[m.Delivery]++
	nth := r.byID[m.Delivery]
	r.tries = append(r.tries, try{message: m, at: time.Now()})
	index := len(r.tries) - 1
	r.mu.Unlock()
	status := &statusWriter{ResponseWriter: w}
	if r.answer != nil {
		r.answer(status, req, m, nth)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries[index].ok = status.ok()
}

type statusWriter struct {
	http.ResponseWriter
	status int
	broken bool
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) ok() bool { return !w.broken && (w.status == 0 || w.status/100 == 2) }

// dies answers 200 and closes the connection in the middle of the body.
func dies(w http.ResponseWriter) {
	status, _ := w.(*statusWriter)
	status.broken = true
	conn, _, err := status.ResponseWriter.(http.Hijacker).Hijack()
	if err == nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of")
		_ = conn.Close()
	}
}

func (r *receiver) seen() []try {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]try(nil), r.tries...)
}

// taken counts the events that were taken.
func (r *receiver) taken() int {
	ids := map[int64]bool{}
	for _, t := range r.seen() {
		if t.ok {
			ids[t.message.ID] = true
		}
	}
	return len(ids)
}

// inOrder wants each event of a subject to come for the first time after the one before it was taken.
func (r *receiver) inOrder() {
	r.tb.Helper()
	type state struct {
		id    int64
		taken bool
	}
	last := map[string]state{}
	for _, t := range r.seen() {
		subject, id := t.message.Subject(), t.message.ID
		before, is := last[subject]
		if is && (id < before.id || id > before.id && !before.taken) {
			r.tb.Errorf("%s: event %d came after %+v", subject, id, before)
		}
		last[subject] = state{id: id, taken: t.ok || id == before.id && before.taken}
	}
}

// world is a catalog with the publisher acme.
type world struct {
	tb testing.TB
	db *catalog.DB
}

// newCatalog gives copies of a migrated catalog.
var newCatalog = catalogtest.Copies(func(file string) error {
	_, err := catalog.Migrate(context.Background(), "sqlite:"+file, slog.New(slog.DiscardHandler))
	return err
})

func newWorld(tb testing.TB) *world {
	tb.Helper()
	db, err := catalog.OpenSQLite(tb.Context(), newCatalog(tb), slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	return worldOn(tb, db)
}

// worldOn is newWorld on a catalog that is there, which it closes in the end.
func worldOn(tb testing.TB, db *catalog.DB) *world {
	tb.Helper()
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	if err := db.CreatePublisher(tb.Context(), media.Publisher{Name: "acme"}); err != nil {
		tb.Fatal(err)
	}
	return &world{tb: tb, db: db}
}

func (w *world) hook(url string) media.Webhook {
	w.tb.Helper()
	hook, err := w.db.CreateWebhook(w.tb.Context(), media.Webhook{
		Publisher: "acme", URL: url, Enabled: true, Trusted: true, Secret: secret,
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	return hook
}

// happen logs n events of each of so many recordings, in turn.
func (w *world) happen(recordings, n int) {
	w.tb.Helper()
	var events []media.LogEvent
	for range n {
		for r := range recordings {
			events = append(events, media.LogEvent{
				Type: media.EventInterrupted, Publisher: "acme", Stream: "show", Recording: recordingID(r),
			})
		}
	}
	if err := w.db.AddEvents(w.tb.Context(), events...); err != nil {
		w.tb.Fatal(err)
	}
}

func recordingID(n int) media.RecordingID {
	return media.RecordingID("01jd000000000000000000" + strconv.Itoa(1000+n))
}

// run runs a deliverer until the test's end, or until stop.
func (w *world) run(cfg Config, sending SenderConfig, logger *slog.Logger) (stop func()) {
	w.tb.Helper()
	d, sender := w.deliverer(cfg, sending, logger)
	return start(w.tb, d, sender)
}

func (w *world) deliverer(cfg Config, sending SenderConfig, logger *slog.Logger) (*Deliverer, *Sender) {
	if cfg.Owner == "" {
		cfg.Owner = "a"
	}
	if cfg.Poll == 0 {
		cfg.Poll = 10 * time.Millisecond
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	sender := NewSender(sending)
	return New(cfg, w.db, sender, logger, prometheus.NewRegistry()), sender
}

func eventually(tb testing.TB, what string, f func() bool) {
	tb.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); <-tick.C {
		if f() {
			return
		}
	}
	tb.Fatalf("not in time: %s", what)
}
