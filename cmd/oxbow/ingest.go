package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/control"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/origin"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/packager"
)

// newRecordingID makes an id that sorts by time and can't be guessed, since it is all that keeps a recording's URLs to
// those who were told (LIF-7): ulid.Make draws from a generator whose state its ids give away.
func newRecordingID() media.RecordingID {
	return media.RecordingID(strings.ToLower(ulid.MustNew(ulid.Now(), rand.Reader).String()))
}

// ingestCommand is `oxbow ingest`.
type ingestCommand struct {
	clusterFlags   `embed:""`
	adapterFlags   `embed:""`
	recordingFlags `embed:""`
	publishFlags   `embed:""`
	adminFlags     `embed:""`

	Internal     listenAddress `default:":8081" placeholder:"ADDR" help:"Origin and control, which edges and other nodes ask; keep it private (default: ${default})."`
	Advertise    string        `placeholder:"URL" help:"Base URL at which others reach --internal (default: http://HOSTNAME:PORT)."`
	HTTP         listenAddress `name:"http" placeholder:"ADDR" help:"RTMP tunnelled in HTTP (RTMPT). Off by default."`
	DrainTimeout time.Duration `default:"20s" placeholder:"DURATION" help:"Most time that a stop waits for publishers to go elsewhere (default: ${default})."`
}

// Run takes publishers until the context ends; then they are sent to the cluster's other nodes.
func (c *ingestCommand) Run(ctx runContext) (err error) {
	n := newNode(ctx)
	n.clusterFlags, n.adapterFlags, n.recordingFlags = c.clusterFlags, c.adapterFlags, c.recordingFlags
	n.publishFlags, n.adminFlags = c.publishFlags, c.adminFlags
	defer func() { err = errors.Join(err, n.close()) }()
	if n.internal, err = n.listen(ctx, c.Internal, "--internal"); err != nil {
		return err
	}
	if err := n.identify(media.RoleIngest, c.Advertise, n.internal.Addr()); err != nil {
		return err
	}
	doors, err := n.openDoors(ctx)
	if err != nil {
		return err
	}
	if c.HTTP != "" {
		if doors.tunnel, err = n.listen(ctx, c.HTTP, "--http"); err != nil {
			return err
		}
	}
	for _, open := range []func(context.Context) error{
		n.openCatalog, n.openRegistry, n.serveAdmin, func(ctx context.Context) error { return n.openRoot(ctx, true) },
	} {
		if err := open(ctx); err != nil {
			return err
		}
	}
	if err := n.openTokens(ctx, c.tokenFlags); err != nil {
		return err
	}
	if !n.tokens.Known() && !private(c.Internal) {
		n.logger.Warn("whoever reaches --internal may send publishers away and stop this node", "internal", c.Internal,
			"do", "set --cluster-token-file here, at the API and at the edges, and keep the port private")
	}
	n.watchDependencies(ctx)
	keys := n.startKeyCache(ctx)
	role, err := n.startIngest(ctx, keys, c.DrainTimeout)
	if err != nil {
		return err
	}
	n.startPuller(ctx, role.publishers)
	drain, drained := context.WithCancel(ctx)
	defer drained()
	orders := control.NewHandler(role.control(drained), n.tokens, n.logger)
	n.services.add(ctx, "internal HTTP", n.serveInternal(orders, nil, n.newOrigin(role)))
	n.openFor(ctx, doors, role.publishers, role.publishers.Tunnel())
	n.needServices()
	n.ready.Store(true)
	n.logger.Info("ingest node is up", "cluster", n.Cluster, "url", n.self.URL, "rtmp", doors.rtmp.Addr().String(),
		"srt", doors.srt.Addr().String(), "recordings", n.Recordings)
	err = n.services.wait(drain)
	role.drain(context.WithoutCancel(ctx), c.DrainTimeout)
	return err
}

