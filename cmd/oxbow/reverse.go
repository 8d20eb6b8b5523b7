package main

import (
	"context"
	"errors"

	"github.com/oxbow-video/oxbow/cacheproxy"
)

// check refuses an edge that has nothing behind it, or two things.
func (c *edgeCommand) check() error {
	switch {
	case len(c.Upstream) == 0 && len(c.Directory) == 0:
		return errors.New("--directory: give the --internal URLs of the cluster's API processes, " +
			"or --upstream URL to cache any HTTP origin")
	case len(c.Upstream) > 0 && len(c.Directory) > 0:
		return errors.New("--upstream: an edge serves a cluster (--directory) or caches another HTTP origin " +
			"(--upstream), not both: run one edge for each")
	case len(c.Upstream) > 0 && (c.Archive != archiveURL{} || len(c.Archives) > 0 || c.given()):
		return errors.New("--upstream: --archive, --archives and --cluster-token are of edges with --directory: " +
			"leave them out")
	}
	if err := c.checkCertificate(c.TLS); err != nil {
		return err
	}
	return c.peerFlags.check(len(c.Upstream) > 0)
}

// runReverse caches any HTTP origin until the context ends.
func (c *edgeCommand) runReverse(ctx runContext, n *node) error {
	public, err := n.listen(ctx, c.HTTP, "--http")
	if err != nil {
		return err
	}
	secure, err := n.openHTTPS(ctx, c.httpsFlags, c.TLS, "", public.Addr())
	if err != nil {
		return err
	}
	if err := n.serveAdmin(ctx); err != nil {
		return err
	}
	if err := n.openDisk(c.diskFlags); err != nil {
		return err
	}
	front, err := n.openFront(ctx, c.frontFlags, c.TrustedProxies)
	if err != nil {
		return err
	}
	public = front.listener(public, true)
	edge, err := cacheproxy.NewReverse(cacheproxy.ReverseConfig{
		Upstreams: c.Upstream, MaxBytes: int64(c.CacheSize), Disk: n.disk, TrustedProxies: c.TrustedProxies,
		Limits: front.Book, Observers: front.observers,
	}, n.logger, n.metrics)
	if err != nil {
		return err
	}
	n.services.add(ctx, "edge", func(ctx context.Context) error {
		<-ctx.Done()
		return edge.Close()
	})
	plain := secure.plain(edge, everything)
	n.services.add(ctx, "HTTP", n.serveViewers(public, plain, edge, secure.takes(nil), c.FastLane))
	secure.serve(ctx, edge, front, edge)
	// An origin that is away is no reason to be away too: what is cached is served.
	n.ready.Store(true)
	n.logger.Info("edge is up", "http", public.Addr().String(), "upstream", []string(c.Upstream))
	return n.services.wait(ctx)
}
