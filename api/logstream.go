package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	logStreamPath = "/v1/events/stream"
	// logBeat is how often a stream says that it is there, and where its follower stands.
	logBeat = 10 * time.Second
	// logCheck is how often the token is looked at again: for so long a stream outlives it.
	logCheck = 10 * time.Second
	// followAgain is when who was one too many may try again.
	followAgain = 10 * time.Second
	// maxCatchUp bounds the reads that bring one follower up: half a million events. It comes again for the rest.
	maxCatchUp = 1000
)

// errTooMany: a bound on what is open at a time is reached. It is told with its reason.
var errTooMany = errors.New("too many")

type followLogInput struct {
	LogSelection
	After       int64 `query:"after" minimum:"-1" default:"-1" doc:"Begin behind this id; -1 is now, 0 the log's begin"`
	LastEventID int64 `header:"Last-Event-ID" minimum:"0" doc:"Resume behind this id; it goes before after"`
}

func describeFollowing(op *huma.Operation) {
	op.Description = "Each event has its id, its type as the event's name, and the same JSON as /v1/events in its data. " +
		"An empty event with an id alone comes every ten seconds: what is behind that id was not sent yet. The event lost " +
		"says that the log does not go back to where it was asked to begin: data.after was asked for, and what is behind " +
		"data.from follows. A follower that is too slow is cut and resumes with Last-Event-ID."
	op.Responses = map[string]*huma.Response{"200": {
		Description: "The stream, without an end",
		Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
	op.Errors = append(op.Errors, http.StatusTooManyRequests, http.StatusServiceUnavailable)
}

// freeKey is the key of what takes the bound off a request's work.
type freeKey struct{}

// boundedUntilFree is bounded for a stream: the bound is off once its handler has begun it.
func (s *Server) boundedUntilFree(next http.Handler, w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	timer := time.AfterFunc(s.cfg.Timeout, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, freeKey{}, func() { timer.Stop() })))
}

// followLog sends the log as it grows.
func (s *Server) followLog(ctx context.Context, in *followLogInput) (*huma.StreamResponse, error) {
	filter, err := in.filter(ctx)
	if err != nil {
		return nil, err
	}
	after := in.After
	if in.LastEventID > 0 {
		after = in.LastEventID
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		r, w := humachi.Unwrap(hctx)
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Type", "text/event-stream")
			return
		}
		s.streamLog(w, r.WithContext(ctx), filter, after)
	}}, nil
}

func (s *Server) streamLog(w http.ResponseWriter, r *http.Request, filter media.LogFilter, after int64) {
	out := &eventWriter{w: w, control: http.NewResponseController(w)}
	sub, err := s.resumeLog(r.Context(), out, filter, after)
	if err != nil {
		if !out.begun {
			s.refuseFollower(w, r, err)
		}
		return
	}
	defer s.follow.unsubscribe(sub)
	beat, check := time.NewTicker(logBeat), time.NewTicker(logCheck)
	defer beat.Stop()
	defer check.Stop()
	for {
		var err error
		select {
		case item := <-sub.items:
			err = out.write(item.text)
		case <-beat.C:
			err = s.beatLog(out, sub)
		case <-check.C:
			if !s.stillGood(r) {
				s.log.InfoContext(r.Context(), "stream of the event log ended: its token is no longer good",
					"remote", r.RemoteAddr)
				return
			}
		case <-sub.done:
			s.log.DebugContext(r.Context(), "stream of the event log ended", "remote", r.RemoteAddr, "reason", sub.why)
			return
		case <-r.Context().Done():
			return
		}
		if err != nil {
			return // the client left
		}
	}
}

func (s *Server) refuseFollower(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errTooMany) {
		refuseFor(w, followAgain, "header.Authorization", fmt.Sprintf("%s: close one, or try again later", err))
		return
	}
	writeProblem(w, s.problem(r.Context(), err))
}

// beatLog tells that the stream is there, and, where it is known, how far it has come.
func (s *Server) beatLog(out *eventWriter, sub *logFollower) error {
	if id, ok := s.follow.position(sub); ok && id > 0 {
		return out.write(fmt.Appendf(nil, "id: %d\n\n", id))
	}
	return out.write([]byte(":\n\n"))
}

// resumeLog sends what came behind an id and subscribes behind that. The bound on the request's work is off from here
// on: each read and each write has its own.
func (s *Server) resumeLog(
	ctx context.Context, out *eventWriter, filter media.LogFilter, after int64,
) (*logFollower, error) {
	asking, cancel := context.WithTimeout(ctx, logRead)
	ends, err := s.deps.Log.EventEnds(asking)
	cancel()
	if err != nil {
		return nil, err
	}
	if free, ok := ctx.Value(freeKey{}).(func()); ok {
		free()
	}
	var lost []byte
	if after > 0 && after < ends.Pruned || after > ends.Last { // the latter is of another catalog
		from := min(ends.Pruned, ends.Last)
		if after > ends.Last {
			from = ends.Last
		}
		lost = frameOf(from, "lost", map[string]int64{"after": after, "from": from}).text
		after = from
	}
	for range maxCatchUp {
		sub, first, err := s.follow.subscribe(filter, caller(ctx).Publisher, after)
		if err != nil {
			return nil, err
		}
		text := lost
		if sub != nil {
			text = append(text, "retry: 2000\n\n"...)
		}
		lost = nil
		var next int64
		if sub == nil {
			if first, next, err = s.follow.read(ctx, filter, after); err != nil {
				return nil, err
			}
			after = next
		}
		for _, item := range first {
			text = append(text, item.text...)
		}
		if err := out.write(text); err != nil {
			if sub != nil {
				s.follow.unsubscribe(sub)
			}
			return nil, err
		}
		if sub != nil {
			return sub, s.beatLog(out, sub)
		}
	}
	return nil, fmt.Errorf("%w: too far behind: come again", media.ErrUnavailable)
}

// stillGood says that a stream's token may go on. While nobody can know it may.
func (s *Server) stillGood(r *http.Request) bool {
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	_, err := s.checkToken(ctx, bearerToken(r.Header))
	return !errors.Is(err, media.ErrDenied)
}
