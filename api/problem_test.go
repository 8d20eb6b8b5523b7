package api

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestErrorsNameTheFieldAtFault(t *testing.T) {
	f := newFixture(t, nil)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(path, false)
	live, ended := f.recording(path, 1, media.Live), f.recording(path, 2, media.Ended)
	f.must(200, "PATCH", "/v1/recordings/"+string(ended), `{"keep":true}`)
	const publishers, one = "/v1/publishers", "/v1/publishers/acme"
	const streams, stream = one + "/streams", one + "/streams/show"
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		name, method, target, body string
		status                     int
		location, text             string
	}{
		{"bad name", "POST", publishers, `{"name":"Acme"}`, 422, "body.name", "a-z"},
		{"reserved name", "POST", publishers, `{"name":"v1"}`, 422, "body.name", "reserved"},
		{"long name", "POST", publishers, `{"name":"` + long + `"}`, 422, "body.name", "63"},
		{"no name", "POST", publishers, `{}`, 422, "body", "name"},
		{"name of other type", "POST", publishers, `{"name":7}`, 422, "body.name", "string"},
		{"name taken", "POST", publishers, `{"name":"acme"}`, 409, "body.name", "exists"},
		{"unknown field", "POST", publishers, `{"name":"b","archive_dealy":"5m"}`, 422, "body.archive_dealy", "unexpected"},
		{"read-only field", "PATCH", one, `{"created_at":"2026-01-01T00:00:00Z"}`, 422, "body.created_at", "unexpected"},
		{"long unknown field", "PATCH", one, `{"` + long + `":1}`, 422, "body.xxx", "unexpected"},
		{"null", "PATCH", one, `{"archive_delay":null}`, 422, "body.archive_delay", "leave it out"},
		{"null bool", "PATCH", one, `{"listed":null}`, 422, "body.listed", "leave it out"},
		{"null in a list", "PUT", "/v1/steering/rules", `{"choices":[{"edge":null}]}`, 422, "body.choices[0].edge", "leave it out"},
		{"duration as number", "PATCH", one, `{"archive_delay":300}`, 422, "body.archive_delay", "string"},
		{"duration without unit", "PATCH", one, `{"archive_delay":"300"}`, 422, "body.archive_delay", "90s"},
		{"duration in ISO", "PATCH", one, `{"archive_delay":"PT5M"}`, 422, "body.archive_delay", "90s"},
		{"negative duration", "PATCH", one, `{"archive_delay":"-5m"}`, 422, "body.archive_delay", "90s"},
		{"duration out of range", "PATCH", one, `{"reconnect_window":"31m"}`, 422, "body.reconnect_window", "30m"},
		{"duration overflows", "PATCH", one, `{"retention":"99999999h"}`, 422, "body.retention", "out of range"},
		{"unknown latency", "PATCH", one, `{"latency":"ultra"}`, 422, "body.latency", "standard"},
		{"unknown word", "PATCH", stream, `{"record":"no"}`, 422, "body.record", `use "on" or "off"`},
		{"reset of no setting", "PATCH", stream, `{"reset":["retentoin"]}`, 422, "body.reset[0]", `mean "retention"?`},
		{"reset that is no list", "PATCH", one, `{"reset":"keep"}`, 422, "body.reset", "array"},
		{"reset null", "PATCH", one, `{"reset":null}`, 422, "body.reset", "leave it out"},
		{"set and reset", "PATCH", stream, `{"reset":["keep"],"keep":true}`, 422, "body.reset", "leave one of them out"},
		{"set and reset of a publisher", "PATCH", one, `{"reset":["keep"],"keep":true}`, 422, "body.reset", "leave one"},
		{"reset at creation", "POST", publishers, `{"name":"b","reset":["keep"]}`, 422, "body.reset", "unexpected"},
		{"setting of a stream", "POST", streams, `{"name":"b","interruption":"x"}`, 422, "body.interruption", "hold"},
		{"setting of a publisher", "POST", publishers, `{"name":"b","dvr_window":"1s"}`, 422, "body.dvr_window", "24h"},
		{"no JSON", "POST", publishers, `{"name":`, 400, "body", "JSON"},
		{"two values", "POST", publishers, `{"name":"b"} {}`, 400, "body", "after"},
		{"list", "POST", publishers, `[]`, 422, "body", "object"},
		{"no body", "POST", publishers, ``, 400, "body", "required"},
		{"body too large", "POST", publishers, `{"name":"` + strings.Repeat("x", 65<<10) + `"}`, 413, "body", "65536"},
		{"unknown publisher", "GET", publishers + "/nobody", ``, 404, "path.publisher", "not found"},
		{"publisher out of form", "GET", publishers + "/No.Body", ``, 404, "path.publisher", "a-z"},
		{"publisher out of form, deleted", "DELETE", publishers + "/No.Body", ``, 404, "path.publisher", "a-z"},
		{"publisher out of form, changed", "PATCH", publishers + "/No.Body", `{}`, 404, "path.publisher", "a-z"},
		{"unknown publisher, changed", "PATCH", publishers + "/nobody", `{}`, 404, "path.publisher", "not found"},
		{"unknown publisher's streams", "GET", publishers + "/nobody/streams", ``, 404, "path.publisher", "not found"},
		{"publisher out of form, its streams", "GET", publishers + "/No/streams", ``, 404, "path.publisher", "a-z"},
		{"stream of nobody", "POST", publishers + "/nobody/streams", `{"name":"b"}`, 404, "path.publisher", "not found"},
		{"stream taken", "POST", streams, `{"name":"show"}`, 409, "body.name", "exists"},
		{"stream of bad name", "POST", streams, `{"name":"a b"}`, 422, "body.name", "a-z"},
		{"publisher with streams", "DELETE", one, ``, 409, "path.publisher", "stream"},
		{"unknown stream", "GET", one + "/streams/none", ``, 404, "path.stream", "not found"},
		{"unknown stream, changed", "PATCH", one + "/streams/none", `{}`, 404, "path.stream", "not found"},
		{"unknown stream, deleted", "DELETE", one + "/streams/none", ``, 404, "path.stream", "not found"},
		{"unknown stream's keys", "GET", one + "/streams/none/keys", ``, 404, "path.stream", "not found"},
		{"key for an unknown stream", "POST", one + "/streams/none/keys", ``, 404, "path.stream", "not found"},
		{"stream out of form", "GET", one + "/streams/N", ``, 404, "path.stream", "a-z"},
		{"long label", "POST", stream + "/keys", `{"label":"` + long + `"}`, 422, "body.label", "100"},
		{"key that has expired already", "POST", stream + "/keys", `{"expires_at":"2020-01-01T00:00:00Z"}`, 422,
			"body.expires_at", "to come"},
		{"key that expires some day", "POST", stream + "/keys", `{"expires_at":"some day"}`, 422, "body.expires_at", "date"},
		{"rotation of no key", "POST", stream + "/keys/x/rotate", ``, 404, "path.id", "not found"},
		{"rotation of no stream", "POST", one + "/streams/none/keys/x/rotate", ``, 404, "path.stream", "not found"},
		{"grace too long", "POST", stream + "/keys/x/rotate", `{"grace":"721h"}`, 422, "body.grace", "720h"},
		{"grace of other form", "POST", stream + "/keys/x/rotate", `{"grace":60}`, 422, "body.grace", "90s"},
		{"null grace", "POST", stream + "/keys/x/rotate", `{"grace":null}`, 422, "body.grace", "leave it out"},
		{"unknown key", "DELETE", stream + "/keys/x", ``, 404, "path.id", "not found"},
		{"limit too high", "GET", "/v1/recordings?limit=1001", ``, 422, "query.limit", "1000"},
		{"limit zero", "GET", "/v1/recordings?limit=0", ``, 422, "query.limit", "1"},
		{"limit no number", "GET", "/v1/recordings?limit=many", ``, 422, "query.limit", "integer"},
		{"bad cursor", "GET", "/v1/recordings?cursor=x", ``, 422, "query.cursor", "next"},
		{"bad state", "GET", "/v1/recordings?state=live&state=over", ``, 422, "query.state", "archived"},
		{"bad time", "GET", "/v1/recordings?since=yesterday", ``, 422, "query.since", "date"},
		{"Go's layout is not told", "GET", "/v1/retention?until=tomorrow", ``, 422, "query.until", "2026-11-20T10:38:00Z"},
		{"typo in dry_run", "DELETE", "/v1/recordings?publisher=acme&dry_run=ture", ``, 422, "query.dry_run", "true or false"},
		{"negative bound of a clip", "POST", "/v1/recordings/" + string(ended) + "/clips", `{"start":-5,"end":10}`, 422,
			"body.start", "seconds from the recording's start"},
		{"no time between", "GET", "/v1/recordings?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", ``, 422,
			"query.until", "later"},
		{"bad publisher", "GET", "/v1/recordings?publisher=A", ``, 422, "query.publisher", "a-z"},
		{"bad cluster", "GET", "/v1/recordings?cluster=A", ``, 422, "query.cluster", "a-z"},
		{"bad stream", "GET", "/v1/recordings?stream=A", ``, 422, "query.stream", "a-z"},
		{"unknown parameter", "GET", "/v1/recordings?publsher=acme", ``, 422, "query.publsher", "unknown"},
		{"unknown recording", "GET", "/v1/recordings/" + string(recordingID(9)), ``, 404, "path.recording", "not found"},
		{"recording out of form", "GET", "/v1/recordings/9", ``, 404, "path.recording", "no recording id"},
		{"recording out of form, kept", "PATCH", "/v1/recordings/9", `{"keep":true}`, 404, "path.recording", "id"},
		{"recording out of form, deleted", "DELETE", "/v1/recordings/9", ``, 404, "path.recording", "id"},
		{"keep missing", "PATCH", "/v1/recordings/" + string(ended), `{}`, 422, "body", "keep"},
		{"keep no bool", "PATCH", "/v1/recordings/" + string(ended), `{"keep":"yes"}`, 422, "body.keep", "bool"},
		{"growing", "DELETE", "/v1/recordings/" + string(live), ``, 409, "path.recording", "live"},
		{"kept", "DELETE", "/v1/recordings/" + string(ended), ``, 409, "path.recording", "kept"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := f.do(c.method, c.target, c.body)
			if a.Code != c.status {
				t.Fatalf("got %d, want %d: %s", a.Code, c.status, a.Body)
			}
			if ct := a.Header().Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("Content-Type is %q", ct)
			}
			if a.json["status"] != float64(c.status) || a.json["title"] != http.StatusText(c.status) {
				t.Errorf("status or title: %s", a.Body)
			}
			if l := a.locations(); len(l) == 0 || !strings.HasPrefix(l[0], c.location) {
				t.Errorf("locations are %q, want %q", l, c.location)
			}
			detail, _ := a.json["detail"].(string)
			if !strings.Contains(detail, c.text) {
				t.Errorf("detail %q does not say %q", detail, c.text)
			}
			if a.Body.Len() > 2000 {
				t.Errorf("the answer has %d bytes", a.Body.Len())
			}
		})
	}
}

