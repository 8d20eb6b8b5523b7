package packager

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// eventAhead is how far in the future an event may begin.
const eventAhead = 24 * time.Hour

// eventIndex is a show's events as told so far, made of its pieces of metadata.
type eventIndex struct {
	byID map[string]*media.ShowEvent
	// order has them by their first piece; read is the number of the last piece that was looked at.
	order []*media.ShowEvent
	read  int64
}

// follow reads the pieces that came since.
func (x *eventIndex) follow(list []media.Metadata) {
	if x.byID == nil {
		x.byID = make(map[string]*media.ShowEvent)
	}
	first := len(list)
	for first > 0 && list[first-1].Number > x.read {
		first--
	}
	for i := range list[first:] {
		m := &list[first+i]
		x.read = m.Number
		var e media.TimedEvent
		if m.Kind != media.DateRange || json.Unmarshal(m.Payload, &e) != nil {
			continue
		}
		known := x.byID[e.ID]
		if known == nil {
			known = &media.ShowEvent{Number: m.Number, TimedEvent: e}
			x.byID[e.ID] = known
			x.order = append(x.order, known)
			continue
		}
		if whole, _, changed, err := known.Add(e); err == nil && changed {
			known.TimedEvent = whole
		}
	}
}

// AddEvent keeps an event with the recording that a stream is live with, and shows it to players at once. Without an ID
// it gets one, without a start the live edge. media.ErrConflict: the stream is not live, or the recording has as much
// metadata as one may have; media.ErrExists: an event of that ID is there; a *media.FieldError names what breaks a
// rule.
func (p *Packager) AddEvent(path media.StreamPath, e media.TimedEvent) (media.ShowEvent, error) {
	var added media.ShowEvent
	err := p.withShow(path, func(s *Show) (err error) {
		added, err = s.addEvent(e, time.Now())
		return err
	})
	if err != nil {
		return media.ShowEvent{}, p.refuseEvent(path, "add event", err)
	}
	return added, nil
}

// CompleteEvent adds to an event what was not told of it. media.ErrNotFound; other errors are as AddEvent has them.
func (p *Packager) CompleteEvent(path media.StreamPath, more media.TimedEvent) (media.ShowEvent, error) {
	var whole media.ShowEvent
	err := p.withShow(path, func(s *Show) (err error) {
		whole, err = s.completeEvent(more)
		return err
	})
	if err != nil {
		return media.ShowEvent{}, p.refuseEvent(path, "complete event", err)
	}
	return whole, nil
}

