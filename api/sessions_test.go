package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// liveSessions are publishers that are connected.
type liveSessions struct {
	reports []media.IngestReport
	reasons map[media.StreamPath]string // of those that were sent away
	err     error
}

func (l *liveSessions) Sessions(context.Context) ([]media.IngestReport, error) {
	return slices.Clone(l.reports), l.err
}

func (l *liveSessions) Session(_ context.Context, path media.StreamPath) (media.IngestReport, error) {
	for _, r := range l.reports {
		if r.Publisher == path.Publisher && r.Stream == path.Stream {
			return r, l.err
		}
	}
	return media.IngestReport{}, fmt.Errorf("session of %s: %w", path, media.ErrNotFound)
}

func (l *liveSessions) EndSession(ctx context.Context, path media.StreamPath, reason string) error {
	_, err := l.Session(ctx, path)
	if err == nil {
		l.reasons[path] = reason
	}
	return err
}

func TestSessions(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	live := &liveSessions{reasons: map[media.StreamPath]string{}}
	for _, name := range []string{"acme/one", "acme/two", "beta/one"} {
		path, err := media.ParseStreamPath(name)
		if err != nil {
			t.Fatal(err)
		}
		live.reports = append(live.reports, media.IngestReport{
			Publisher: path.Publisher, Stream: path.Stream, Protocol: "srt", StartedAt: at, BitrateBPS: 4_000_000,
			Tracks:    []media.IngestTrack{{Name: "video", Kind: media.Video, KeyFrames: &media.KeyFrameReport{IntervalSec: 2}}},
			Transport: media.IngestTransport{SRT: &media.SRTReport{RTTMS: 20.5}},
			Warnings:  []media.IngestWarning{{Code: "av_skew", Severity: "warning", Text: "set it right", Since: at}},
		})
	}
	f := newFixture(t, func(_ *Config, d *Deps) { d.Sessions = live })

	for target, want := range map[string]string{
		"/v1/sessions":                               "acme/one acme/two beta/one",
		"/v1/sessions?publisher=acme":                "acme/one acme/two",
		"/v1/sessions?stream=one":                    "acme/one beta/one",
		"/v1/sessions?publisher=acme&stream=none":    "",
		"/v1/sessions?limit=2":                       "acme/one acme/two next=acme/two",
		"/v1/sessions?limit=2&cursor=acme/two":       "beta/one",
		"/v1/sessions?limit=1&cursor=acme%2Fone":     "acme/two next=acme/two",
		"/v1/sessions?publisher=beta&cursor=acme/zz": "beta/one",
	} {
		a := f.must(200, "GET", target, "")
		var names []string
		for _, item := range a.items() {
			names = append(names, fmt.Sprint(item["publisher"], "/", item["stream"]))
		}
		if next := a.json["next"]; next != "" {
			names = append(names, fmt.Sprint("next=", next))
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
	for target, location := range map[string]string{
		"/v1/sessions?publisher=A":   "query.publisher",
		"/v1/sessions?stream=a.b":    "query.stream",
		"/v1/sessions?cursor=nobody": "query.cursor",
		"/v1/sessions?limit=0":       "query.limit",
	} {
		if a := f.must(422, "GET", target, ""); !slices.Equal(a.locations(), []string{location}) {
			t.Errorf("%s: %s", target, a.Body)
		}
	}

	const one = "/v1/publishers/acme/streams/one/session"
	a := f.must(200, "GET", one, "")
	for _, want := range []string{`"bitrate_bps":4000000`, `"interval_seconds":2`, `"rtt_ms":20.5`, `"code":"av_skew"`} {
		if !strings.Contains(a.Body.String(), want) {
			t.Errorf("%s is not in %s", want, a.Body)
		}
	}
	f.must(204, "DELETE", one+"?reason=the%20hall%20is%20closed", "")
	f.must(204, "DELETE", "/v1/publishers/beta/streams/one/session", "")
	if got := fmt.Sprint(live.reasons); got != "map[acme/one:the hall is closed beta/one:]" {
		t.Errorf("sent away: %s", got)
	}
	for _, path := range []string{"acme/streams/none", "nobody/streams/one", "acme/streams/a.b"} {
		for _, method := range []string{"GET", "DELETE"} {
			if a := f.must(404, method, "/v1/publishers/"+path+"/session", ""); len(a.locations()) != 1 {
				t.Errorf("%s %s: %s", method, path, a.Body)
			}
		}
	}
	if a := f.send(f.Public(), "GET", "/v1/sessions", ""); a.Code != 401 {
		t.Errorf("without a token: %d", a.Code)
	}
	live.err = &media.UnansweredError{Nodes: []string{"ingest-2"}}
	if a := f.must(200, "GET", "/v1/sessions", ""); len(a.items()) != 3 ||
		!strings.Contains(a.Body.String(), `"unreachable":["ingest-2"]`) {
		t.Errorf("a node without an answer: %s", a.Body)
	}
	live.err = media.ErrUnavailable
	f.must(503, "GET", "/v1/sessions", "")
}

func TestNoSessions(t *testing.T) {
	f := newFixture(t, nil)
	if a := f.must(200, "GET", "/v1/sessions", ""); len(a.items()) != 0 || !strings.Contains(a.Body.String(), `"items":[]`) {
		t.Errorf("%s", a.Body)
	}
	f.must(404, "DELETE", "/v1/publishers/acme/streams/one/session", "")
}

// The units of an ingest report are told in the OpenAPI document.
func TestSessionsAreDescribed(t *testing.T) {
	doc := newFixture(t, nil).must(200, "GET", "/v1/openapi.json", "").Body.String()
	for _, want := range []string{
		`"IngestReport"`, "in bits per second", "in milliseconds", "seconds of media", `"end-session"`, "lost_packets",
	} {
		if !strings.Contains(doc, want) {
			t.Errorf("%s is not in the document", want)
		}
	}
}
