package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Events keeps timed events with the recordings that are live now. A stream without one is media.ErrConflict, what
// breaks a rule a *media.FieldError.
type Events interface {
	// AddEvent keeps a new event. Without an ID it gets one, without a start the live edge. media.ErrExists.
	AddEvent(ctx context.Context, path media.StreamPath, e media.TimedEvent) (media.ShowEvent, error)
	// CompleteEvent adds what was not told of an event yet, by its ID. media.ErrNotFound.
	CompleteEvent(ctx context.Context, path media.StreamPath, more media.TimedEvent) (media.ShowEvent, error)
	// Events is in order of number.
	Events(ctx context.Context, path media.StreamPath) ([]media.ShowEvent, error)
}

// noEvents is what a process has that makes no recordings.
type noEvents struct{}

func (noEvents) AddEvent(_ context.Context, path media.StreamPath, _ media.TimedEvent) (media.ShowEvent, error) {
	return media.ShowEvent{}, fmt.Errorf("%w: nobody publishes %s here", media.ErrConflict, path)
}

func (n noEvents) CompleteEvent(
	ctx context.Context, path media.StreamPath, more media.TimedEvent,
) (media.ShowEvent, error) {
	return n.AddEvent(ctx, path, more)
}

func (n noEvents) Events(ctx context.Context, path media.StreamPath) ([]media.ShowEvent, error) {
	_, err := n.AddEvent(ctx, path, media.TimedEvent{})
	return nil, err
}

type eventOutput struct {
	Location string `header:"Location"`
	Body     media.ShowEvent
}

type eventsOutput struct {
	Body list[media.ShowEvent]
}

// EventPatch is what may be told of an event later.
type EventPatch struct {
	EndDate         *time.Time     `json:"end_date,omitempty" doc:"When it ends; it must agree with duration_s"`
	Duration        *float64       `json:"duration_s,omitempty" minimum:"0" doc:"How long it is, in seconds"`
	PlannedDuration *float64       `json:"planned_duration_s,omitempty" minimum:"0" doc:"How long it may be, in seconds"`
	Attributes      map[string]any `json:"attributes,omitempty" doc:"X-NAME: text, a number or {hex: 0x...}; SCTE35-OUT"`
}

type addEventInput struct {
	StreamPath
	Body struct {
		ID        string     `json:"id,omitempty" maxLength:"128" doc:"Unique in the recording; left out, it gets one"`
		Class     string     `json:"class,omitempty" maxLength:"128" doc:"The kind of event, like com.example.goal"`
		StartDate *time.Time `json:"start_date,omitempty" doc:"At most 24 h from now; left out, the live edge"`
		EndOnNext bool       `json:"end_on_next,omitempty" doc:"It ends where the next of its class begins"`
		Cue       []string   `json:"cue,omitempty" enum:"PRE,POST,ONCE" doc:"When an interstitial is played"`
		EventPatch
	}
}

type completeEventInput struct {
	StreamPath
	ID   string `path:"id" maxLength:"128" doc:"The event's ID"`
	Body EventPatch
}

type getEventInput struct {
	StreamPath
	ID string `path:"id" maxLength:"128" doc:"The event's ID"`
}

type listEventsInput struct {
	StreamPath
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Most items to return"`
	Cursor string `query:"cursor" maxLength:"20" doc:"The next of the page before"`
}

func (s *Server) eventRoutes(v1 huma.API) {
	const all = "/v1/publishers/{publisher}/streams/{stream}/events"
	describe := func(text string) func(*huma.Operation) {
		return func(op *huma.Operation) { op.Description = text }
	}
	route(s, v1, http.MethodPost, all, "add-event", "Add a timed event to the live recording", s.addEvent, describe(
		"Players get it as EXT-X-DATERANGE with their next playlist, and with the recording for as long as there is one. "+
			"Class com.apple.hls.interstitial with X-ASSET-URI or X-ASSET-LIST makes an interstitial. 409: the stream is not "+
			"live, or the recording has an event of that ID. Attributes are those of the tag: names are X- and A-Z, 0-9 and -, "+
			"or SCTE35-OUT, SCTE35-IN and SCTE35-CMD, which are objects like {\"hex\":\"0xFC30\"}."))
	route(s, v1, http.MethodPatch, all+"/{id}", "complete-event", "Tell more of a timed event", s.completeEvent, describe(
		"Adds what was not told yet, like where it ends. What was told can't change, since players may have seen it."))
	route(s, v1, http.MethodGet, all+"/{id}", "get-event", "Get a timed event of the live recording", s.getEvent)
	route(s, v1, http.MethodGet, all, "list-events", "List the timed events of the live recording", s.listEvents, describe(
		"Those that came by this API, not what the publisher told in the stream."))
}

