package packager

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func seconds(s float64) *float64 { return &s }

func TestPDT7_DR1_EventsOfTheAPIAreShownAtOnce(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		path := p.stream.path
		s.play(p, src, 5*time.Second)
		before, changed := s.show().Snapshot()
		edge := s.show().takes[0].Anchor.Add(s.show().edge())
		e, err := s.AddEvent(path, media.TimedEvent{Class: "goal", Attributes: map[string]any{"X-TEAM": "A"}})
		if err != nil || e.ID != "event-1" || e.Number != 1 || !e.StartDate.Equal(edge) {
			t.Fatalf("%+v, %v; the edge is %v", e, err, edge)
		}
		select {
		case <-changed:
		default:
			t.Error("players are not told")
		}
		if snap := s.newest(); len(snap.Metadata) != 1 || len(before.Metadata) != 0 || snap.Metadata[0].Kind != media.DateRange ||
			!snap.Metadata[0].Date.Equal(edge) {
			t.Errorf("%+v", snap.Metadata)
		}
		s.tell(p, media.CuePoint, 4*time.Second, "{}")
		whole, err := s.CompleteEvent(path, media.TimedEvent{ID: "event-1", Duration: seconds(2)})
		if err != nil || *whole.Duration != 2 || whole.Class != "goal" || whole.Number != 1 {
			t.Fatalf("%+v, %v", whole, err)
		}
		if _, err = s.CompleteEvent(path, media.TimedEvent{ID: "event-1", Duration: seconds(2)}); err != nil {
			t.Errorf("said twice: %v", err)
		}
		list := s.newest().Metadata
		if len(list) != 3 || list[2].Number != 3 || strings.Contains(string(list[2].Payload), "TEAM") {
			t.Errorf("pieces are %+v", list)
		}
		var field *media.FieldError
		_, err = s.CompleteEvent(path, media.TimedEvent{ID: "event-1", Duration: seconds(3)})
		if !errors.As(err, &field) || field.Field != "duration_s" {
			t.Errorf("another duration: %v", err)
		}
		if _, err = s.CompleteEvent(path, media.TimedEvent{ID: "none"}); !errors.Is(err, media.ErrNotFound) {
			t.Errorf("an unknown one: %v", err)
		}
		if _, err = s.AddEvent(path, media.TimedEvent{ID: "event-1"}); !errors.Is(err, media.ErrExists) {
			t.Errorf("the same again: %v", err)
		}
		if _, err = s.AddEvent(path, media.TimedEvent{ID: "event-5"}); err != nil {
			t.Fatal(err)
		}
		if e, err = s.AddEvent(path, media.TimedEvent{}); err != nil || e.ID != "event-6" {
			t.Errorf("the ID that is taken is given: %+v, %v", e, err)
		}
		events, err := s.Events(path)
		if err != nil || len(events) != 3 || events[0].ID != "event-1" || *events[0].Duration != 2 {
			t.Errorf("%+v, %v", events, err)
		}
		s.close(p, true)
		for _, do := range []func() error{
			func() error { _, err := s.AddEvent(path, media.TimedEvent{}); return err },
			func() error { _, err := s.CompleteEvent(path, media.TimedEvent{ID: "event-1"}); return err },
			func() error { _, err := s.Events(path); return err },
			func() error {
				_, err := s.AddEvent(media.StreamPath{Publisher: "no", Stream: "one"}, media.TimedEvent{})
				return err
			},
		} {
			if err := do(); !errors.Is(err, media.ErrConflict) || !strings.Contains(err.Error(), "nobody publishes") {
				t.Errorf("not live: %v", err)
			}
		}
	})
}

func TestEventsAreOnTheClockOfTheirTake(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		s.close(p, false)
		path := p.stream.path
		if _, err := s.AddEvent(path, media.TimedEvent{ID: "while-away"}); err != nil {
			t.Errorf("interrupted: %v", err)
		}
		s.wait(20 * time.Second)
		p = s.publish(2, nil)
		s.tracks(p, videoTrack(), audioTrack())
		s.play(p, &source{fps: 30, gop: 30, start: 3 * time.Hour}, 5*time.Second)
		show := s.show()
		first, second := show.takes[0].Anchor, show.takeBegin(1)
		base := second.Sub(show.takes[1].Anchor)
		for i, c := range []struct {
			at   time.Time
			take int
			time time.Duration
		}{
			{first, 1, 0},
			{first.Add(1500 * time.Millisecond), 1, 1500 * time.Millisecond},
			{second.Add(-time.Millisecond), 1, base}, // between the takes: media time has no hole there
			{second, 2, base},
			{second.Add(time.Second), 2, base + time.Second},
			{time.Now().Add(eventAhead - time.Second), 2, -1},
		} {
			e, err := s.AddEvent(path, media.TimedEvent{ID: fmt.Sprintf("at-%d", i), StartDate: c.at})
			if err != nil {
				t.Fatal(err)
			}
			list := show.Metadata()
			m := list[len(list)-1]
			if m.Take != c.take || c.time >= 0 && m.Time != c.time || !m.Date.Equal(c.at.Round(time.Millisecond)) || m.Number != e.Number {
				t.Errorf("%v: take %d at %v, %v; want %d at %v", c.at, m.Take, m.Time, m.Date, c.take, c.time)
			}
		}
		for _, at := range []time.Time{first.Add(-time.Second), time.Now().Add(eventAhead + time.Minute)} {
			var field *media.FieldError
			_, err := s.AddEvent(path, media.TimedEvent{StartDate: at})
			if !errors.As(err, &field) || field.Field != "start_date" {
				t.Errorf("%v: %v", at, err)
			}
		}
		s.close(p, true)
	})
}

func TestEventsAreBounded(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 3*time.Second)
		path := p.stream.path
		big := map[string]any{}
		for i := range media.MaxEventAttributes {
			big[fmt.Sprintf("X-%d", i)] = map[string]any{"hex": "0x" + strings.Repeat("AB", 2048)}
		}
		var field *media.FieldError
		if _, err := s.AddEvent(path, media.TimedEvent{Attributes: big}); !errors.As(err, &field) || field.Field != "attributes" {
			t.Errorf("too large: %v", err)
		}
		for range maxMetadata {
			s.tell(p, media.CuePoint, 2*time.Second, "{}")
		}
		if _, err := s.AddEvent(path, media.TimedEvent{}); !errors.Is(err, media.ErrConflict) {
			t.Errorf("no room: %v", err)
		}
		s.close(p, true)
	})
}

// TestEventsAreKnownByThePiecesAlone gives an index the pieces of a recording that was resumed.
func TestEventsAreKnownByThePiecesAlone(t *testing.T) {
	var x eventIndex
	pieces := []media.Metadata{
		{Number: 1, Kind: media.DateRange, Payload: []byte(`{"id":"a","start_date":"2026-11-20T10:00:00Z"}`)},
		{Number: 2, Kind: media.CuePoint, Payload: []byte(`{"id":"b"}`)},
		{Number: 3, Kind: media.DateRange, Payload: []byte(`torn`)},
		{Number: 4, Kind: media.DateRange, Payload: []byte(`{"id":"a","start_date":"2026-11-20T10:00:00Z","duration_s":4}`)},
	}
	x.follow(pieces[:1])
	x.follow(pieces)
	x.follow(pieces)
	if len(x.order) != 1 || x.read != 4 || x.byID["a"].Duration == nil || *x.byID["a"].Duration != 4 {
		t.Errorf("%+v", x)
	}
}
