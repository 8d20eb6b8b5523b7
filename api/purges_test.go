package api

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/media"
)

func TestPurges(t *testing.T) {
	var told []media.Event
	var lost error
	f := newFixture(t, func(c *Config, d *Deps) {
		c.Tokens = admission.MustFixed(t, "cluster")
		d.Purges = d.Publishers.(Purges)
		d.Publish = func(_ context.Context, e media.Event) error {
			told = append(told, e)
			return lost
		}
	})
	show := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(show, false)
	id := f.recording(show, 1, media.Ended)
	const stream = "/v1/publishers/acme/streams/show"
	f.must(202, "POST", "/v1/recordings/"+string(id)+"/purge", "")
	f.must(202, "POST", stream+"/purge", "")
	f.must(202, "POST", "/v1/publishers/acme/purge", "")
	var got []string
	for _, e := range told {
		got = append(got, e.Publisher+"/"+e.Stream+"/"+string(e.Recording))
	}
	if want := fmt.Sprintf("[acme/show/%s acme/show/ acme//]", id); fmt.Sprint(got) != want {
		t.Errorf("told %s, want %s", got, want)
	}
	for _, e := range told {
		if e.Type != media.EventPurged || e.Time.IsZero() {
			t.Errorf("%+v", e)
		}
	}
	for target, status := range map[string]int{
		"/v1/publishers/none/purge": 404, "/v1/publishers/No%20Name/purge": 404,
		"/v1/publishers/acme/streams/none/purge":          404,
		"/v1/recordings/01j00000000000000000000009/purge": 404, "/v1/recordings/x/purge": 404,
	} {
		f.must(status, "POST", target, "")
	}
	ask := func(header string) answer {
		return f.send(f.Internal(), "GET", "/internal/v1/purges", "", "Authorization", header)
	}
	if a := ask(""); a.Code != 401 {
		t.Errorf("without the token: %d", a.Code)
	}
	var known media.KnownPurges
	if a := ask("Bearer cluster"); json.Unmarshal(a.Body.Bytes(), &known) != nil || len(known.Purges) != 1 ||
		known.Purges[0].Publisher != "acme" || known.Purges[0].Stream != "" || known.Purges[0].AgeMS > 60_000 {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	// A registry that is away keeps nobody from it: edges ask when it is back.
	lost = media.ErrUnavailable
	f.must(202, "POST", stream+"/purge", "")
	f.must(202, "DELETE", "/v1/recordings/"+string(id), "")
	f.must(410, "POST", "/v1/recordings/"+string(id)+"/purge", "")
}

func TestPurgesAreRememberedWhileTheCatalogIsAway(t *testing.T) {
	from := &flakyPurges{purges: []media.Purge{{Publisher: "acme", Time: time.Now().Add(-time.Minute)}}}
	f := newFixture(t, func(_ *Config, d *Deps) { d.Purges = from })
	from.err = media.ErrUnavailable
	if a := f.send(f.Internal(), "GET", "/internal/v1/purges", ""); a.Code != 503 {
		t.Errorf("before anything was known: %d", a.Code)
	}
	from.err = nil
	for range 2 {
		var known media.KnownPurges
		a := f.send(f.Internal(), "GET", "/internal/v1/purges", "")
		if json.Unmarshal(a.Body.Bytes(), &known) != nil || len(known.Purges) != 1 || known.Purges[0].AgeMS < 60_000 {
			t.Errorf("%d %s", a.Code, a.Body)
		}
		from.err = media.ErrUnavailable
	}
	f = newFixture(t, nil)
	f.must(201, "POST", "/v1/publishers", `{"name":"acme"}`)
	f.must(409, "POST", "/v1/publishers/acme/purge", "")
}

// flakyPurges is a catalog of which only purges matter.
type flakyPurges struct {
	noPurges
	purges []media.Purge
	err    error
}

func (f *flakyPurges) Purges(context.Context) ([]media.Purge, error) { return f.purges, f.err }
