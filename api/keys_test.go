package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// reported are sessions as the cluster's nodes report them.
type reported struct {
	noSessions
	reports []media.IngestReport
	err     error
}

func (r *reported) Sessions(context.Context) ([]media.IngestReport, error) { return r.reports, r.err }

func TestKeysAreRotated(t *testing.T) {
	live := &reported{}
	f := newFixture(t, func(_ *Config, d *Deps) { d.Sessions = live })
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.stream(path, false)
	const keys = "/v1/publishers/acme/streams/show/keys"
	until := time.Now().Add(24 * time.Hour).UTC().Truncate(time.Millisecond)
	a := f.must(201, "POST", keys, fmt.Sprintf(`{"label":"guest","expires_at":%q}`, until.Format(time.RFC3339Nano)))
	first, _ := a.json["id"].(string)
	if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(a.json["expires_at"])); err != nil || !at.Equal(until) {
		t.Errorf("it expires at %v, want %v", a.json["expires_at"], until)
	}
	if used, ok := a.json["last_used_at"]; used != nil || !ok {
		t.Errorf("it was used: %s", a.Body)
	}

	a = f.must(201, "POST", keys+"/"+first+"/rotate", `{"grace":"1h"}`)
	second, _ := a.json["id"].(string)
	end, err := time.Parse(time.RFC3339Nano, fmt.Sprint(a.json["replaces_until"]))
	if err != nil || time.Until(end).Round(time.Minute) != time.Hour {
		t.Errorf("the old key works until %v", a.json["replaces_until"])
	}
	if a.json["replaces"] != first || a.json["label"] != "guest" || a.json["expires_at"] != nil || len(f.voided) > 0 {
		t.Errorf("got %s, dropped %v", a.Body, f.voided)
	}
	if s, err := f.db.AuthorizeKey(t.Context(), fmt.Sprint(a.json["key"])); err != nil || s.Key.ID != second {
		t.Errorf("the new key opens %+v, %v", s.Key, err)
	}

	inUse := func() map[string]any {
		used := map[string]any{}
		for _, k := range f.must(200, "GET", keys, "").items() {
			used[fmt.Sprint(k["id"])] = k["in_use"]
		}
		return used
	}
	live.reports = []media.IngestReport{
		{Publisher: "acme", Stream: "show", KeyID: first}, {Publisher: "acme", Stream: "show", KeyID: "", Standby: true},
		{Publisher: "acme", Stream: "other", KeyID: second},
	}
	if used := inUse(); used[first] != true || used[second] != false || len(used) != 3 {
		t.Errorf("in use: %v", used)
	}
	live.err = &media.UnansweredError{Nodes: []string{"n"}}
	if used := inUse(); used[first] != true || used[second] != nil {
		t.Errorf("in use, with a silent node: %v", used)
	}
	live.err = errors.New("the registry is away")
	if used := inUse(); used[first] != true || used[second] != nil || len(used) != 3 {
		t.Errorf("in use, with the registry away: %v", used)
	}

	a = f.must(201, "POST", keys+"/"+second+"/rotate", `{"label":"truck"}`)
	if a.json["label"] != "truck" || a.json["replaces_until"] != nil || !slices.Equal(f.voided, []string{second}) {
		t.Errorf("got %s, dropped %v", a.Body, f.voided)
	}
	f.must(404, "DELETE", keys+"/"+second, "")
	f.must(201, "POST", keys+"/"+first+"/rotate", "") // a body is not needed
}
