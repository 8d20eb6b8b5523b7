package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Log is the catalog's log of events.
type Log interface {
	// Events gives a part of the log. Who reads on after the last id that came misses none but what was pruned.
	Events(ctx context.Context, f media.LogFilter, p media.LogPage) ([]media.LogEvent, error)
	EventEnds(ctx context.Context) (media.LogEnds, error)
	// PruneEvents removes the oldest events before a time, and gives their number.
	PruneEvents(ctx context.Context, before time.Time, limit int) (int, error)
}

type logOutput struct {
	Body list[media.LogEvent]
}

// LogSelection is what selects events of the log.
type LogSelection struct {
	Publisher string   `query:"publisher" maxLength:"63" doc:"Only this publisher's"`
	Stream    string   `query:"stream" maxLength:"63" doc:"Only streams of this name"`
	Recording string   `query:"recording" maxLength:"63" doc:"Only this recording's"`
	Type      []string `query:"type,explode" maxItems:"20" doc:"Only these types; may be repeated"`
}

type listLogInput struct {
	LogSelection
	Since  time.Time `query:"since" doc:"Only those that happened at or after"`
	Until  time.Time `query:"until" doc:"Only those that happened before"`
	Order  string    `query:"order" enum:"desc,asc" default:"desc" doc:"Newest first, or oldest first"`
	After  int64     `query:"after" minimum:"0" doc:"With order=asc: only those behind this id"`
	Limit  int       `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Most items to return"`
	Cursor string    `query:"cursor" maxLength:"20" doc:"The next of the page before"`
}

func (s *Server) logRoutes(v1 huma.API) {
	if s.deps.Log == nil {
		return
	}
	tag := func(op *huma.Operation) {
		op.Tags = []string{"Events"}
		op.Errors = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity}
	}
	route(s, v1, http.MethodGet, "/v1/events", "list-log", "The log of what happened", s.listLog, tag,
		func(op *huma.Operation) {
			op.Description = "Ids count up in the order in which events became durable. To miss none, read with order=asc and " +
				"after=ID of the last event that came."
		})
	route(s, v1, http.MethodGet, logStreamPath, "follow-log", "Follow the log, as server-sent events", s.followLog, tag,
		describeFollowing)
}

// filter checks the selection and keeps it to the caller's publisher.
func (l LogSelection) filter(ctx context.Context) (media.LogFilter, error) {
	for i, t := range l.Type {
		if !slices.Contains(media.LogEventTypes(), t) {
			return media.LogFilter{}, at(fmt.Sprintf("query.type[%d]", i),
				fmt.Errorf("%w: there is no event %.40q: use %v", media.ErrInvalid, t, media.LogEventTypes()))
		}
	}
	if err := restrict(ctx, &l.Publisher, "query.publisher"); err != nil {
		return media.LogFilter{}, err
	}
	return media.LogFilter{
		Publisher: l.Publisher, Stream: l.Stream, Recording: media.RecordingID(l.Recording), Types: l.Type,
	}, nil
}

func (s *Server) listLog(ctx context.Context, in *listLogInput) (*logOutput, error) {
	f, err := in.filter(ctx)
	if err != nil {
		return nil, err
	}
	f.Since, f.Until = in.Since, in.Until
	page := media.LogPage{After: in.After, Newest: in.Order != "asc", Limit: in.Limit + 1}
	if in.After > 0 && page.Newest {
		return nil, at("query.after", fmt.Errorf("%w: it goes with order=asc", media.ErrInvalid))
	}
	if in.Cursor != "" {
		id, err := strconv.ParseInt(in.Cursor, 10, 64)
		if err != nil || id <= 0 {
			return nil, at("query.cursor", fmt.Errorf("%w: use the next of the page before", media.ErrInvalid))
		}
		if page.Newest {
			page.Before = id
		} else {
			page.After = max(id, page.After)
		}
	}
	events, err := s.deps.Log.Events(ctx, f, page)
	if err != nil {
		return nil, err
	}
	out := &logOutput{}
	out.Body = paged(events, in.Limit, func(e media.LogEvent) string { return strconv.FormatInt(e.ID, 10) },
		func(e media.LogEvent) media.LogEvent { return e })
	return out, nil
}

const (
	// pruneBatch is how many events go in one transaction.
	pruneBatch = 1000
)

// pruneLog removes what is older than the log keeps, until ctx ends. What fails is tried again the next time.
func (s *Server) pruneLog(ctx context.Context) {
	if s.cfg.EventKeep < 0 {
		return
	}
	pruneLoop(ctx, pruneFirst, func() {
		for {
			asking, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
			n, err := s.deps.Log.PruneEvents(asking, time.Now().Add(-s.cfg.EventKeep), pruneBatch)
			cancel()
			s.follow.pruned.Add(float64(n))
			if err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "event log is not pruned", "err", err)
			}
			if err != nil || n < pruneBatch {
				return
			}
		}
	})
}
