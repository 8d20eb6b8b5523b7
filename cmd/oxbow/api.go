package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/api"
	"github.com/oxbow-video/oxbow/internal/control"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/registry"
	"github.com/oxbow-video/oxbow/web"
)

// apiFlags are what the API has beside its port.
type apiFlags struct {
	AdminToken string `placeholder:"TOKEN" help:"The REST API's admin token. Without it the first start makes one and prints it once."`

	APIRate    apiRate    `name:"api-rate" default:"500" placeholder:"N" help:"Requests a second of one API token, and twice that at once; 0 is no limit (default: ${default})."`
	APIOrigins apiOrigins `name:"api-origins" placeholder:"ORIGIN,..." help:"Origins whose pages may call the API from a browser, like https://studio.example.com; * is all (default: this host's own)."`

	AuditKeep keepTime      `default:"9600h" placeholder:"DURATION" help:"How long the audit log is kept (default: ${default}, 400 days)."`
	EventKeep time.Duration `default:"720h" placeholder:"DURATION" help:"How long the event log keeps events; 0 is for ever (default: ${default})."`
}

// config is the API's.
func (f *apiFlags) config(playback string) api.Config {
	return api.Config{
		PlaybackURL: playback, AllowOrigins: f.APIOrigins, Rate: float64(f.APIRate), AuditKeep: time.Duration(f.AuditKeep),
		EventKeep: f.eventKeep(),
	}
}

// keepTime is a flag's duration that something is kept for.
type keepTime time.Duration

// UnmarshalText reads the duration.
func (k *keepTime) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is no time to keep something for: use a duration like 720h", text)
	}
	*k = keepTime(d)
	return nil
}

// eventKeep is --event-keep as the API takes it.
func (f *apiFlags) eventKeep() time.Duration {
	if f.EventKeep <= 0 {
		return -1
	}
	return f.EventKeep
}

// apiCommand is `oxbow api`.
type apiCommand struct {
	adapterFlags `embed:""`
	apiFlags     `embed:""`
	webhookFlags `embed:""`
	adminFlags   `embed:""`
	httpsFlags   `embed:""`
	TLS          tlsFlags `embed:"" prefix:"tls-"`

	steeringFlags `embed:""`
	tokenFlags    `embed:""`

	HTTP       listenAddress   `name:"http" default:":8080" placeholder:"ADDR" help:"REST API and web page (default: ${default})."`
	Internal   listenAddress   `default:":8081" placeholder:"ADDR" help:"Directory service, which edges ask; keep it private (default: ${default})."`
	Advertise  string          `placeholder:"URL" help:"Base URL at which edges reach --internal (default: http://HOSTNAME:PORT)."`
	Node       string          `placeholder:"ID" help:"This process's name, unique and the same at every start (default: HOSTNAME-PORT, of --internal)."`
	APIProxies addressPrefixes `name:"api-proxies" placeholder:"CIDR,..." help:"Proxies in front of --http that begin each connection with a header of the PROXY protocol, version 1 or 2, which tells the client's address to the audit log and to the limits of wrong tokens (default: none)."`

	PlaybackURL playbackURL `name:"playback-url" placeholder:"URL" help:"Where viewers reach the edges, like https://live.example.com; the page plays from there and answers name it (default: this host, for a proxy in front of both)."`
}