func TestErrorsWithoutARoute(t *testing.T) {
	f := newFixture(t, nil)
	for _, c := range []struct {
		method, target string
		status         int
	}{
		{"GET", "/v1/nothing", 404},
		{"GET", "/other", 404},
		{"PUT", "/v1/publishers", 405},
		{"POST", "/", 405},
		{"DELETE", "/assets/app.js", 405},
	} {
		a := f.do(c.method, c.target, "")
		if a.Code != c.status || a.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: got %d %s", c.method, c.target, a.Code, a.Header().Get("Content-Type"))
		}
		if allow := a.Header().Get("Allow"); (c.status == 405) != strings.HasPrefix(allow, "GET, HEAD") {
			t.Errorf("%s %s: Allow is %q", c.method, c.target, allow)
		}
	}
	a := f.do("POST", "/v1/publishers", `name=acme`, "Content-Type", "application/x-www-form-urlencoded")
	if a.Code != 415 || !slices.Equal(a.locations(), []string{"header.Content-Type"}) {
		t.Errorf("form: got %d %s", a.Code, a.Body)
	}
}

func TestPanicIsAnsweredAndCounted(t *testing.T) {
	f := newFixture(t, func(_ *Config, d *Deps) { d.Publishers = nil })
	a := f.do("GET", "/v1/publishers", "")
	if a.Code != 500 || a.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
	if strings.Contains(a.Body.String(), "nil pointer") {
		t.Errorf("the answer tells too much: %s", a.Body)
	}
}

