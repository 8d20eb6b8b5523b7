package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Purges keeps what edges are to forget. AddPurge's media.ErrNotFound is of the publisher.
type Purges interface {
	AddPurge(ctx context.Context, p media.Purge) (media.Purge, error)
	Purges(ctx context.Context) ([]media.Purge, error)
}

// noPurges keeps nothing.
type noPurges struct{}

func (noPurges) AddPurge(_ context.Context, p media.Purge) (media.Purge, error) {
	return p, fmt.Errorf("%w: this server keeps no purges", media.ErrConflict)
}

func (noPurges) Purges(context.Context) ([]media.Purge, error) { return nil, nil }

func (s *Server) purgeRoutes(v1 huma.API) {
	const text = "They ask for it anew at the next request. Edges that are reached forget at once, the others when they " +
		"come back. The answer does not wait for them."
	change := func(op *huma.Operation) {
		op.DefaultStatus = http.StatusAccepted
		op.Description = text
	}
	route(s, v1, http.MethodPost, "/v1/publishers/{publisher}/purge", "purge-publisher",
		"Have all edges forget what they have cached of a publisher", s.purgePublisher, change)
	route(s, v1, http.MethodPost, "/v1/publishers/{publisher}/streams/{stream}/purge", "purge-stream",
		"Have all edges forget what they have cached of a stream", s.purgeStream, change)
	route(s, v1, http.MethodPost, "/v1/recordings/{recording}/purge", "purge-recording",
		"Have all edges forget what they have cached of a recording", s.purgeRecording, change)
}

func (s *Server) purgePublisher(ctx context.Context, in *PublisherPath) (*nothing, error) {
	name, err := in.publisher()
	if err == nil {
		err = at("path.publisher", s.purge(ctx, media.Purge{Publisher: name}))
	}
	return &nothing{}, err
}

func (s *Server) purgeStream(ctx context.Context, in *StreamPath) (*nothing, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	if _, err := s.deps.Streams.Stream(ctx, path); err != nil {
		return nil, at("path.stream", err)
	}
	return &nothing{}, at("path.stream", s.purge(ctx, media.Purge{Publisher: path.Publisher, Stream: path.Stream}))
}

func (s *Server) purgeRecording(ctx context.Context, in *RecordingPath) (*nothing, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	r, err := s.deps.Recordings.Recording(ctx, id)
	if err == nil && (r.State == media.Deleting || r.State == media.Deleted) {
		err = fmt.Errorf("recording %s: %w", id, media.ErrGone) // edges have forgotten it
	}
	if err == nil {
		err = s.purge(ctx, media.Purge{Publisher: r.Path.Publisher, Stream: r.Path.Stream, Recording: id})
	}
	return &nothing{}, at("path.recording", err)
}

// purge notes a purge for edges that are away, and tells those that are there.
func (s *Server) purge(ctx context.Context, p media.Purge) error {
	p, err := s.deps.Purges.AddPurge(ctx, p)
	if err != nil || s.deps.Publish == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	event := media.Event{
		Type: media.EventPurged, Time: time.Now(), Publisher: p.Publisher, Stream: p.Stream, Recording: p.Recording,
	}
	if err := s.deps.Publish(ctx, event); err != nil { // edges ask when the registry is back
		s.log.WarnContext(ctx, "event lost", "event", event.Type, "publisher", p.Publisher, "stream", p.Stream,
			"recording", p.Recording, "err", err)
	}
	return nil
}

// purgeMemo is what was purged as the catalog said it last, for while it is away.
type purgeMemo struct {
	mu     sync.Mutex
	purges []media.Purge
	known  bool
}

// purgesNow gives what was purged, remembered while the catalog is away.
func (s *Server) purgesNow(ctx context.Context) ([]media.Purge, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CatalogWait)
	defer cancel()
	purges, err := s.deps.Purges.Purges(ctx)
	s.purged.mu.Lock()
	defer s.purged.mu.Unlock()
	switch {
	case err == nil:
		s.purged.purges, s.purged.known = purges, true
		return purges, nil
	case s.purged.known:
		return s.purged.purges, nil
	}
	return nil, err
}

// servePurges tells edges what was purged, for what they did not hear of as it happened: media.KnownPurges.
func (s *Server) servePurges(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !s.edgeAllowed(r) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="oxbow"`)
		writeProblem(w, newProblem(http.StatusUnauthorized, "send Authorization: Bearer with the --cluster-token"))
		return
	}
	purges, err := s.purgesNow(r.Context())
	if err != nil {
		writeProblem(w, newProblem(http.StatusServiceUnavailable, "what was purged is not known: try again in a moment"))
		return
	}
	told := media.KnownPurges{Purges: make([]media.KnownPurge, 0, len(purges))}
	for _, p := range purges {
		told.Purges = append(told.Purges, media.KnownPurge{
			Publisher: p.Publisher, Stream: p.Stream, Recording: p.Recording,
			AgeMS: max(0, time.Since(p.Time).Milliseconds()),
		})
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(told); err != nil {
		s.log.DebugContext(r.Context(), "write purges", "err", err)
	}
}