// Run serves the API until the context ends.
func (c *apiCommand) Run(ctx runContext) (err error) {
	if err := c.checkCertificate(c.TLS); err != nil {
		return err
	}
	n := newNode(ctx)
	n.adapterFlags, n.adminFlags, n.Node = c.adapterFlags, c.adminFlags, c.Node
	n.webhookFlags = c.webhookFlags
	defer func() { err = errors.Join(err, n.close()) }()
	if err := n.checkWebhooks(); err != nil {
		return err
	}
	public, err := n.listen(ctx, c.HTTP, "--http")
	if err != nil {
		return err
	}
	front, err := n.openFront(ctx, frontFlags{ProxyProtocol: len(c.APIProxies) > 0}, c.APIProxies)
	if err != nil {
		return err
	}
	public = front.listener(public, true)
	secure, err := n.openHTTPS(ctx, c.httpsFlags, c.TLS, "", public.Addr())
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
	if err := n.openTokens(ctx, c.tokenFlags); err != nil {
		return err
	}
	if !n.tokens.Known() && !private(c.Internal) {
		n.logger.Warn("whoever reaches --internal is told the secrets that sign playback tokens", "internal", c.Internal,
			"do", "set --cluster-token-file here, at the nodes and at the edges, and keep the port private")
	}
	n.watchDependencies(ctx)
	looked := make(chan struct{})
	n.services.add(ctx, "admin token", func(running context.Context) error {
		return n.ensureAdmin(running, c.AdminToken, public.Addr(), ctx.stdout, sync.OnceFunc(func() { close(looked) }))
	})
	server := n.newAPI(ctx, fromCatalog{n}, c.put(c.config(string(c.PlaybackURL))))
	n.services.add(ctx, "internal HTTP", n.serveInternal(nil, server.Internal(), nil))
	n.services.add(ctx, "HTTP", serveHTTP(public, secure.plain(server.Public(), nil), n.logger))
	secure.serve(ctx, server.Public(), front, nil)
	n.services.add(ctx, "event stream", server.Run) // stops before the server that would wait for its streams
	n.services.add(ctx, "registration", n.register)
	n.lookAtSteering(ctx, c.steeringFlags)
	select {
	case <-looked: // before that it would refuse the operator's own token
	case <-ctx.Done():
	}
	n.needServices()
	n.ready.Store(true)
	n.logger.Info("API is up", "http", public.Addr().String(), "internal", n.self.URL)
	return n.services.wait(ctx)
}

// sources is what the API asks of whoever fetches the streams that have a source.
type sources interface {
	// Wanted tells that a viewer asks for a stream, and says whether a source is about to bring it.
	Wanted(path media.StreamPath) bool
}

// fromCatalog is what a process knows of sources that fetches none: the nodes look at the catalog by themselves, and
// who asks one of them for a stream wakes its source.
type fromCatalog struct{ n *node }

// Wanted implements sources.
func (s fromCatalog) Wanted(path media.StreamPath) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	source, err := s.n.catalog.Source(ctx, path)
	return err == nil && source.Enabled && source.Mode == media.SourceOnDemand
}

// newAPI makes the REST API, the web page and the directory service. What is live it asks of the nodes.
func (n *node) newAPI(ctx context.Context, sources sources, cfg api.Config) *api.Server {
	cfg.Version, cfg.Tokens = version, n.tokens
	memo := registry.NewMemo(n.registry, registry.MemoConfig{}, n.logger)
	n.services.add(ctx, "picture of the registry", memo.Run)
	nodes := control.NewClient(control.Config{Tokens: n.tokens}, control.Directory{
		Nodes: memo.Nodes, Owner: memo.Owner,
	}, n.logger)
	n.onClose(nodes.Close)
	return api.New(cfg, api.Deps{
		Publishers: n.catalog, Streams: n.catalog, Keys: n.catalog, Recordings: n.catalog, Tokens: n.catalog,
		Audit: n.catalog, Webhooks: n.catalog, TestWebhook: n.startWebhooks(ctx).Test,
		Archives: n.catalog.Archives, Publish: n.registry.Publish,
		Sources: n.catalog, Retention: n.catalog, Clips: n.catalog, Replies: n.catalog, Playback: n.catalog,
		SteeringRules: n.catalog, Viewing: n.catalog,
		Wanted:         sources.Wanted,
		SourceStatus:   func(path media.StreamPath) media.SourceStatus { return nodes.SourceStatus(ctx, path) },
		SourcesChanged: func() { nodes.SourcesChanged(ctx) },
		Nodes:          memo.Nodes, Owner: memo.Owner, EventLog: n.registry, Log: n.catalog,
		Register: n.registry.Register, Unregister: n.registry.Unregister, Purges: n.catalog,
		Sessions: nodes, Events: nodes, Kick: nodes.Kick, Drain: nodes.Drain, SwitchFeed: nodes.SwitchFeed,
		RevokeKey: nodes.RevokeKey,
		Ready: func(context.Context) error {
			if !n.ready.Load() {
				return errors.New("starting")
			}
			return nil
		},
		Services: map[string]func(context.Context) error{"catalog": n.catalog.Ping, "registry": n.registry.Ping},
		Assets:   web.Dist(), CatalogBorn: n.catalog.BornAt,
	}, n.logger, n.metrics)
}