// ingestRole is what takes publishers and has their shows.
type ingestRole struct {
	n          *node
	packager   *packager.Packager
	publishers *ingest.Server
	leases     *leases
	groups     *groups
	takeover   *takeover
	warned     func(path media.StreamPath, warning media.IngestWarning, state string)
	busy       loadMeter
}

// startIngest starts the packager, has it take up what this node left unfinished, and makes the server of publishers.
func (n *node) startIngest(ctx context.Context, keys authorizer, drainTimeout time.Duration) (*ingestRole, error) {
	held := newLeases(n.registry, n.self, n.logger)
	n.leases = held
	held.metrics = newLeaseMetrics(n.metrics, held)
	p := packager.New(packager.Config{
		Cluster: n.Cluster, Node: n.self.ID, Awake: held.Awake, Confirm: held.Confirm,
	}, n.root, n.catalog, n.registry, newRecordingID, n.logger, n.metrics)
	warnings := newWarningLog(n, p.Current)
	n.services.add(ctx, "warnings", warnings.Run) // stops behind those that tell it
	n.services.add(ctx, "packager", p.Run)
	r := &ingestRole{n: n, packager: p, leases: held}
	r.takeover = &takeover{root: n.root, packager: p, logger: n.logger}
	held.stored = r.takeover.stored
	held.growing = growingOf(p)
	held.outdated = p.Forget
	r.warned = warnings.warned
	r.newPublishers(keys, drainTimeout)
	adopts := &adopter{takeover: r.takeover, leases: held, orphans: reclog.NewOrphans(n.root)}
	if err := n.meet(ctx, "take up recordings of before", func() error { return adopts.resumeOwn(ctx) }); err != nil {
		return nil, err
	}
	n.services.add(ctx, "leases", held.Run)
	follows := &liveSettings{
		streams: n.catalog.StreamsNamed, logger: n.logger,
		live:  []func() []media.StreamPath{p.Streams, r.publishers.Standbys},
		apply: []func(media.StreamPath, media.Settings){p.Settings, r.publishers.Settings},
	}
	holds := &liveKeys{
		expiries: n.catalog.KeyExpiries, live: r.publishers.Keys, apply: r.publishers.KeysNow, logger: n.logger,
		born: n.catalog.BornAt, began: time.Now(),
	}
	n.services.add(ctx, "keys of live shows", holds.Run)
	n.services.add(ctx, "settings of live shows", n.onVolume("settings of live shows", follows.Run))
	if !adopts.alone() {
		n.services.add(ctx, "adopter", n.onVolume("adopter", adopts.Run))
	}
	return r, nil
}

// growingOf gives a packager's growing shows.
func growingOf(p *packager.Packager) func() map[media.StreamPath]media.RecordingID {
	return func() map[media.StreamPath]media.RecordingID {
		shows := make(map[media.StreamPath]media.RecordingID)
		for _, s := range p.Growing() {
			shows[s.Path] = s.Recording
		}
		return shows
	}
}

// authorizer is what ingest asks of the catalog.
type authorizer interface {
	ingest.Authorizer
	Stream(ctx context.Context, path media.StreamPath) (media.Stream, error)
	Members(ctx context.Context, path media.StreamPath) ([]string, error)
}

// newPublishers makes the server of publishers, RTMP and SRT, in front of the packager.
func (r *ingestRole) newPublishers(keys authorizer, drainTimeout time.Duration) {
	n := r.n
	r.groups = &groups{
		packager: r.packager, prepare: r.takeover.prepare, leases: r.leases, stream: keys.Stream, members: keys.Members,
		elsewhere: func(ctx context.Context, path media.StreamPath) (bool, error) {
			lease, owned, err := n.registry.Owner(ctx, path)
			if err != nil || !owned || lease.Node == n.self.ID || lease.Feed == media.FeedNone {
				return false, err
			}
			return n.isThere(ctx, lease.Node)
		},
	}
	cfg := n.ingestConfig()
	cfg.DrainTimeout = drainTimeout
	cfg.Refuse = r.refuse
	cfg.Warned = r.warned
	cfg.CheckTracks = packager.CheckTracks
	cfg.LiveElsewhere = r.liveElsewhere
	r.publishers = ingest.New(cfg, keys, r.leases, r.groups, n.logger, n.metrics)
	r.leases.load = r.load
	r.leases.feed = func(path media.StreamPath) (string, time.Duration) {
		feed, silent, _ := r.publishers.Feed(path)
		return feed, silent
	}
	r.leases.lost = func(path media.StreamPath) {
		r.packager.Forget(path) // first: what comes until the connection is closed is announced no more
		r.publishers.Lose(path)
		for _, member := range r.groups.lost(path) {
			r.publishers.Lose(member)
		}
	}
}

