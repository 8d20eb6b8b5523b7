package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/oxbow-video/oxbow/cacheproxy"
	"github.com/oxbow-video/oxbow/internal/control"
	"github.com/oxbow-video/oxbow/internal/media"
)

// serveFlags are what serve and demo have in common.
type serveFlags struct {
	Data         string        `default:"./data" placeholder:"DIR" help:"Directory for recordings, catalog and the default archive (default: ${default})."`
	HTTP         listenAddress `name:"http" default:":8080" placeholder:"ADDR" help:"Viewers, REST API and web page (default: ${default})."`
	publishFlags `embed:""`
	// Internal is where the edges of other machines would ask, and what measures origin alone.
	Internal listenAddress `default:"127.0.0.1:0" placeholder:"ADDR" help:"Directory service and origin, which edges ask; keep it private (default: any free port on loopback)."`

	adminFlags   `embed:""`
	apiFlags     `embed:""`
	webhookFlags `embed:""`
	storesFlags  `embed:""`
	archiveFlags `embed:""`
	pictureFlags `embed:""`
	edgeFlags    `embed:""`
	tokenFlags   `embed:""`
	httpsFlags   `embed:""`
	Sync         string `default:"segment" enum:"segment,part,never" help:"When recordings are forced to disk: ${enum}."`
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

// stopWait is how long the publishers of a process that is alone are waited for at its stop: they have nowhere else to
// go.
const stopWait = 2 * time.Second

// node gives the process that the flags ask for, with what is embedded in the place of what clusters share.
func (f *serveFlags) node(ctx runContext) *node {
	n := newNode(ctx)
	n.Cluster = media.DefaultCluster
	n.Catalog, n.Registry = "sqlite:"+filepath.Join(f.Data, "catalog.db"), memoryRegistry
	n.Recordings, n.Sync = filepath.Join(f.Data, "recordings"), f.Sync
	n.publishFlags, n.storesFlags, n.archiveFlags = f.publishFlags, f.storesFlags, f.archiveFlags
	n.pictureFlags, n.adminFlags, n.webhookFlags = f.pictureFlags, f.adminFlags, f.webhookFlags
	if n.Archive == (archiveURL{}) {
		n.Archive = archiveURL{dir: filepath.Join(f.Data, "archive")}
	}
	return n
}

// serve runs all roles in this process: the same parts as the roles apart, on embedded adapters, and they talk HTTP to
// each other as they would across machines.
func (f *serveFlags) serve(ctx runContext, demo func(context.Context, demoTarget) error) (err error) {
	n := f.node(ctx)
	defer func() { err = errors.Join(err, n.close()) }()
	if err := n.checkWebhooks(); err != nil {
		return err
	}
	public, err := n.listen(ctx, f.HTTP, "--http")
	if err != nil {
		return err
	}
	secure, err := n.openHTTPS(ctx, f.httpsFlags, f.TLS, f.Data, public.Addr())
	if err != nil {
		return err
	}
	doors, err := n.openDoors(ctx)
	if err != nil {
		return err
	}
	if n.internal, err = n.listen(ctx, f.Internal, "--internal"); err != nil {
		return err
	}
	n.logger.Debug("internal HTTP listens", "address", n.internal.Addr().String())
	inside := "http://" + reachable(n.internal.Addr())
	n.self = media.Node{
		ID: aloneID, Role: media.RoleIngest, URL: inside, Version: version, StartedAt: time.Now().UTC(),
	}
	if err := n.openStores(ctx, f.Data); err != nil {
		return err
	}
	if err := n.openDisk(f.diskFlags); err != nil {
		return err
	}
	if err := n.openTokens(ctx, f.orRandom()); err != nil {
		return err
	}
	first, err := n.firstStart(ctx, f.AdminToken)
	if err != nil {
		return err
	}
	n.watchDependencies(ctx)
	role, err := n.startIngest(ctx, n.startKeyCache(ctx), stopWait)
	if err != nil {
		return err
	}
	if err := n.startArchiver(ctx); err != nil {
		return err
	}
	n.startPuller(ctx, role.publishers)
	front, err := n.openFront(ctx, f.frontFlags, f.TrustedProxies)
	if err != nil {
		return err
	}
	public = front.listener(public, true)
	drain, drained := context.WithCancel(ctx)
	defer drained()
	rest := n.newAPI(ctx, n.sources, f.config(""))
	edge := n.startEdge(ctx, []string{inside}, f.edgeFlags, front)
	orders := control.NewHandler(role.control(drained), n.tokens, n.logger)
	n.services.add(ctx, "internal HTTP", n.serveInternal(orders, rest.Internal(), n.newOrigin(role)))
	n.services.add(ctx, "event stream", rest.Run)
	tunnel := role.publishers.Tunnel()
	all := publicHandler(rest.Public(), tunnel, edge)
	mine := func(path string) bool { return edgePath(path) && cacheproxy.InLane(path) }
	n.services.add(ctx, "HTTP", n.serveViewers(public, secure.plain(all, edgePath), edge, secure.takes(mine), f.FastLane))
	secure.serve(ctx, all, front, edge)
	n.openFor(ctx, doors, role.publishers, tunnel)
	if demo != nil {
		target := demoTarget{rtmp: reachable(doors.rtmp.Addr()), freshKey: n.demoKey, logger: n.logger}
		n.services.add(ctx, "demo publisher", func(ctx context.Context) error { return demo(ctx, target) })
	}
	if came, err := n.services.await(ctx, edge.AwaitPlayback); !came {
		return err
	}
	n.ready.Store(true)
	at := printed{
		public: public.Addr(), rtmp: doors.rtmp.Addr(), srt: doors.srt.Addr(), srtEncrypted: f.SRTPassphrase != "",
	}
	if doors.rtmps != nil {
		at.rtmps = doors.rtmps.Addr()
	}
	first.print(ctx.stdout, at)
	return n.services.wait(drain)
}

// aloneID names a process that is alone.
const aloneID = "local"

// openStores opens the recordings' directory, the catalog, the registry and the archive.
func (n *node) openStores(ctx context.Context, data string) error {
	if err := os.MkdirAll(data, 0o750); err != nil {
		return fmt.Errorf("--data %s: %w: choose a directory that this user may write", data, err)
	}
	for _, open := range []func(context.Context) error{
		n.serveAdmin, func(ctx context.Context) error { return n.openRoot(ctx, false) }, n.openCatalog, n.openRegistry,
		n.openArchives,
	} {
		if err := open(ctx); err != nil {
			return err
		}
	}
	return n.registry.Register(ctx, n.self)
}
