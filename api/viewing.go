package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Viewing keeps what edges saw of their viewers. AddViewing replaces rows that it has; Viewing gives each row once, in
// no order. FoldViewing puts the oldest minute before a time into its hour, and gives the number of its rows,
// PruneViewing removes hours.
type Viewing interface {
	AddViewing(ctx context.Context, edge, run string, rows []media.ViewingRow) error
	Viewing(ctx context.Context, f media.ViewingFilter, visit func(media.EdgeViewing) error) error
	FoldViewing(ctx context.Context, before time.Time) (int, error)
	PruneViewing(ctx context.Context, before time.Time) (int, error)
}

// noViewing is what a process has that keeps no history.
type noViewing struct{}

func (noViewing) AddViewing(context.Context, string, string, []media.ViewingRow) error { return nil }

func (noViewing) Viewing(context.Context, media.ViewingFilter, func(media.EdgeViewing) error) error {
	return nil
}

func (noViewing) FoldViewing(context.Context, time.Time) (int, error) { return 0, nil }

func (noViewing) PruneViewing(context.Context, time.Time) (int, error) { return 0, nil }

const (
	// minutesKept is how long minutes are kept; hours are kept for hoursKept.
	minutesKept = 48 * time.Hour
	hoursKept   = 400 * 24 * time.Hour
	// maxViewingPoints bounds the history in one answer.
	maxViewingPoints = 1500
	// maxViewingRows bounds what one answer is made of: 24 hours of 100 edges.
	maxViewingRows = 150_000
)

// ViewingRange selects a part of the history.
type ViewingRange struct {
	Since time.Time `query:"since" doc:"History from here on; default: an hour ago, of a recording its start"`
	Until time.Time `query:"until" doc:"History before; default: now"`
	Step  string    `query:"step" enum:"1m,5m,15m,1h" doc:"Length of a row; default: the least that the range allows"`
}

type streamViewingInput struct {
	StreamPath
	ViewingRange
}

type recordingViewingInput struct {
	RecordingPath
	ViewingRange
}

type listViewingInput struct {
	Publisher string `query:"publisher" doc:"Only this publisher's"`
	Limit     int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Most items to return"`
}

type viewingOutput struct {
	Body viewingBody
}

type viewingsOutput struct {
	Body struct {
		Viewers int64        `json:"viewers" doc:"Who watches now, all streams together"`
		Items   []watchedRow `json:"items" nullable:"false"`
		Next    string       `json:"next" doc:"Always empty: ask for more by limit"`
	}
}

// watchedRow is a stream that is watched now.
type watchedRow struct {
	Publisher string         `json:"publisher"`
	Stream    string         `json:"stream"`
	Viewers   int64          `json:"viewers" doc:"Who watches it now"`
	Edges     int            `json:"edges" doc:"How many edges serve them"`
	Now       ViewingSummary `json:"now" doc:"The last one to two minutes"`
}

func (s *Server) viewingRoutes(v1 huma.API) {
	of := func(text string) func(*huma.Operation) {
		return func(op *huma.Operation) { op.Description = text }
	}
	const counts = "Edges report every three seconds. Figures of quality are of players that send CMCD alone."
	route(s, v1, http.MethodGet, "/v1/viewing", "list-viewing", "The streams that are watched now, most viewers first",
		s.listViewing, of(counts))
	route(s, v1, http.MethodGet, "/v1/publishers/{publisher}/streams/{stream}/viewing", "get-stream-viewing",
		"Who watches a stream, and how well", s.streamViewing, of(counts))
	route(s, v1, http.MethodGet, "/v1/recordings/{recording}/viewing", "get-recording-viewing",
		"Who watches a recording, and who did while it was live", s.recordingViewing, of(counts))
}

func (s *Server) listViewing(ctx context.Context, in *listViewingInput) (*viewingsOutput, error) {
	if err := checkFilter(media.RecordingFilter{Publisher: in.Publisher}); err != nil {
		return nil, err
	}
	if err := restrict(ctx, &in.Publisher, "query.publisher"); err != nil {
		return nil, err
	}
	out := &viewingsOutput{}
	out.Body.Viewers, out.Body.Items = s.viewing.top(in.Publisher, in.Limit, time.Now())
	return out, nil
}