// refuse keeps out who may not begin now.
func (r *ingestRole) refuse(ctx context.Context, stream media.Stream) error {
	if err := r.groups.refuse(ctx, stream); err != nil {
		return err
	}
	show := stream.Path
	if stream.Settings.Group != "" {
		show.Stream = stream.Settings.Group
	}
	if _, live := r.packager.Current(show); live {
		return nil
	}
	return r.n.refuseWhenFull(ctx)
}

// liveElsewhere names a publisher's streams that are published to other nodes.
func (r *ingestRole) liveElsewhere(ctx context.Context, publisher string) ([]media.StreamPath, error) {
	leases, err := r.n.registry.Leases(ctx, publisher)
	var paths []media.StreamPath
	for _, l := range leases {
		if l.Node != r.n.self.ID && l.Feed != media.FeedNone {
			paths = append(paths, l.Path)
		}
	}
	return paths, err
}

// loadMeter turns what was sent so far into a rate; load is asked by one goroutine.
type loadMeter struct {
	origin atomic.Pointer[origin.Handler] // nil before it is made
	sent   int64
	at     time.Time
}

// read gives the requests under way, and the bits per second since it was last asked.
func (m *loadMeter) read(now time.Time) (requests int, bits int64) {
	handler := m.origin.Load()
	if handler == nil {
		return 0, 0
	}
	requests, sent := handler.Busy()
	if passed := now.Sub(m.at); !m.at.IsZero() && passed > 0 {
		bits = int64(float64(sent-m.sent) * 8 / passed.Seconds())
	}
	m.sent, m.at = sent, now
	return requests, bits
}

// load says how busy the node is.
func (r *ingestRole) load() media.Load {
	load := media.Load{Capacity: maxConnections}
	load.Viewers, load.BitsOut = r.busy.read(time.Now())
	for _, s := range r.publishers.Sessions() {
		load.Publishers++
		load.BitsIn += s.BitrateBPS
	}
	return load
}

// drain sends the publishers elsewhere and hands their shows over.
func (r *ingestRole) drain(ctx context.Context, most time.Duration) {
	r.n.ready.Store(false)
	r.leases.draining.Store(true)
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	r.n.logger.Info("draining", "most", most)
	leaving, left := context.WithTimeout(ctx, most-most/4) // the rest is for the shows
	if err := r.publishers.Drain(leaving, ""); err != nil {
		r.n.logger.Warn("some publishers were cut off", "err", err)
	}
	left()
	r.handOver(context.WithoutCancel(ctx))
	r.leases.left.Store(true)
	_ = r.n.unregister(ctx)
}

const (
	// handOverTimeout bounds the end of a show that another node is to go on with, whatever the publishers took.
	handOverTimeout = 5 * time.Second
	// handOvers is how many shows are handed over at a time: each waits for storage.
	handOvers = 16
)

// handOver gives this node's shows up.
func (r *ingestRole) handOver(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
	defer cancel()
	var ending sync.WaitGroup
	slots := make(chan struct{}, handOvers)
	for _, show := range r.packager.Growing() {
		ending.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			logger := r.n.logger.With("publisher", show.Path.Publisher, "stream", show.Path.Stream, "recording", show.Recording)
			if err := r.packager.HandOver(ctx, show.Path); err != nil {
				logger.Warn("hand over", "err", err)
			}
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatTimeout)
			defer cancel()
			if err := r.leases.giveUp(release, show.Path); err != nil {
				logger.Warn("release lease", "err", err)
			}
		})
	}
	ending.Wait()
}