// liveStream gives a stream that there is.
func (s *Server) liveStream(ctx context.Context, in StreamPath) (media.Stream, error) {
	path, err := in.path()
	if err != nil {
		return media.Stream{}, err
	}
	st, err := s.deps.Streams.Stream(ctx, path)
	return st, at("path.stream", err)
}

// ofGroup says where the events of a stream are that has no recording of its own.
func ofGroup(st media.Stream, err error) error {
	if group := st.Settings.Group; group != "" && errors.Is(err, media.ErrConflict) {
		err = fmt.Errorf("%w; %s is in group %q, whose recording it is a rendition of: use that stream's events", err,
			st.Path, group)
	}
	if errors.Is(err, media.ErrConflict) {
		return at("path.stream", err) // it is not live; a FieldError names its own
	}
	return err
}

func (p *EventPatch) event(id string) media.TimedEvent {
	return media.TimedEvent{
		ID: id, EndDate: p.EndDate, Duration: p.Duration, PlannedDuration: p.PlannedDuration, Attributes: p.Attributes,
	}
}

func (s *Server) addEvent(ctx context.Context, in *addEventInput) (*eventOutput, error) {
	st, err := s.liveStream(ctx, in.StreamPath)
	if err != nil {
		return nil, err
	}
	e := in.Body.event(in.Body.ID)
	e.Class, e.EndOnNext, e.Cue = in.Body.Class, in.Body.EndOnNext, in.Body.Cue
	if in.Body.StartDate != nil {
		e.StartDate = *in.Body.StartDate
	}
	added, err := s.deps.Events.AddEvent(ctx, st.Path, e)
	switch {
	case errors.Is(err, media.ErrExists):
		return nil, at("body.id", err)
	case err != nil:
		return nil, ofGroup(st, err)
	}
	return &eventOutput{
		Location: fmt.Sprintf("/v1/publishers/%s/streams/%s/events/%s", st.Path.Publisher, st.Path.Stream, added.ID),
		Body:     added,
	}, nil
}

func (s *Server) completeEvent(ctx context.Context, in *completeEventInput) (*eventOutput, error) {
	st, err := s.liveStream(ctx, in.StreamPath)
	if err != nil {
		return nil, err
	}
	whole, err := s.deps.Events.CompleteEvent(ctx, st.Path, in.Body.event(in.ID))
	switch {
	case errors.Is(err, media.ErrNotFound):
		return nil, at("path.id", err)
	case err != nil:
		return nil, ofGroup(st, err)
	}
	return &eventOutput{Body: whole}, nil
}

func (s *Server) getEvent(ctx context.Context, in *getEventInput) (*eventOutput, error) {
	st, err := s.liveStream(ctx, in.StreamPath)
	if err != nil {
		return nil, err
	}
	events, err := s.deps.Events.Events(ctx, st.Path)
	if err != nil {
		return nil, ofGroup(st, err)
	}
	i := slices.IndexFunc(events, func(e media.ShowEvent) bool { return e.ID == in.ID })
	if i < 0 {
		return nil, at("path.id", fmt.Errorf("event %s: %w in the live recording", in.ID, media.ErrNotFound))
	}
	return &eventOutput{Body: events[i]}, nil
}

func (s *Server) listEvents(ctx context.Context, in *listEventsInput) (*eventsOutput, error) {
	st, err := s.liveStream(ctx, in.StreamPath)
	if err != nil {
		return nil, err
	}
	var after int64
	if in.Cursor != "" {
		if after, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil {
			return nil, at("query.cursor", fmt.Errorf("%w: must be the next of the page before", media.ErrInvalid))
		}
	}
	events, err := s.deps.Events.Events(ctx, st.Path)
	if err != nil {
		return nil, ofGroup(st, err)
	}
	events = slices.DeleteFunc(events, func(e media.ShowEvent) bool { return e.Number <= after })
	events = events[:min(len(events), in.Limit+1)]
	number := func(e media.ShowEvent) string { return strconv.FormatInt(e.Number, 10) }
	row := func(e media.ShowEvent) media.ShowEvent { return e }
	return &eventsOutput{Body: paged(events, in.Limit, number, row)}, nil
}
