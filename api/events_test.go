package api

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// liveShow keeps the events of the one stream that is live.
type liveShow struct {
	path   media.StreamPath
	events []media.ShowEvent
}

func (l *liveShow) live(path media.StreamPath) error {
	if path != l.path {
		return fmt.Errorf("%w: nobody publishes %s now", media.ErrConflict, path)
	}
	return nil
}

func (l *liveShow) AddEvent(_ context.Context, path media.StreamPath, e media.TimedEvent) (media.ShowEvent, error) {
	if err := l.live(path); err != nil {
		return media.ShowEvent{}, err
	}
	if e.StartDate.IsZero() {
		e.StartDate = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	}
	if e.ID == "" {
		e.ID = fmt.Sprintf("event-%d", len(l.events)+1)
	}
	e.Round()
	if err := e.Check(); err != nil {
		return media.ShowEvent{}, err
	}
	for _, known := range l.events {
		if known.ID == e.ID {
			return media.ShowEvent{}, fmt.Errorf("event %s: %w", e.ID, media.ErrExists)
		}
	}
	l.events = append(l.events, media.ShowEvent{TimedEvent: e, Number: int64(len(l.events) + 1)})
	return l.events[len(l.events)-1], nil
}

func (l *liveShow) CompleteEvent(
	_ context.Context, path media.StreamPath, more media.TimedEvent,
) (media.ShowEvent, error) {
	if err := l.live(path); err != nil {
		return media.ShowEvent{}, err
	}
	for i := range l.events {
		if known := &l.events[i]; known.ID == more.ID {
			whole, _, _, err := known.Add(more)
			if err == nil {
				known.TimedEvent = whole
			}
			return *known, err
		}
	}
	return media.ShowEvent{}, fmt.Errorf("event %s: %w", more.ID, media.ErrNotFound)
}

func (l *liveShow) Events(_ context.Context, path media.StreamPath) ([]media.ShowEvent, error) {
	return append([]media.ShowEvent(nil), l.events...), l.live(path)
}

func TestDR1_Events(t *testing.T) {
	live := &liveShow{path: media.StreamPath{Publisher: "acme", Stream: "show"}}
	f := newFixture(t, func(_ *Config, d *Deps) { d.Events = live })
	f.stream(live.path, false)
	f.must(201, "POST", "/v1/publishers/acme/streams", `{"name":"idle"}`)
	f.must(201, "POST", "/v1/publishers/acme/streams", `{"name":"show_720","group":"show"}`)
	const all = "/v1/publishers/acme/streams/show/events"

	a := f.must(201, "POST", all, `{}`)
	if a.json["id"] != "event-1" || a.json["number"] != 1.0 || a.json["start_date"] != "2026-11-20T10:00:00Z" ||
		a.Header().Get("Location") != all+"/event-1" {
		t.Errorf("%s, %v", a.Body, a.Header())
	}
	a = f.must(201, "POST", all, `{"id":"ad","class":"com.apple.hls.interstitial","start_date":"2026-11-20T11:00:01.5+01:00",
		"cue":["PRE","ONCE"],"planned_duration_s":30,"attributes":{"X-ASSET-URI":"https://ads/1","X-N":2,"X-H":{"hex":"0xAB"}}}`)
	if got := fmt.Sprint(a.json["start_date"], a.json["cue"], a.json["attributes"]); got !=
		"2026-11-20T10:00:01.5Z[PRE ONCE] map[X-ASSET-URI:https://ads/1 X-H:map[hex:0xAB] X-N:2]" {
		t.Errorf("%s", got)
	}
	if a = f.must(200, "PATCH", all+"/ad", `{"duration_s":15}`); a.json["duration_s"] != 15.0 || a.json["class"] == nil {
		t.Errorf("%s", a.Body)
	}
	if a = f.must(200, "GET", all+"/ad", ""); a.json["duration_s"] != 15.0 {
		t.Errorf("%s", a.Body)
	}
	f.must(201, "POST", all, `{"class":"c","end_on_next":true}`)
	a = f.must(200, "GET", all+"?limit=2", "")
	if len(a.items()) != 2 || a.json["next"] != "2" {
		t.Errorf("%s", a.Body)
	}
	if a = f.must(200, "GET", all+"?limit=2&cursor=2", ""); len(a.items()) != 1 || a.json["next"] != "" {
		t.Errorf("%s", a.Body)
	}

	for _, c := range []struct {
		status       int
		method, path string
		body         string
		says         string
	}{
		{422, "POST", all, `{"id":"b","duration_s":-1}`, "body.duration_s"},
		{422, "POST", all, `{"id":"b","cue":["PRE","POST"]}`, "body.cue"},
		{422, "POST", all, `{"id":"b","cue":["MID"]}`, "body.cue"},
		{422, "POST", all, `{"id":"b","attributes":{"ID":"x"}}`, "body.attributes"},
		{422, "POST", all, `{"id":"b","attributes":{"X-A":true}}`, "body.attributes.X-A"},
		{422, "POST", all, `{"id":"b","end_on_next":true}`, "body.end_on_next"},
		{422, "POST", all, `{"id":"a/b"}`, "body.id"},
		{422, "POST", all, `{"start_date":"yesterday"}`, "body.start_date"},
		{422, "POST", all, `{"begin":1}`, "body.begin"},
		{422, "PATCH", all + "/ad", `{"duration_s":16}`, "body.duration_s"},
		{422, "PATCH", all + "/ad", `{"class":"x"}`, "body.class"},
		{422, "GET", all + "?cursor=x", "", "query.cursor"},
		{409, "POST", all, `{"id":"ad"}`, "already exists"},
		{404, "PATCH", all + "/none", `{}`, "not found"},
		{404, "GET", all + "/none", "", "path.id"},
		{409, "POST", "/v1/publishers/acme/streams/idle/events", `{}`, "nobody publishes acme/idle now"},
		{409, "GET", "/v1/publishers/acme/streams/idle/events", "", "nobody publishes"},
		{409, "POST", "/v1/publishers/acme/streams/show_720/events", `{}`, `is in group \"show\"`},
		{409, "GET", "/v1/publishers/acme/streams/show_720/events", "", "use that stream's events"},
		{404, "POST", "/v1/publishers/acme/streams/none/events", `{}`, "path.stream"},
	} {
		a := f.must(c.status, c.method, c.path, c.body)
		if !strings.Contains(a.Body.String(), c.says) || !strings.Contains(a.Header().Get("Content-Type"), "problem+json") {
			t.Errorf("%s %s %s: %s", c.method, c.path, c.body, a.Body)
		}
	}
	if len(live.events) != 3 {
		t.Errorf("%d events are kept", len(live.events))
	}
	for _, method := range []string{"POST", "GET"} {
		if a := f.do(method, all, "", "Authorization", ""); a.Code != 401 {
			t.Errorf("%s without a token: %d", method, a.Code)
		}
	}
}

func TestNoEventsWithoutRecordings(t *testing.T) {
	f := newFixture(t, nil)
	f.stream(media.StreamPath{Publisher: "acme", Stream: "show"}, false)
	const all = "/v1/publishers/acme/streams/show/events"
	f.must(409, "POST", all, `{}`)
	f.must(409, "PATCH", all+"/x", `{}`)
	f.must(409, "GET", all, "")
}
