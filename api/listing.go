package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// showRow is a recording in answers to everybody: what a viewer needs, and nothing of its operation.
type showRow struct {
	Publisher  string            `json:"publisher"`
	Stream     string            `json:"stream"`
	Recording  media.RecordingID `json:"recording"`
	State      media.State       `json:"state"`
	StartedAt  *time.Time        `json:"started_at"`
	EndedAt    *time.Time        `json:"ended_at" doc:"null while it is live"`
	DurationMS int64             `json:"duration_ms"`
	URL        string            `json:"url" doc:"What players open"`
}

// shows is what the listed publishers and streams have to show.
type shows struct {
	Live        []showRow `json:"live" nullable:"false"`
	Recordings  []showRow `json:"recordings" nullable:"false" doc:"The newest finished ones"`
	PlaybackURL string    `json:"playback_url" doc:"What goes before a media path; empty is this host"`
}

type listingOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         shows
}

// listing keeps the last look at the catalog for all viewers, its failure included.
type listing struct {
	mu    sync.Mutex
	at    time.Time
	shows shows
	err   error
}

func (s *Server) listingRoute(v1 huma.API) {
	route(s, v1, http.MethodGet, "/v1/listing", "get-listing", "What is live and recorded, for everybody",
		func(ctx context.Context, _ *struct{}) (*listingOutput, error) {
			l, err := s.shows(ctx)
			if err != nil {
				return nil, err
			}
			return &listingOutput{CacheControl: "public, max-age=1", Body: l}, nil
		}, open)
}

// shows gives the listing, at most ListingAge old. The look at the catalog is every waiter's, so it outlives the
// request that began it.
func (s *Server) shows(ctx context.Context) (shows, error) {
	l := &s.listing
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.IsZero() || time.Since(l.at) >= s.cfg.ListingAge {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Timeout)
		defer cancel()
		l.shows, l.err = s.look(ctx)
		l.at = time.Now()
	}
	return l.shows, l.err
}

func (s *Server) look(ctx context.Context) (shows, error) {
	l := shows{PlaybackURL: s.cfg.PlaybackURL}
	filter := media.RecordingFilter{Listed: true, Limit: s.cfg.ListingItems}
	filter.States = []media.State{media.Live, media.Interrupted}
	live, _, err := s.deps.Recordings.Recordings(ctx, filter)
	if err != nil {
		return shows{}, err
	}
	filter.States = []media.State{media.Ended, media.Archiving, media.Archived}
	finished, _, err := s.deps.Recordings.Recordings(ctx, filter)
	if err != nil {
		return shows{}, err
	}
	l.Live = make([]showRow, 0, len(live))
	for _, r := range live {
		l.Live = append(l.Live, newShowRow(r, s.streamURL(r.Path)))
	}
	l.Recordings = make([]showRow, 0, len(finished))
	for _, r := range finished {
		if !servable(r) {
			continue
		}
		l.Recordings = append(l.Recordings, newShowRow(r, s.recordingURL(r.Path, r.ID)))
	}
	return l, nil
}

func newShowRow(r media.Recording, url string) showRow {
	return showRow{
		Publisher:  r.Path.Publisher,
		Stream:     r.Path.Stream,
		Recording:  r.ID,
		State:      r.State,
		StartedAt:  moment(r.StartedAt),
		EndedAt:    moment(r.EndedAt),
		DurationMS: r.Duration.Milliseconds(),
		URL:        url,
	}
}
