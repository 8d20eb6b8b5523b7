package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/oxbow-video/oxbow/archiver"
	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/internal/registry"
)

// serveFlags are what serve and demo have in common.
type serveFlags struct {
	Data  string        `default:"./data" placeholder:"DIR" help:"Directory for recordings, catalog and the default archive (default: ${default})."`
	HTTP  listenAddress `name:"http" default:":8080" placeholder:"ADDR" help:"Viewers, REST API and web page (default: ${default})."`
	RTMP  listenAddress `name:"rtmp" default:":1935" placeholder:"ADDR" help:"RTMP publishers (default: ${default}). They may also tunnel through --http: rtmpt://HOST:PORT/live/KEY."`
	RTMPS listenAddress `name:"rtmps" placeholder:"ADDR" help:"RTMP publishers over TLS, like :443; needs --tls-cert and --tls-key. Off by default."`
	TLS   tlsFlags      `embed:"" prefix:"tls-"`
	SRT   listenAddress `name:"srt" default:":8890" placeholder:"ADDR" help:"SRT publishers, UDP (default: ${default})."`
	// Internal is where the edges of other machines would ask, and what measures origin alone.
	Internal listenAddress `default:"127.0.0.1:0" placeholder:"ADDR" help:"Directory service and origin, which edges ask; keep it private (default: any free port on loopback)."`

	Admin listenAddress `default:"127.0.0.1:9090" placeholder:"ADDR" help:"Metrics, health and profiles; keep it private (default: ${default})."`

	SRTPassphrase string        `name:"srt-passphrase" placeholder:"TEXT" help:"10 to 79 characters with which SRT publishers must encrypt; a stream may have its own. Without either they must not."`
	SRTLatency    time.Duration `name:"srt-latency" default:"500ms" placeholder:"DURATION" help:"Least time that SRT waits for packets that must be sent again; publishers may ask for more (default: ${default})."`

	MaxPerAddress int `default:"200" placeholder:"N" help:"Most publishers' connections of one IPv4 address or IPv6 /64 (default: ${default})."`

	AdminToken   string        `placeholder:"TOKEN" help:"The REST API's admin token. Without it the first start makes one and prints it once."`
	Archive      archiveURL    `placeholder:"URL" help:"Where finished recordings go: dir:PATH, or s3://BUCKET/PREFIX?region=R&endpoint=URL with credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Default: dir:DATA/archive."`
	ArchiveGrace time.Duration `default:"30s" placeholder:"DURATION" help:"How long an archived recording's local files are kept on (default: ${default})."`
	ArchivePoll  time.Duration `default:"2s" placeholder:"DURATION" help:"How often the archiver looks for what is due (default: ${default})."`
	CacheSize    byteSize      `default:"256MiB" placeholder:"SIZE" help:"Memory for the edge's cache (default: ${default})."`
	Sync         string        `default:"segment" enum:"segment,part,never" help:"When recordings are forced to disk: ${enum}."`
}

// serveCommand is `oxbow serve`.
type serveCommand struct {
	serveFlags `embed:""`
}

// Run serves until the context ends.
func (c *serveCommand) Run(ctx runContext) error {
	return c.serve(ctx, nil)
}

// demoTarget is what the built-in publisher needs of the server that it publishes to.
type demoTarget struct {
	rtmp     string // host:port
	freshKey func(context.Context) (string, error)
	logger   *slog.Logger
}

// node is the process under construction: the adapters and the listeners that its roles share.
type node struct {
	flags    serveFlags
	logger   *slog.Logger
	metrics  *prometheus.Registry
	services *services
	ready    atomic.Bool

	root     *reclog.Root
	catalog  *catalog.DB
	registry registry.Registry
	objects  archiver.Objects
	recovery *archiver.Recovery
	sources  *ingest.Puller

	internal net.Listener // loopback: directory service and origin
	// epochFloor is the highest lease epoch that unfinished recordings know.
	epochFloor uint64
}

