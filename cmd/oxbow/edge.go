package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/cacheproxy"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/origin"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// edgeFlags are what an edge has beside its port.
type edgeFlags struct {
	TrustedProxies addressPrefixes `name:"trusted-proxies" placeholder:"CIDR,..." help:"Proxies in front of the edge: what they say in X-Forwarded-For is believed, for playback tokens that are bound to an address (default: none)."`
	CacheSize      byteSize        `default:"256MiB" placeholder:"SIZE" help:"Memory for the edge's cache, half of it for archived recordings' media (default: ${default})."`
	FastLane       bool            `default:"true" help:"Answer plain HTTP/1.1 requests for media by an own loop, the others by net/http (default: ${default}); --fast-lane=false leaves all to net/http."`

	diskFlags    `embed:""`
	frontFlags   `embed:""`
	viewingFlags `embed:""`
}

// edgeCommand is `oxbow edge`.
type edgeCommand struct {
	HTTP      listenAddress `name:"http" default:":8080" placeholder:"ADDR" help:"Viewers (default: ${default})."`
	Directory baseURLs      `placeholder:"URL,..." help:"Directory service: the --internal ports of the cluster's API processes. Needed, but with --upstream."`

	Upstream baseURLs `placeholder:"URL,..." help:"Be a plain reverse-proxy cache in front of this HTTP origin instead, which needs neither --directory nor --archive; more URLs stand in for the first while it fails."`

	tokenFlags `embed:""`

	DrainTimeout time.Duration `default:"30s" placeholder:"DURATION" help:"Most time that a stop waits for viewers to go elsewhere, who are served as long (default: ${default}); a second signal ends it."`

	beatFlags   `embed:""`
	storesFlags `embed:""`
	edgeFlags   `embed:""`
	httpsFlags  `embed:""`
	TLS         tlsFlags `embed:"" prefix:"tls-"`
	peerFlags   `embed:""`
	adminFlags  `embed:""`
}

// Run serves viewers until the context ends.
func (c *edgeCommand) Run(ctx runContext) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	n := newNode(ctx)
	n.storesFlags, n.adminFlags = c.storesFlags, c.adminFlags
	defer func() { err = errors.Join(err, n.close()) }()
	if len(c.Upstream) > 0 {
		return c.runReverse(ctx, n)
	}
	if err := n.needArchive(); err != nil {
		return err
	}
	public, err := n.listen(ctx, c.HTTP, "--http")
	if err != nil {
		return err
	}
	secure, err := n.openHTTPS(ctx, c.httpsFlags, c.TLS, "", public.Addr())
	if err != nil {
		return err
	}
	if n.self, err = c.edgeNode(public.Addr()); err != nil {
		return err
	}
	n.logger = n.logger.With("node", n.self.ID)
	if n.edge, err = n.identifyEdge(ctx, &c.peerFlags, n.self.ID, public.Addr()); err != nil {
		return err
	}
	n.edge.tell(&n.self, c.Shield)
	if err := errors.Join(n.serveAdmin(ctx), n.openArchives(ctx), n.openDisk(c.diskFlags)); err != nil {
		return err
	}
	front, err := n.openFront(ctx, c.frontFlags, c.TrustedProxies)
	if err != nil {
		return err
	}
	public = front.listener(public, true)
	if err := n.openTokens(ctx, c.tokenFlags); err != nil {
		return err
	}
	edge := n.startEdge(ctx, c.Directory, c.edgeFlags, front)
	edge.SetPeers(n.edge.peers)
	n.servePeers(ctx, n.edge, edge, c.FastLane)
	n.lookAtArchives(ctx)
	for _, base := range c.Directory {
		n.lookAtDirectory(ctx, base)
	}
	drain, drained := context.WithCancel(ctx)
	defer drained()
	role := n.newEdgeRole(edge, n.self, drained)
	if c.fixed() {
		role.peers = func(media.EdgePeers) {}
	}
	plain := secure.plain(edge, everything)
	n.services.add(ctx, "HTTP", n.serveViewers(public, plain, edge, secure.takes(cacheproxy.InLane), c.FastLane))
	secure.serve(ctx, edge, front, edge)
	// Before it knows who may watch it lets nobody in: no balancer should send viewers to it.
	n.services.add(ctx, "readiness", func(ctx context.Context) error {
		if edge.AwaitPlayback(ctx) == nil {
			role.up()
			n.logger.Info("edge is up", "http", public.Addr().String(), "directory", []string(c.Directory))
		}
		<-ctx.Done()
		return nil
	})
	role.startBeats(ctx, c.Directory)
	if err := n.services.wait(drain); err != nil {
		return err
	}
	return role.drain(c.DrainTimeout)
}

// archiveMemory is for the indexes and playlists of archived recordings, of all stores together.
const archiveMemory = 256 << 20

// startEdge makes the caching edge. It knows the directory service's addresses and token and the archive, and nothing
// else of this process: live media reaches it over HTTP.
func (n *node) startEdge(
	ctx context.Context, directory []string, flags edgeFlags, front clientsFront,
) *cacheproxy.Proxy {
	var edge *cacheproxy.Proxy
	latest := func(ctx context.Context, path media.StreamPath) (media.RecordingID, error) {
		return edge.Latest(ctx, path)
	}
	arena := slab.New()
	archived := n.openBlocks(ctx, flags.CacheSize, arena)
	stores := make(map[string]http.Handler, len(n.archives))
	for name, objects := range n.archives {
		labels := prometheus.Labels{"storage": "archive"} // as ever for the default one
		if name != media.DefaultArchive {
			labels["storage"] = "archive:" + name
		}
		stores[name] = origin.New(origin.Config{CacheBytes: archiveMemory / int64(len(n.archives))},
			archived.files(name, objects), nil, latest, n.logger, prometheus.WrapRegistererWith(labels, n.metrics))
	}
	edge = cacheproxy.New(
		cacheproxy.Config{
			Directories: directory, Tokens: n.tokens, Guard: n.guard, ID: n.edge.id, Asked: n.edge.internal != nil,
			MaxBytes: int64(flags.CacheSize) - archived.share(flags.CacheSize), TrustedProxies: flags.TrustedProxies,
			Disk: n.disk, Arena: arena, OnGone: archived.Drop, OnPurge: archived.purge, Purges: archived.purges,
			Limits: front.Book, Observers: n.observeViewers(ctx, directory, flags.viewingFlags, front.observers),
		}, stores, n.logger, n.metrics)
	n.services.add(ctx, "edge", func(ctx context.Context) error {
		<-ctx.Done()
		return edge.Close()
	})
	n.services.add(ctx, "events", edge.Follow)
	n.services.add(ctx, "playback policies", edge.FollowPlayback)
	return edge
}
