package main

import (
	"context"
	"errors"

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
		Nodes: func(ctx context.Context) ([]string, error) {
			nodes, err := n.registry.Nodes(ctx)
			urls := make([]string, len(nodes))
			for i, node := range nodes {
				urls[i] = node.URL
			}
			return urls, err
		},
		Current: func(_ context.Context, path media.StreamPath) (media.RecordingID, bool) { return p.Current(path) },
		Kick:    func(path media.StreamPath) { publishers.Kick(path) },
		Ready: func(context.Context) error {
			if !n.ready.Load() {
				return errors.New("starting")
			}
			return nil
		},
		Assets: web.Dist(),
	}, n.logger, n.metrics)
}
