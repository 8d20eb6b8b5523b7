package archiver

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// storedEvents gives the types of events.json of a store, none without it.
func (w *world) storedEvents(store objstoretest.Store) (types []string) {
	w.tb.Helper()
	text, err := store.ReadFile(w.tb.Context(), w.prefix()+reclog.EventsFile)
	if errors.Is(err, media.ErrNotFound) {
		return nil
	}
	must(w.tb, err)
	var f eventsFile
	must(w.tb, json.Unmarshal(text, &f))
	if f.Recording != w.id || f.Publisher != w.path.Publisher || f.Stream != w.path.Stream {
		w.tb.Errorf("events.json is of %+v", f)
	}
	for _, e := range f.Events {
		types = append(types, e.Type)
	}
	return types
}

// told lists what the log has of the recording.
func (w *world) told() (types []string) {
	w.tb.Helper()
	events, err := w.catalog.RecordingEvents(w.tb.Context(), w.id)
	must(w.tb, err)
	for _, e := range events {
		types = append(types, e.Type)
	}
	return types
}

func wantTypes(tb testing.TB, what string, got []string, want ...string) {
	tb.Helper()
	if !slices.Equal(got, want) {
		tb.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestEventsAreStoredBesideTheMediaAndGoWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, mirror := newMirrorWorld(t)
		defer w.close()
		w.record(1000)
		a := w.archiver(Config{})
		f := deadFaults()
		w.more["eu"] = &faultyObjects{mirror, f}
		broken := w.archiver(Config{})
		for range 3 { // one failure is told, not three
			if _, err := broken.Step(t.Context()); !errors.Is(err, errFault) {
				t.Fatalf("step: %v", err)
			}
			time.Sleep(time.Minute)
		}
		mustStep(t, a)
		both := []string{media.EventEnded, media.EventFailed}
		wantTypes(t, "archive", w.storedEvents(w.objects), both...)
		wantTypes(t, "mirror", w.storedEvents(mirror), both...)
		both = append(both, media.EventArchived)
		wantTypes(t, "log", w.told(), both...)

		// The store keeps what the log has pruned, and gets what came since with the next repair.
		if _, err := w.catalog.PruneEvents(t.Context(), time.Now().Add(time.Hour), 100); err != nil {
			t.Fatal(err)
		}
		must(t, w.objects.Delete(t.Context(), w.prefix()+"1/video.idx"))
		time.Sleep(11 * time.Minute)
		mustStep(t, a)
		wantTypes(t, "after a repair", w.storedEvents(w.objects), both[:2]...)

		_, err := w.catalog.RequestDelete(t.Context(), w.id)
		must(t, err)
		mustStep(t, a)
		wantTypes(t, "deleted", w.storedEvents(w.objects))
		wantTypes(t, "deleted mirror", w.storedEvents(mirror))
		wantTypes(t, "log", w.told(), media.EventExpired)
	})
}

func TestEventsFileKeepsWhatItHas(t *testing.T) {
	j := &job{path: testPath(), id: testID}
	event := func(id int64) media.LogEvent {
		return media.LogEvent{ID: id, Type: media.EventEnded, Recording: testID, Data: json.RawMessage("{}")}
	}
	first, err := j.eventsText([]media.LogEvent{event(3), event(5)}, nil)
	must(t, err)
	both, err := j.eventsText([]media.LogEvent{event(5), event(9)}, first)
	must(t, err)
	again, err := j.eventsText([]media.LogEvent{event(9)}, both)
	must(t, err)
	if string(again) != string(both) || strings.Count(string(both), `"id"`) != 3 {
		t.Errorf("%s\n%s", both, again)
	}
	if text, err := j.eventsText(nil, nil); text != nil || err != nil {
		t.Errorf("of nothing: %s, %v", text, err)
	}
	for _, have := range []string{"", "{", "[]", `{"recording":"other","events":[{"id":1}]}`} {
		text, err := j.eventsText([]media.LogEvent{event(3), event(5)}, []byte(have))
		if err != nil || string(text) != string(first) {
			t.Errorf("over %q: %s, %v", have, text, err)
		}
	}
}

