package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/cacheproxy"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/origin"
)

// startEdge makes the caching edge. It knows the directory service's address and the archive, and nothing else of this
// process: live media reaches it over HTTP.
func (n *node) startEdge(ctx context.Context) *cacheproxy.Proxy {
	var edge *cacheproxy.Proxy
	latest := func(ctx context.Context, path media.StreamPath) (media.RecordingID, error) {
		return edge.Latest(ctx, path)
	}
	archive := origin.New(origin.Config{}, n.objects, nil, latest,
		n.logger, prometheus.WrapRegistererWith(prometheus.Labels{"storage": "archive"}, n.metrics))
	edge = cacheproxy.New(
		cacheproxy.Config{
			Directories: []string{"http://" + n.internal.Addr().String()}, MaxBytes: int64(n.flags.CacheSize),
		},
		archive, n.logger, n.metrics)
	n.services.add(ctx, "edge", func(ctx context.Context) error {
		<-ctx.Done()
		return edge.Close()
	})
	return edge
}
