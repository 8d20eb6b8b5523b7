package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
	"github.com/oxbow-video/oxbow/internal/media"
)

const token = "test-token-of-enough-length"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a server over a real catalog.
type fixture struct {
	*Server
	t      *testing.T
	db     *catalog.DB
	kicked []media.StreamPath
	voided []string // the ids of keys whose publishers were dropped
}

// newCatalog gives copies of a migrated catalog.
var newCatalog = catalogtest.Copies(func(file string) error {
	_, err := catalog.Migrate(context.Background(), "sqlite:"+file, slog.New(slog.DiscardHandler))
	return err
})

// newFixture makes a server; change, when not nil, changes what it is made of.
func newFixture(t *testing.T, change func(*Config, *Deps)) *fixture {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	db, err := catalog.OpenSQLite(t.Context(), newCatalog(t), logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := db.AddToken(t.Context(), "test", token); err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, db: db}
	cfg := Config{ListingAge: time.Nanosecond}
	deps := Deps{
		Publishers: db, Streams: db, Keys: db, Recordings: db, Tokens: db, Audit: db, Sources: db, Clips: db, Replies: db,
		Retention: db, Webhooks: db, Playback: db, SteeringRules: db, Viewing: db,
		Kick:      func(path media.StreamPath) { f.kicked = append(f.kicked, path) },
		RevokeKey: func(_ media.StreamPath, id string) { f.voided = append(f.voided, id) },
	}
	if change != nil {
		change(&cfg, &deps)
	}
	f.Server = New(cfg, deps, logger, prometheus.NewRegistry())
	return f
}

// answer is a response with its JSON, if it has one.
type answer struct {
	*httptest.ResponseRecorder
	json map[string]any
}

// do sends a request with the token; headers come in pairs.
func (f *fixture) do(method, target, body string, headers ...string) answer {
	f.t.Helper()
	headers = append([]string{"Authorization", "Bearer " + token, "Content-Type", "application/json"}, headers...)
	return f.send(f.Public(), method, target, body, headers...)
}

func (f *fixture) send(h http.Handler, method, target, body string, headers ...string) answer {
	f.t.Helper()
	var reader io.Reader = http.NoBody
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, reader)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a := answer{ResponseRecorder: httptest.NewRecorder()}
	h.ServeHTTP(a, r)
	if strings.Contains(a.Header().Get("Content-Type"), "json") {
		if err := json.Unmarshal(a.Body.Bytes(), &a.json); err != nil {
			f.t.Fatalf("%s %s: answer is no JSON: %v: %q", method, target, err, a.Body)
		}
	}
	return a
}

// must sends a request that has to end in the status.
func (f *fixture) must(status int, method, target, body string) answer {
	f.t.Helper()
	a := f.do(method, target, body)
	if a.Code != status {
		f.t.Fatalf("%s %s: got %d, want %d: %s", method, target, a.Code, status, a.Body)
	}
	return a
}

// stream makes a publisher and a stream of it.
func (f *fixture) stream(path media.StreamPath, listed bool) {
	f.t.Helper()
	f.must(201, "POST", "/v1/publishers", fmt.Sprintf(`{"name":%q}`, path.Publisher))
	f.must(201, "POST", "/v1/publishers/"+path.Publisher+"/streams",
		fmt.Sprintf(`{"name":%q,"listed":%v}`, path.Stream, listed))
}

// recording saves a recording: the number makes its id and its start.
func (f *fixture) recording(path media.StreamPath, number int, state media.State) media.RecordingID {
	f.t.Helper()
	r := media.Recording{
		ID:        recordingID(number),
		Path:      path,
		State:     state,
		StartedAt: time.Date(2026, 11, 1, 0, number, 0, 0, time.UTC),
		Duration:  time.Minute,
		Bytes:     1000,
		Local:     true,
	}
	if !state.Growing() {
		r.EndedAt = r.StartedAt.Add(time.Minute)
	}
	if err := f.db.SaveRecording(f.t.Context(), r); err != nil {
		f.t.Fatal(err)
	}
	return r.ID
}

func recordingID(number int) media.RecordingID {
	return media.RecordingID(fmt.Sprintf("01jd%022d", number))
}

// locations lists errors[].location of a problem document.
func (a answer) locations() []string {
	var list []string
	items, _ := a.json["errors"].([]any)
	for _, item := range items {
		detail, _ := item.(map[string]any)
		location, _ := detail["location"].(string)
		list = append(list, location)
	}
	return list
}

func (a answer) items() []map[string]any {
	var list []map[string]any
	items, _ := a.json["items"].([]any)
	for _, item := range items {
		row, _ := item.(map[string]any)
		list = append(list, row)
	}
	return list
}

// awayCatalog fails every look at recordings.
type awayCatalog struct{ err error }

func (c awayCatalog) Recording(context.Context, media.RecordingID) (media.Recording, error) {
	return media.Recording{}, c.err
}

func (c awayCatalog) Recordings(context.Context, media.RecordingFilter) ([]media.Recording, string, error) {
	return nil, "", c.err
}

func (c awayCatalog) ChangeRecording(
	context.Context, media.RecordingID, media.RecordingChange, ...int64,
) (media.Recording, error) {
	return media.Recording{}, c.err
}

func (c awayCatalog) RequestDelete(context.Context, media.RecordingID, ...int64) (media.Recording, error) {
	return media.Recording{}, c.err
}

var errSecret = errors.New("dial tcp 10.0.0.7: secret detail")