// catalogPatience is how long a viewer's request waits for a catalog that hangs: storage answers without it.
const catalogPatience = time.Second

// newOrigin makes the handler of the cluster's recordings, live and on storage, in front of it the relay to nodes that
// own what this one does not.
func (n *node) newOrigin(r *ingestRole) *origin.Relay {
	latest := func(ctx context.Context, path media.StreamPath) (media.RecordingID, error) {
		asking, cancel := context.WithTimeout(ctx, catalogPatience)
		defer cancel()
		row, err := n.catalog.LatestRecording(asking, path)
		if errors.Is(err, media.ErrNotFound) || err == nil && row.Cluster == cmp.Or(n.Cluster, media.DefaultCluster) {
			return row.ID, err
		}
		// The catalog is away, or the stream goes on in another cluster, and viewers are sent there once it has something to
		// play: storage knows its own.
		return n.root.Latest(ctx, path)
	}
	gone := func(ctx context.Context, _ media.StreamPath, id media.RecordingID) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, catalogPatience)
		defer cancel()
		row, err := n.catalog.Recording(ctx, id)
		if errors.Is(err, media.ErrNotFound) {
			return false, nil // storage decides
		}
		return row.State == media.Deleting || row.State == media.Deleted, err
	}
	shows := liveShows{r.packager}
	own := origin.New(origin.Config{Gone: gone, Wanted: n.sources.Wanted}, n.root.Files(), shows, latest,
		n.logger, prometheus.WrapRegistererWith(prometheus.Labels{"storage": "local"}, n.metrics))
	r.busy.origin.Store(own)
	relay := origin.NewRelay(origin.RelayConfig{
		Own: own, Live: shows, Awake: r.leases.Awake, Confirm: r.leases.Confirm, Owner: n.owner,
		Tokens: n.tokens,
	}, n.logger, n.metrics)
	n.onClose(relay.Close)
	return relay
}

// ownerPatience is how long the owner of a group's show may take to answer before its members go to another node.
const ownerPatience = 700 * time.Millisecond

// isThere says that a node is listed and answers: the lease of one that died stands for some seconds.
func (n *node) isThere(ctx context.Context, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, ownerPatience)
	defer cancel()
	nodes, err := n.registry.Nodes(ctx)
	if err != nil {
		return false, err
	}
	at := slices.IndexFunc(nodes, func(other media.Node) bool { return other.ID == id })
	return at >= 0 && answers(ctx, nodes[at].URL) == nil, nil
}

// owner says which other node of this cluster owns a stream.
func (n *node) owner(ctx context.Context, path media.StreamPath) (origin.Owner, error) {
	lease, owned, err := n.registry.Owner(ctx, path)
	if err != nil || !owned || lease.Node == n.self.ID || lease.Cluster != n.self.Cluster {
		return origin.Owner{}, err
	}
	nodes, err := n.registry.Nodes(ctx)
	if err != nil {
		return origin.Owner{}, err
	}
	for _, other := range nodes {
		if other.ID == lease.Node {
			return origin.Owner{URL: other.URL, Recording: lease.Recording}, nil
		}
	}
	return origin.Owner{}, nil
}

// liveShows gives origin the packager's shows under its own interface.
type liveShows struct{ packager *packager.Packager }

func (l liveShows) Current(path media.StreamPath) (media.RecordingID, bool) {
	return l.packager.Current(path)
}

func (l liveShows) Show(path media.StreamPath, id media.RecordingID) (origin.Show, bool) {
	show, ok := l.packager.Show(path, id)
	if !ok {
		return nil, false
	}
	return show, true
}
