package viewing

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/media"
)

// directory takes reports, or answers with a status that refuses them.
type directory struct {
	*httptest.Server
	mu      sync.Mutex
	refuse  int
	reports []media.ViewingReport
	path    string
	token   string
}

func newDirectory(t *testing.T) *directory {
	d := &directory{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		var report media.ViewingReport
		if err := json.NewDecoder(r.Body).Decode(&report); err != nil {
			t.Error(err)
		}
		d.path, d.token = r.URL.EscapedPath(), r.Header.Get("Authorization")
		if d.refuse != 0 {
			w.WriteHeader(d.refuse)
			return
		}
		d.reports = append(d.reports, report)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *directory) taken() []media.ViewingReport {
	d.mu.Lock()
	defer d.mu.Unlock()
	reports := d.reports
	d.reports = nil
	return reports
}

func (d *directory) answer(status int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuse = status
}

// starts adds up the starts of the minutes that were to be kept.
func starts(reports []media.ViewingReport) (n int64) {
	kept := make(map[media.ViewingKey]int64)
	for _, r := range reports {
		for _, row := range r.Done {
			kept[row.ViewingKey] = row.Starts
		}
	}
	for _, s := range kept {
		n += s
	}
	return n
}

func TestReportsReachAllAndMinutesOne(t *testing.T) {
	w := newWorld(t, Config{})
	one, two := newDirectory(t), newDirectory(t)
	r := NewReporter(ReporterConfig{Edge: "e/1", Directories: []string{one.URL, two.URL}, Tokens: admission.MustFixed(t, "secret")}, w.Book,
		slog.New(slog.DiscardHandler))
	watch := func(session string) { // for a minute
		w.get(playlist, `ot=m,su,sid="`+session+`"`)
		w.Sweep()
		w.pass(time.Minute)
		w.Sweep()
	}
	watch("a")
	r.Report(t.Context())
	first, second := one.taken(), two.taken()
	if len(first) != 1 || len(second) != 1 || starts(first) != 1 || len(second[0].Done) != 0 || !first[0].Keep || second[0].Keep {
		t.Fatalf("first report: %+v, %+v", first, second)
	}
	if one.path != "/internal/v1/edges/e%2F1/viewing" || one.token != "Bearer secret" {
		t.Errorf("sent to %s with %q", one.path, one.token)
	}
	if err := first[0].Check(); err != nil {
		t.Error(err)
	}
	r.Report(t.Context())
	if again := one.taken(); len(again[0].Done) != 0 {
		t.Errorf("told again: %v", again[0].Done)
	}
	two.taken()

	// Both are away for ten minutes: nothing is lost, and nothing is there twice. Then the other keeps the history.
	one.answer(http.StatusServiceUnavailable)
	two.answer(http.StatusServiceUnavailable)
	for i := range 10 {
		watch(string(rune('b' + i)))
		r.Report(t.Context())
	}
	two.answer(0)
	r.Report(t.Context())
	r.Report(t.Context())
	if got := starts(two.taken()); got != 10 {
		t.Errorf("%d of 10 starts came when a directory was back", got)
	}
	r.Report(t.Context())
	if rest := two.taken(); starts(rest) != 0 {
		t.Errorf("told again: %+v", rest)
	}
}

func TestTheLastMinuteIsToldAtTheEnd(t *testing.T) {
	w := newWorld(t, Config{})
	d := newDirectory(t)
	r := NewReporter(ReporterConfig{Edge: "e1", Directories: []string{d.URL}, Every: time.Hour}, w.Book,
		slog.New(slog.DiscardHandler))
	w.get(playlist, `ot=m,su,sid="a"`)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got := starts(d.taken()); got != 1 {
		t.Errorf("%d starts were told", got)
	}
}
