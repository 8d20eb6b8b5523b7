package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/oxbow-video/oxbow/api"
	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/packager"
	"github.com/oxbow-video/oxbow/web"
)

// newAPI makes the REST API, the web page and the directory service.
func (n *node) newAPI(p *packager.Packager, publishers *ingest.Server) *api.Server {
	return api.New(api.Config{Version: version}, api.Deps{
		Publishers: n.catalog, Streams: n.catalog, Keys: n.catalog, Recordings: n.catalog, Tokens: n.catalog,
		Sources: n.catalog, SourceStatus: n.sources.Status, SourcesChanged: n.sources.Changed, Wanted: n.sources.Wanted,
		Nodes: n.registry.Nodes, Owner: n.registry.Owner,
		Current:  func(_ context.Context, path media.StreamPath) (media.RecordingID, bool) { return p.Current(path) },
		Sessions: liveSessions{publishers},
		Events:   liveEvents{p},
		Kick:     func(path media.StreamPath) { publishers.Kick(path) },
		Ready: func(context.Context) error {
			if !n.ready.Load() {
				return errors.New("starting")
			}
			return nil
		},
		Assets: web.Dist(),
	}, n.logger, n.metrics)
}

// liveSessions gives the API this node's publishers.
type liveSessions struct{ ingest *ingest.Server }

func (l liveSessions) Sessions(context.Context) ([]media.IngestReport, error) {
	return l.ingest.Sessions(), nil
}

func (l liveSessions) Session(_ context.Context, path media.StreamPath) (media.IngestReport, error) {
	report, ok := l.ingest.Session(path)
	if !ok {
		return media.IngestReport{}, notLive(path)
	}
	return report, nil
}

func (l liveSessions) EndSession(_ context.Context, path media.StreamPath, reason string) error {
	if !l.ingest.KickFor(path, reason) {
		return notLive(path)
	}
	return nil
}

func notLive(path media.StreamPath) error {
	return fmt.Errorf("%w: nobody publishes %s now", media.ErrNotFound, path)
}

// liveEvents gives the API the events of this node's recordings.
type liveEvents struct{ packager *packager.Packager }

func (l liveEvents) AddEvent(_ context.Context, path media.StreamPath, e media.TimedEvent) (media.ShowEvent, error) {
	return l.packager.AddEvent(path, e)
}

func (l liveEvents) CompleteEvent(
	_ context.Context, path media.StreamPath, more media.TimedEvent,
) (media.ShowEvent, error) {
	return l.packager.CompleteEvent(path, more)
}

func (l liveEvents) Events(_ context.Context, path media.StreamPath) ([]media.ShowEvent, error) {
	return l.packager.Events(path)
}