// Events gives the events of the recording that a stream is live with, in the order of their numbers.
func (p *Packager) Events(path media.StreamPath) ([]media.ShowEvent, error) {
	var list []media.ShowEvent
	err := p.withShow(path, func(s *Show) error {
		x := s.readEvents()
		list = make([]media.ShowEvent, len(x.order))
		for i, e := range x.order {
			list[i] = *e // what its pointers and map lead to is never modified
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("events of %s: %w", path, err)
	}
	return list, nil
}

func (p *Packager) refuseEvent(path media.StreamPath, act string, err error) error {
	p.metrics.eventsRefused.Inc()
	return fmt.Errorf("%s of %s: %w", act, path, err)
}

// withShow calls a function with the growing recording of a stream, under the stream's lock.
func (p *Packager) withShow(path media.StreamPath, do func(*Show) error) error {
	notLive := fmt.Errorf("%w: nobody publishes %s now: events belong to a live recording", media.ErrConflict, path)
	s, err := p.lookup(path, false)
	if err != nil {
		return err
	}
	if s == nil {
		return notLive
	}
	if err := p.confirm(path); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead || s.leaving || s.show == nil || !s.show.state.Growing() || len(s.show.takes) == 0 {
		return notLive
	}
	return do(s.show)
}

func (s *Show) readEvents() *eventIndex {
	x := &s.timeline.events
	x.follow(s.Metadata())
	return x
}

func (s *Show) addEvent(e media.TimedEvent, now time.Time) (media.ShowEvent, error) {
	x := s.readEvents()
	if e.StartDate.IsZero() {
		last := &s.takes[len(s.takes)-1]
		e.StartDate = last.Anchor.Add(s.edge())
	}
	if e.ID == "" {
		for n := s.nextNumber(); ; n++ {
			e.ID = "event-" + strconv.FormatInt(n, 10)
			if x.byID[e.ID] == nil {
				break
			}
		}
	}
	e.Round()
	if err := e.Check(); err != nil {
		return media.ShowEvent{}, err
	}
	if x.byID[e.ID] != nil {
		return media.ShowEvent{}, fmt.Errorf("event %s: %w: add to it with PATCH", e.ID, media.ErrExists)
	}
	begin := s.takes[0].Anchor
	switch {
	case e.StartDate.Before(begin):
		return media.ShowEvent{}, &media.FieldError{
			Field: "start_date", Want: "must not be before the recording's begin, " + begin.Format(time.RFC3339Nano),
		}
	case e.StartDate.After(now.Add(eventAhead)):
		return media.ShowEvent{}, &media.FieldError{
			Field: "start_date", Want: fmt.Sprintf("must be at most %v from now", eventAhead),
		}
	}
	if err := s.tellEvent(&e); err != nil {
		return media.ShowEvent{}, err
	}
	return *s.readEvents().byID[e.ID], nil
}

func (s *Show) completeEvent(more media.TimedEvent) (media.ShowEvent, error) {
	known := s.readEvents().byID[more.ID]
	if known == nil {
		return media.ShowEvent{}, fmt.Errorf("event %s: %w in the live recording", more.ID, media.ErrNotFound)
	}
	more.StartDate = known.StartDate
	more.Round()
	_, added, changed, err := known.Add(more)
	if err != nil {
		return media.ShowEvent{}, err
	}
	if changed {
		if err := s.tellEvent(&added); err != nil {
			return media.ShowEvent{}, err
		}
	}
	return *s.readEvents().byID[more.ID], nil
}

// tellEvent keeps a piece that tells of an event, on the clock of the take that its start is in.
func (s *Show) tellEvent(e *media.TimedEvent) error {
	payload, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("event %s: %w: %w", e.ID, media.ErrInvalid, err)
	}
	if len(payload) > media.MaxMetadata {
		return &media.FieldError{
			Field: "attributes", Want: fmt.Sprintf("are too large: an event may have %d bytes", media.MaxMetadata),
		}
	}
	index := len(s.takes) - 1
	for index > 0 && e.StartDate.Before(s.takeBegin(index)) {
		index--
	}
	take := &s.takes[index]
	m := media.Metadata{
		Take: take.Number, Kind: media.DateRange, Time: e.StartDate.Sub(take.Anchor), Date: e.StartDate, Payload: payload,
	}
	if next := index + 1; next < len(s.takes) { // media time has no holes, as there may be between the takes' dates
		m.Time = min(m.Time, s.takeBegin(next).Sub(s.takes[next].Anchor))
	}
	if !s.keepMetadata(m) {
		s.metrics.metadataDropped.Inc()
		return fmt.Errorf("%w: the recording has as much timed metadata as it may have", media.ErrConflict)
	}
	s.metrics.timedMetadata.WithLabelValues(string(media.DateRange)).Inc()
	s.publish()
	return nil
}

// takeBegin is the date where a take begins.
func (s *Show) takeBegin(index int) time.Time {
	take := &s.takes[index]
	r := s.renditions[0]
	if i := int(take.FirstMSN) - 1; i < len(r.segments) {
		return r.segments[i].Date
	}
	if r.open != nil {
		return r.open.Date
	}
	return take.StartedAt
}

// edge is the media time that players may have seen: the end of what is listed, with parts.
func (s *Show) edge() time.Duration {
	end := s.end()
	if r := s.renditions[0]; r.open != nil {
		ticks := r.open.dts
		for _, p := range r.open.Parts {
			ticks += p.Duration
		}
		end = max(end, media.Duration(ticks, r.open.timescale))
	}
	return end
}
