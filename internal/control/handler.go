package control

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/media"
)

// Prefix is where the handler is mounted; its requests keep their whole path.
const Prefix = "/internal/v1/node/"

// serveTimeout bounds a node's work for one request.
const serveTimeout = 5 * time.Second

// Sessions are the publishers that are connected to this node, as the api has them.
type Sessions interface {
	Sessions(ctx context.Context) ([]media.IngestReport, error)
	Session(ctx context.Context, path media.StreamPath) (media.IngestReport, error)
	EndSession(ctx context.Context, path media.StreamPath, reason string) error
}

// Events are those of this node's live recordings, as the api has them.
type Events interface {
	AddEvent(ctx context.Context, path media.StreamPath, e media.TimedEvent) (media.ShowEvent, error)
	CompleteEvent(ctx context.Context, path media.StreamPath, more media.TimedEvent) (media.ShowEvent, error)
	Events(ctx context.Context, path media.StreamPath) ([]media.ShowEvent, error)
}

// Deps is what an ingest node answers with; all but SwitchFeed, Drain and what is of sources are needed.
type Deps struct {
	// Node gives the node as it registers.
	Node func() media.Node
	// Leases lists the leases that the node holds, in order of path.
	Leases   func() []media.Lease
	Sessions Sessions
	Events   Events
	// SwitchFeed makes a stream's feed the live one. media.ErrNotFound, media.ErrConflict. Nil: there are no backups.
	SwitchFeed func(ctx context.Context, path media.StreamPath, feed string) error
	// RevokeKey drops who publishes a stream here with the key of an id. Nil: nobody comes with keys.
	RevokeKey func(path media.StreamPath, id string)
	// SourceStatus says what this node does with a stream's source. Nil: it fetches none.
	SourceStatus func(path media.StreamPath) media.SourceStatus
	// SourcesChanged has the node read the sources anew. Nil: it fetches none.
	SourcesChanged func()
	// Drain has the node give its streams up and stop. It does not wait, and does nothing when that has begun. Nil:
	// the node can't.
	Drain func(ctx context.Context) error
}

// Status is a node and what it serves.
type Status struct {
	Node   media.Node `json:"node"`
	Leases []leaseRow `json:"leases"`
}

// leaseRow is a lease on the wire, where it has its stream's path.
type leaseRow struct {
	Publisher string `json:"publisher"`
	Stream    string `json:"stream"`
	media.Lease
}

type handler struct {
	deps   Deps
	tokens *admission.Tokens
	logger *slog.Logger
}

// NewHandler makes what an ingest node serves under Prefix, for who shows a token. Nil is none.
func NewHandler(deps Deps, tokens *admission.Tokens, logger *slog.Logger) http.Handler {
	h := &handler{deps: deps, tokens: tokens, logger: logger}
	const stream = Prefix + "streams/{publisher}/{stream}/"
	mux := http.NewServeMux()
	for pattern, serve := range map[string]func(r *http.Request) (any, error){
		"GET " + Prefix + "status":                h.status,
		"POST " + Prefix + "drain":                h.drain,
		"GET " + Prefix + "sessions":              h.sessions,
		"POST " + Prefix + "sources":              h.sourcesChanged,
		"GET " + stream + "session":               ofStream(h.session),
		"DELETE " + stream + "session":            ofStream(h.endSession),
		"DELETE " + stream + "keys/{key}/session": ofStream(h.revokeKey),
		"POST " + stream + "feed":                 ofStream(h.switchFeed),
		"GET " + stream + "source":                ofStream(h.sourceStatus),
		"GET " + stream + "events":                ofStream(h.events),
		"POST " + stream + "events":               ofStream(h.addEvent),
		"PATCH " + stream + "events":              ofStream(h.completeEvent),
	} {
		mux.Handle(pattern, h.answer(serve))
	}
	return h.guard(mux)
}