func (s *Server) streamViewing(ctx context.Context, in *streamViewingInput) (*viewingOutput, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	if _, err := s.deps.Streams.Stream(ctx, path); err != nil {
		return nil, located("path.stream", err)
	}
	return s.viewed(ctx, media.ViewingFilter{Stream: path}, in.ViewingRange, time.Time{})
}

func (s *Server) recordingViewing(ctx context.Context, in *recordingViewingInput) (*viewingOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	r, err := s.deps.Recordings.Recording(ctx, id)
	if err == nil && r.State == media.Deleted {
		err = fmt.Errorf("recording %s: %w", id, media.ErrGone)
	}
	if err != nil {
		return nil, located("path.recording", err)
	}
	return s.viewed(ctx, media.ViewingFilter{Stream: r.Path, Recording: id}, in.ViewingRange, r.StartedAt)
}

// viewed answers with the history of what a filter selects. From is where it begins if nothing is said.
func (s *Server) viewed(
	ctx context.Context, f media.ViewingFilter, in ViewingRange, from time.Time,
) (*viewingOutput, error) {
	now := time.Now()
	step, err := in.resolve(&f, now, from)
	if err != nil {
		return nil, err
	}
	sum := newViewingSum(f, step)
	rows := 0
	err = s.deps.Viewing.Viewing(ctx, f, func(v media.EdgeViewing) error {
		if rows++; rows > maxViewingRows {
			return errViewingRows
		}
		sum.add(v)
		return nil
	})
	if errors.Is(err, errViewingRows) {
		return nil, at("query.since", err)
	}
	if err != nil {
		return nil, err
	}
	out := &viewingOutput{}
	s.viewing.addTo(sum, f, now)
	out.Body = sum.body(caller(ctx).Publisher == "")
	return out, nil
}

var errViewingRows = fmt.Errorf("%w: that is too much history at once: ask for less of it", media.ErrInvalid)

// resolve sets the filter's times, and gives the step.
func (in ViewingRange) resolve(f *media.ViewingFilter, now, from time.Time) (time.Duration, error) {
	if from.IsZero() {
		from = now.Add(-time.Hour)
	}
	f.Since, f.Until = from, now.Add(time.Minute)
	if !in.Since.IsZero() {
		f.Since = in.Since
	}
	if !in.Until.IsZero() {
		f.Until = in.Until
	}
	if f.Since.Before(now.Add(-2 * hoursKept)) {
		f.Since = now.Add(-2 * hoursKept) // nothing is that old
	}
	if !f.Since.Before(f.Until) {
		return 0, at("query.until", fmt.Errorf("%w: until must be later than since", media.ErrInvalid))
	}
	f.Since = f.Since.Truncate(time.Minute)
	span := f.Until.Sub(f.Since)
	for _, step := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour} {
		fits := span/step < maxViewingPoints || step == time.Hour
		switch {
		case in.Step == "" && fits:
			return step, nil
		case in.Step != "" && in.Step == stepName(step) && !fits:
			return 0, at("query.step", fmt.Errorf("%w: %s gives more than %d rows: use a longer one, or less of the history",
				media.ErrInvalid, in.Step, maxViewingPoints))
		case in.Step == stepName(step):
			return step, nil
		}
	}
	return time.Hour, nil
}

func stepName(step time.Duration) string {
	if step == time.Hour {
		return "1h"
	}
	return fmt.Sprintf("%dm", step/time.Minute)
}

// foldViewing makes hours of old minutes, and removes the oldest hours, until ctx ends.
func (s *Server) foldViewing(ctx context.Context) {
	pruneLoop(ctx, pruneFirst, func() {
		for {
			asking, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
			n, err := s.deps.Viewing.FoldViewing(asking, time.Now().Add(-minutesKept))
			if err == nil && n == 0 {
				_, err = s.deps.Viewing.PruneViewing(asking, time.Now().Add(-hoursKept))
			}
			cancel()
			if err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "history of viewers is not folded", "err", err)
			}
			if err != nil || n == 0 {
				return
			}
		}
	})
}