// awayLog is a log that a test takes away.
type awayLog struct {
	EventLog
	away bool
}

func (l *awayLog) AddEvents(ctx context.Context, events ...media.LogEvent) error {
	if l.away {
		return media.ErrUnavailable
	}
	return l.EventLog.AddEvents(ctx, events...)
}

func (l *awayLog) LastEvent(ctx context.Context, f media.LogFilter) (media.LogEvent, error) {
	if l.away {
		return media.LogEvent{}, media.ErrUnavailable
	}
	return l.EventLog.LastEvent(ctx, f)
}

func TestPressureIsToldOnceByAllOfACluster(t *testing.T) {
	w := newDirWorld(t)
	defer w.close()
	log := &awayLog{EventLog: w.catalog}
	u := reclog.Usage{Total: 1000, Free: 500}
	ladder := func() *Pressure {
		p, err := NewPressure(PressureConfig{Log: log}, func(context.Context) (reclog.Usage, error) { return u, nil },
			&asked{}, quiet(), prometheus.NewRegistry())
		must(t, err)
		return p
	}
	told := func() string {
		events, err := w.catalog.Events(t.Context(), media.LogFilter{Types: []string{media.EventPressure}}, media.LogPage{})
		must(t, err)
		var levels []string
		for _, e := range events {
			var data media.PressureData
			must(t, json.Unmarshal(e.Data, &data))
			levels = append(levels, data.Before+">"+data.Level)
			if data.Advice == "" || e.Cluster != media.DefaultCluster {
				t.Errorf("told %+v", e)
			}
		}
		return strings.Join(levels, " ")
	}
	a, b := ladder(), ladder()
	want := ""
	for _, tt := range []struct {
		free int64
		away bool
		told string
	}{
		{500, false, ""},
		{190, false, " normal>alarm"},
		{90, true, ""},
		{40, true, ""}, // what was so meanwhile is passed over
		{90, false, " alarm>refuse"},
		{90, false, " refuse>drop"},
	} {
		u.Free, log.away = tt.free, tt.away
		if tt.told == " alarm>refuse" {
			u.Free = 40
		}
		for _, p := range []*Pressure{a, b, a} {
			if err := p.Step(t.Context()); (err != nil) != tt.away {
				t.Errorf("%d free: %v", tt.free, err)
			}
		}
		if want += tt.told; told() != strings.TrimSpace(want) {
			t.Fatalf("%d free: told %s, want %s", tt.free, told(), want)
		}
	}
	// Another process goes on where they were, within the slack too.
	c := ladder()
	u.Free = 115
	must(t, c.Step(t.Context()))
	u.Free = 500
	must(t, c.Step(t.Context()))
	if got := strings.TrimPrefix(told(), strings.TrimSpace(want)); got != " drop>normal" {
		t.Errorf("a new process tells%s", got)
	}
}

// What an owner did not come to tell, because it died while the catalog was away, is told by who ends its recording.
func TestRecoveryTellsWhatTheOwnerDidNot(t *testing.T) {
	for name, tt := range map[string]struct {
		state media.State
		saved bool
		last  []string // of what is told before the end
	}{
		"it never saved a row":      {media.Interrupted, false, []string{media.EventInterrupted}},
		"it had ended":              {media.Ended, false, nil},
		"its row says that it runs": {media.Live, true, []string{media.EventInterrupted}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				defer c.close()
				must(t, c.write(100, tt.state))
				if tt.saved {
					c.saveGrowing()
				}
				stepFor(t, c.recovery("a", c.root), 2*window)
				want := []string{media.EventLive, media.EventInterrupted, media.EventLive}
				wantTypes(t, "log", c.told(), append(append(want, tt.last...), media.EventEnded)...)
			})
		})
	}
}