func TestErrorsOutsideTheTableAreNotTold(t *testing.T) {
	f := newFixture(t, func(_ *Config, d *Deps) { d.Recordings = awayCatalog{errSecret} })
	a := f.do("GET", "/v1/recordings", "")
	if a.Code != 500 || strings.Contains(a.Body.String(), "secret") {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
	f = newFixture(t, func(_ *Config, d *Deps) {
		d.Recordings = awayCatalog{fmt.Errorf("%w: %w", media.ErrUnavailable, errSecret)}
	})
	a = f.do("GET", "/v1/recordings", "")
	if a.Code != 503 || strings.Contains(a.Body.String(), "secret") || a.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
}

func TestOutageIsNotLoggedWithEachRequest(t *testing.T) {
	var log bytes.Buffer
	s := New(Config{}, Deps{
		Recordings: awayCatalog{media.ErrUnavailable},
		Owner: func(context.Context, media.StreamPath) (media.Lease, bool, error) {
			return media.Lease{}, false, media.ErrUnavailable
		},
	}, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
	f := &fixture{t: t, Server: s}
	for range 50 {
		if a := f.send(f.Internal(), "GET", "/internal/v1/locate/acme/show", ""); a.Code != 503 {
			t.Fatalf("got %d %s", a.Code, a.Body)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines: %s", n, &log)
	}
}