// guard checks the token before anything is told, and answers for what panics.
func (h *handler) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		defer func() {
			if v := recover(); v != nil {
				h.logger.ErrorContext(r.Context(), "panic", "method", r.Method, "path", r.URL.Path, "panic", v,
					"stack", string(debug.Stack()))
				newProblem(r.Context(), fmt.Errorf("panic: %v", v), h.logger).write(w)
			}
		}()
		if !h.tokens.Judge(r.Header["Authorization"]).Admits() {
			w.Header().Set("WWW-Authenticate", `Bearer realm="oxbow"`)
			problem{
				Status: http.StatusUnauthorized, Code: codeUnauthorised,
				Detail: "send Authorization: Bearer with the --cluster-token",
			}.write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// accepted and done are answers without a body.
type (
	accepted struct{}
	done     struct{}
)

func (h *handler) answer(serve func(r *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), serveTimeout)
		defer cancel()
		out, err := serve(r.WithContext(ctx))
		var body []byte
		switch out.(type) {
		case accepted, done, nil:
		default:
			if err == nil {
				body, err = json.Marshal(out)
			}
		}
		if err != nil {
			newProblem(ctx, err, h.logger).write(w)
			return
		}
		switch out.(type) {
		case accepted:
			w.WriteHeader(http.StatusAccepted)
		case done:
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(body) // who asked may have left
		}
	})
}

// ofStream reads the stream's path.
func ofStream(serve func(r *http.Request, path media.StreamPath) (any, error)) func(r *http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		path, err := media.ParseStreamPath(r.PathValue("publisher") + "/" + r.PathValue("stream"))
		if err != nil {
			return nil, err
		}
		return serve(r, path)
	}
}

func (h *handler) status(*http.Request) (any, error) {
	s := Status{Node: h.deps.Node(), Leases: []leaseRow{}}
	for _, l := range h.deps.Leases() {
		s.Leases = append(s.Leases, leaseRow{Publisher: l.Path.Publisher, Stream: l.Path.Stream, Lease: l})
	}
	return s, nil
}

func (h *handler) drain(r *http.Request) (any, error) {
	if h.deps.Drain == nil {
		return nil, fmt.Errorf("%w: this node can't drain: stop it with SIGTERM", media.ErrConflict)
	}
	h.logger.InfoContext(r.Context(), "asked to drain", "remote", r.RemoteAddr)
	return accepted{}, h.deps.Drain(r.Context())
}

func (h *handler) sessions(r *http.Request) (any, error) {
	reports, err := h.deps.Sessions.Sessions(r.Context())
	if reports == nil {
		reports = []media.IngestReport{}
	}
	return reports, err
}

func (h *handler) session(r *http.Request, path media.StreamPath) (any, error) {
	return h.deps.Sessions.Session(r.Context(), path)
}

func (h *handler) endSession(r *http.Request, path media.StreamPath) (any, error) {
	var in endRequest
	err := readBody(r.Body, &in)
	if err == nil {
		err = in.check()
	}
	if err == nil {
		err = h.deps.Sessions.EndSession(r.Context(), path, in.Reason)
	}
	return done{}, err
}

func (h *handler) revokeKey(r *http.Request, path media.StreamPath) (any, error) {
	if h.deps.RevokeKey != nil {
		h.deps.RevokeKey(path, r.PathValue("key"))
	}
	return done{}, nil
}

func (h *handler) switchFeed(r *http.Request, path media.StreamPath) (any, error) {
	var in feedRequest
	err := readBody(r.Body, &in)
	if err == nil {
		err = in.check()
	}
	switch {
	case err != nil:
	case h.deps.SwitchFeed == nil:
		err = fmt.Errorf("%w: this node keeps no backup of %s", media.ErrConflict, path)
	default:
		err = h.deps.SwitchFeed(r.Context(), path, in.Feed)
	}
	return done{}, err
}

func (h *handler) sourceStatus(_ *http.Request, path media.StreamPath) (any, error) {
	if h.deps.SourceStatus == nil {
		return media.SourceStatus{State: media.SourceOff}, nil
	}
	return h.deps.SourceStatus(path), nil
}

func (h *handler) sourcesChanged(*http.Request) (any, error) {
	if h.deps.SourcesChanged != nil {
		h.deps.SourcesChanged()
	}
	return done{}, nil
}

func (h *handler) events(r *http.Request, path media.StreamPath) (any, error) {
	events, err := h.deps.Events.Events(r.Context(), path)
	if events == nil {
		events = []media.ShowEvent{}
	}
	return events, err
}

func (h *handler) addEvent(r *http.Request, path media.StreamPath) (any, error) {
	var e media.TimedEvent
	if err := readBody(r.Body, &e); err != nil {
		return nil, err
	}
	return h.deps.Events.AddEvent(r.Context(), path, e)
}

func (h *handler) completeEvent(r *http.Request, path media.StreamPath) (any, error) {
	var more media.TimedEvent
	if err := readBody(r.Body, &more); err != nil {
		return nil, err
	}
	return h.deps.Events.CompleteEvent(r.Context(), path, more)
}
