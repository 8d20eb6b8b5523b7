package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/oxbow-video/oxbow/internal/media"
)

// internalRoutes serves edges.
func (s *Server) internalRoutes() http.Handler {
	r := s.router()
	r.Route("/internal/v1", func(r chi.Router) {
		r.Get("/events", s.serveEventStream) // it ends when the edge leaves
		r.Group(func(r chi.Router) {
			r.Use(s.bounded)
			r.Get("/directory", func(w http.ResponseWriter, _ *http.Request) { // it is one: edges ask at their start
				w.WriteHeader(http.StatusNoContent)
			})
			r.Get("/playback", s.servePlayback)
			r.Get("/purges", s.servePurges)
			r.Post("/edges/{edge}", s.forEdges(s.serveBeat))
			r.Delete("/edges/{edge}", s.forEdges(s.serveLeave))
			r.Post("/edges/{edge}/viewing", s.forEdges(s.serveViewing))
			r.Get("/locate/{publisher}/{stream}", s.serveLocate)
			r.Get("/locate/{publisher}/{stream}/{recording}", s.serveLocate)
		})
	})
	return r
}

func (s *Server) serveLocate(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store") // edges keep answers by their own rules, nothing in between does
	in := StreamPath{PublisherPath: PublisherPath{chi.URLParam(r, "publisher")}, Stream: chi.URLParam(r, "stream")}
	path, err := in.path()
	var id media.RecordingID
	if given := chi.URLParam(r, "recording"); err == nil && given != "" {
		id, err = RecordingPath{given}.id()
	}
	var loc media.Location
	if err == nil {
		loc, err = s.locate(r.Context(), path, id)
	}
	if err != nil {
		p := s.problem(r.Context(), err)
		if p.Status == http.StatusInternalServerError { // whatever failed: the edge goes on with what it has, and asks again
			p = newProblem(http.StatusServiceUnavailable, "the directory can not look it up now: try again in a moment")
		}
		writeProblem(w, p)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(loc); err != nil {
		s.log.DebugContext(r.Context(), "write location", "err", err)
	}
}

// locate says where a recording is served from, or, when id is empty, the stream's: the growing one, else the latest.
// What grows is what the stream's lease says, for which no catalog is asked. Without a lease that is up to date the
// catalog is, and if that is away too, what is remembered is good enough.
func (s *Server) locate(ctx context.Context, path media.StreamPath, id media.RecordingID) (media.Location, error) {
	lease, held, err := s.deps.Owner(ctx, path)
	if err != nil && ctx.Err() != nil {
		return media.Location{}, err
	}
	remembered := err != nil
	if remembered {
		s.log.DebugContext(ctx, "owner is not known for sure", "publisher", path.Publisher, "stream", path.Stream, "err", err)
	}
	grows := media.Recording{ID: lease.Recording, Path: path, State: media.Live, Local: true}
	if lease.Feed == media.FeedNone {
		grows.State = media.Interrupted
	}
	if grows.ID != "" && !remembered && (id == "" || id == grows.ID) {
		if err := s.ownerless(ctx, grows); err != nil {
			return media.Location{}, err
		}
		return s.located(ctx, grows, lease)
	}
	if id == "" && grows.ID == "" && s.deps.Wanted != nil && s.deps.Wanted(path) {
		// Its source is asked for it. The node holds the viewer's request until there is something to play: a 404, or
		// the last recording, would be what the player then stays with.
		return s.begins(ctx, path)
	}
	if !held {
		lease = media.Lease{}
	}
	row, err := s.find(ctx, path, id, grows.ID)
	if over := err == nil && !row.State.Growing() || errors.Is(err, media.ErrGone); over && remembered && id == "" {
		// What is remembered has ended since, and another may have begun.
		row, err = s.find(ctx, path, "", "")
	}
	asked := grows.ID != "" && (id == "" || id == grows.ID)
	switch {
	case err == nil:
		return s.located(ctx, row, lease)
	case ctx.Err() != nil:
		return media.Location{}, err
	case asked && !errors.Is(err, media.ErrGone) && !errors.Is(err, errNoPublisher):
		return s.located(ctx, grows, lease)
	case id != "" && away(err) && !errors.Is(err, errClipUnmade) && !errors.Is(err, errNoPublisher):
		return s.guess(ctx, path, id, err)
	}
	return media.Location{}, err
}

// away says of a lookup's error that it tells nothing of what was looked up.
func away(err error) bool { return statusOf(err) >= http.StatusInternalServerError }

// located is the location of a recording; the lease is the stream's, if it has one.
func (s *Server) located(ctx context.Context, row media.Recording, lease media.Lease) (media.Location, error) {
	loc := media.Location{
		Publisher: row.Path.Publisher, Stream: row.Path.Stream, Recording: row.ID,
		State: row.State, Archived: row.State == media.Archived,
	}
	if loc.Archived {
		loc.Archive, loc.Mirror = row.Archive, row.Mirror
	}
	if !row.Local && !row.State.Growing() {
		return loc, nil
	}
	place := placement{cluster: clusterOf(row), recording: row.ID}
	if row.State.Growing() && lease.Node != "" {
		if row.ID == lease.Recording {
			place.cluster = clusterName(lease.Cluster)
		}
		// The stream may have gone to another cluster, which has its own recording of it: this one stays where it began.
		if clusterName(lease.Cluster) == place.cluster {
			place.owner = lease.Node
		}
	}
	nodes, err := s.edges.with(ctx, place.owner)
	if err == nil {
		loc.Nodes = place.nodes(nodes)
		if len(loc.Nodes) == 0 {
			err = fmt.Errorf("no ingest node of cluster %s is there: %w", place.cluster, media.ErrUnavailable)
		}
	}
	if err != nil && !loc.Archived {
		return media.Location{}, fmt.Errorf("nodes of recording %s: %w", row.ID, err)
	}
	return loc, nil
}

// guess is the location of a recording of which nobody can be asked now: any node may have it, and the archive too.
func (s *Server) guess(
	ctx context.Context, path media.StreamPath, id media.RecordingID, why error,
) (media.Location, error) {
	nodes, err := s.edges.recent(ctx)
	if err != nil {
		return media.Location{}, errors.Join(why, err)
	}
	s.log.DebugContext(ctx, "location is a guess", "publisher", path.Publisher, "stream", path.Stream, "recording", id,
		"err", why)
	return media.Location{
		Publisher: path.Publisher, Stream: path.Stream, Recording: id,
		Nodes: placement{recording: id}.nodes(nodes), Archived: true, Guess: true,
	}, nil
}

// begins is the location of a stream that is about to be live.
func (s *Server) begins(ctx context.Context, path media.StreamPath) (media.Location, error) {
	loc := media.Location{Publisher: path.Publisher, Stream: path.Stream, State: media.Live}
	nodes, err := s.edges.recent(ctx)
	if err == nil {
		loc.Nodes = placement{}.nodes(nodes)
		if len(loc.Nodes) == 0 {
			err = fmt.Errorf("no ingest node is there: %w", media.ErrUnavailable)
		}
	}
	if err != nil {
		return loc, fmt.Errorf("nodes of %s: %w", path, err)
	}
	return loc, nil
}

// find gives the row of the recording that is asked for. It waits a limited time for the catalog.
func (s *Server) find(
	ctx context.Context, path media.StreamPath, id, current media.RecordingID,
) (media.Recording, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CatalogWait)
	defer cancel()
	if id == "" && current == "" {
		return s.latest(ctx, path)
	}
	if id == "" {
		id = current
	}
	row, err := s.deps.Recordings.Recording(ctx, id)
	if missing := errors.Is(err, media.ErrNotFound); missing || err == nil && row.Path == path {
		if lost := s.unrestored(ctx, path, id, missing); lost != nil {
			return row, lost
		}
	}
	switch {
	case err != nil:
		return row, at("path.recording", err)
	case row.Path != path:
		return row, at("path.recording", fmt.Errorf("%w: stream %s has no recording %s", media.ErrNotFound, path, id))
	case row.State == media.Deleting || row.State == media.Deleted:
		return row, at("path.recording", fmt.Errorf("recording %s: %w", id, media.ErrGone))
	case !servable(row) && row.ClipOf != "" && row.LastError == "":
		return row, fmt.Errorf("recording %s: %w", id, errClipUnmade)
	case !servable(row):
		return row, at("path.recording", fmt.Errorf("%w: recording %s lost its storage", media.ErrNotFound, id))
	}
	return row, nil
}

// latest gives the stream's growing recording, else the newest that can be served. One that lost its storage before it
// was archived can not, and hides none that can.
func (s *Server) latest(ctx context.Context, path media.StreamPath) (media.Recording, error) {
	const tries = 20
	for _, states := range [][]media.State{
		{media.Live, media.Interrupted},
		{media.Ended, media.Archiving, media.Archived},
	} {
		rows, _, err := s.deps.Recordings.Recordings(ctx, media.RecordingFilter{
			Publisher: path.Publisher, Stream: path.Stream, States: states, Limit: tries, Shows: true,
		})
		if err != nil {
			return media.Recording{}, err
		}
		for _, row := range rows {
			if servable(row) {
				return row, nil
			}
		}
	}
	return media.Recording{}, at("path.stream", fmt.Errorf("%w: stream %s has no recording", media.ErrNotFound, path))
}

func servable(r media.Recording) bool {
	return r.State.Growing() || r.Local || r.State == media.Archived
}