// serve runs all roles in this process: the same parts as the roles apart, on embedded adapters, and they talk HTTP to
// each other as they would across machines.
func (f serveFlags) serve(ctx runContext, demo func(context.Context, demoTarget) error) (err error) {
	n := &node{flags: f, logger: ctx.logger, metrics: prometheus.NewRegistry(), services: newServices(ctx.logger)}
	n.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	public, err := f.HTTP.listen(ctx, "--http")
	if err != nil {
		return err
	}
	defer func() { _ = public.Close() }()
	rtmp, err := f.RTMP.listen(ctx, "--rtmp")
	if err != nil {
		return err
	}
	defer func() { _ = rtmp.Close() }()
	secured, rtmps, err := n.listenRTMPS(ctx)
	if err != nil {
		return err
	}
	if rtmps != nil {
		defer func() { _ = rtmps.Close() }()
	}
	srt, err := n.listenSRT()
	if err != nil {
		return err
	}
	defer func() { _ = srt.Close() }()
	admin, err := f.Admin.listen(ctx, "--admin")
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close() }()
	if n.internal, err = f.Internal.listen(ctx, "--internal"); err != nil {
		return err
	}
	defer func() { _ = n.internal.Close() }()
	n.logger.Debug("internal HTTP listens", "address", n.internal.Addr().String())

	closeStores, err := n.openStores(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStores()) }()
	first, err := n.firstStart(ctx)
	if err != nil {
		return err
	}

	defer n.services.stop()
	live, err := n.startPackager(ctx)
	if err != nil {
		return err
	}
	n.startArchiver(ctx)
	publishers := n.newIngest(ctx, live)
	n.startPuller(ctx, publishers)
	api, edge := n.newAPI(live, publishers), n.startEdge(ctx)
	inner := internalHandler(api.Internal(), n.newOrigin(live))
	n.services.add(ctx, "internal HTTP", serveHTTP(n.internal, inner, n.logger))
	tunnel := publishers.Tunnel()
	n.services.add(ctx, "HTTP", serveHTTP(public, publicHandler(api.Public(), tunnel, edge), n.logger))
	n.services.add(ctx, "admin HTTP", serveHTTP(admin, adminHandler(n.metrics, n.ready.Load), n.logger))
	n.services.add(ctx, "RTMP", func(ctx context.Context) error { return publishers.Serve(ctx, rtmp) })
	n.services.add(ctx, "RTMPT", tunnel.Run)
	if rtmps != nil {
		n.services.add(ctx, "RTMPS", func(ctx context.Context) error {
			return publishers.ServeTLS(ctx, rtmps, secured.config())
		})
	}
	n.services.add(ctx, "SRT", func(ctx context.Context) error { return publishers.ServeSRT(ctx, srt) })
	if demo != nil {
		target := demoTarget{rtmp: reachable(rtmp.Addr()), freshKey: n.demoKey, logger: n.logger}
		n.services.add(ctx, "demo publisher", func(ctx context.Context) error { return demo(ctx, target) })
	}
	n.ready.Store(true)
	at := printed{public: public.Addr(), rtmp: rtmp.Addr(), srt: srt.Addr(), srtEncrypted: f.SRTPassphrase != ""}
	if rtmps != nil {
		at.rtmps = rtmps.Addr()
	}
	first.print(ctx.stdout, at)
	return n.services.wait(ctx)
}

// openStores opens the recordings' directory, the catalog, the registry and the archive.
func (n *node) openStores(ctx context.Context) (closeAll func() error, err error) {
	if err := os.MkdirAll(n.flags.Data, 0o750); err != nil {
		return nil, fmt.Errorf("--data %s: %w: choose a directory that this user may write", n.flags.Data, err)
	}
	if n.root, err = n.openRoot(); err != nil {
		return nil, err
	}
	if n.catalog, err = catalog.OpenSQLite(ctx, filepath.Join(n.flags.Data, "catalog.db"), n.logger); err != nil {
		return nil, errors.Join(err, n.root.Close())
	}
	n.registry = registry.NewMemory(registry.Config{})
	var closeArchive func() error
	if n.objects, closeArchive, err = n.openArchive(ctx); err != nil {
		return nil, errors.Join(err, n.catalog.Close(), n.root.Close())
	}
	closeAll = func() error { return errors.Join(closeArchive(), n.catalog.Close(), n.root.Close()) }
	return closeAll, n.registry.Register(ctx, n.registration())
}

// registration is this process as edges find it.
func (n *node) registration() media.Node {
	return media.Node{ID: nodeID, Role: media.RoleIngest, URL: "http://" + n.internal.Addr().String()}
}
