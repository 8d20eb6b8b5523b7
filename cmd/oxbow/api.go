package main

import (
	"context"
	"errors"
	"time"

	"github.com/oxbow-video/oxbow/api"
	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/control"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/registry"
	"github.com/oxbow-video/oxbow/web"
)

// apiFlags are what the API has beside its port.
type apiFlags struct {
	AdminToken string `placeholder:"TOKEN" help:"The REST API's admin token. Without it the first start makes one and prints it once."`
}

// apiCommand is `oxbow api`.
type apiCommand struct {
	adapterFlags `embed:""`
	apiFlags     `embed:""`
	adminFlags   `embed:""`

	HTTP         listenAddress `name:"http" default:":8080" placeholder:"ADDR" help:"REST API and web page (default: ${default})."`
	Internal     listenAddress `default:":8081" placeholder:"ADDR" help:"Directory service, which edges ask; keep it private (default: ${default})."`
	Advertise    string        `placeholder:"URL" help:"Base URL at which edges reach --internal (default: http://HOSTNAME:PORT)."`
	Node         string        `placeholder:"ID" help:"This process's name, unique and the same at every start (default: HOSTNAME-PORT, of --internal)."`
	ClusterToken string        `placeholder:"TOKEN" help:"Secret that the nodes and the API of all clusters share."`
}

// Run serves the API until the context ends.
func (c *apiCommand) Run(ctx runContext) (err error) {
	n := newNode(ctx)
	n.adapterFlags, n.adminFlags, n.Node = c.adapterFlags, c.adminFlags, c.Node
	defer func() { err = errors.Join(err, n.close()) }()
	public, err := n.listen(ctx, c.HTTP, "--http")
	if err != nil {
		return err
	}
	if n.internal, err = n.listen(ctx, c.Internal, "--internal"); err != nil {
		return err
	}
	if err := n.identify(media.RoleAPI, c.Advertise, n.internal.Addr()); err != nil {
		return err
	}
	if err := errors.Join(n.serveAdmin(ctx), n.openCatalog(ctx), n.openRegistry(ctx)); err != nil {
		return err
	}
	n.services.add(ctx, "admin token", func(running context.Context) error {
		return n.ensureAdmin(running, c.AdminToken, public.Addr(), ctx.stdout)
	})
	server := n.newAPI(apiDeps{}, c.ClusterToken)
	n.services.add(ctx, "internal HTTP", serveHTTP(n.internal, internalHandler(nil, server.Internal(), nil), n.logger))
	n.services.add(ctx, "HTTP", serveHTTP(public, server.Public(), n.logger))
	n.services.add(ctx, "registration", n.register)
	n.ready.Store(true)
	n.logger.Info("API is up", "http", public.Addr().String(), "internal", n.self.URL)
	return n.services.wait(ctx)
}
