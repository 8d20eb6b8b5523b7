package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/oxbow-video/oxbow/archiver"
	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/diskcache"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/internal/registry"
)

// node is the process under construction: the adapters and the listeners that its roles share. A role's command fills
// in the flags that it has, opens what it needs and starts its parts; serve does that for all roles.
type node struct {
	clusterFlags
	adapterFlags
	recordingFlags
	publishFlags
	storesFlags
	archiveFlags
	pictureFlags
	adminFlags
	webhookFlags

	logger   *slog.Logger
	metrics  *prometheus.Registry
	services *services
	ready    atomic.Bool
	pictured bool        // there is an ffmpeg to make pictures with
	full     atomic.Bool // new shows are refused for lack of room, as was told
	// readiness is what must have answered beside.
	readiness readiness
	// self is how others find this process.
	self media.Node

	root     *reclog.Root
	catalog  *catalog.DB
	registry registry.Registry
	// archives are the stores by name.
	archives map[string]archiver.Objects
	sources  *ingest.Puller
	leases   *leases
	disk     *diskcache.Store // of the edge; nil without one
	// certificates are those of --https, for whoever else speaks TLS; nil without it.
	certificates *certificates
	edge         edgeSelf // of an edge among others

	// tokens are what the cluster's processes show each other, and guard is in front of what they ask here.
	tokens   *admission.Tokens
	guard    *admission.Guard
	internal net.Listener // directory service, origin and control, which nodes and edges ask
	closers  []func() error
}

func newNode(ctx runContext) *node {
	n := &node{logger: ctx.logger, metrics: ctx.metrics, services: newServices(ctx.logger)}
	if n.metrics == nil {
		n.metrics = prometheus.NewRegistry()
	}
	n.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	n.addSelfMetrics()
	return n
}

// onClose has something closed at the end, in reverse order.
func (n *node) onClose(f func() error) { n.closers = append(n.closers, f) }

// close stops the services and closes what was opened.
func (n *node) close() error {
	n.services.stop()
	var err error
	for i := len(n.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, n.closers[i]())
	}
	n.closers = nil
	return err
}

// listen opens an address for a flag; it is closed with the node.
func (n *node) listen(ctx context.Context, a listenAddress, flag string) (net.Listener, error) {
	l, err := a.listen(ctx, flag)
	if err == nil {
		n.onClose(func() error { _ = l.Close(); return nil }) // its server has closed it, mostly
	}
	return l, err
}

// openCatalog opens what --catalog names.
func (n *node) openCatalog(ctx context.Context) error {
	db, err := catalog.Open(ctx, n.Catalog, n.logger)
	if err != nil {
		return fmt.Errorf("--catalog: %w", err)
	}
	n.catalog = db
	n.onClose(db.Close)
	return nil
}

// memoryRegistry is the --registry of a process that is alone.
const memoryRegistry = "memory:"

// openRegistry opens what --registry names.
func (n *node) openRegistry(ctx context.Context) error {
	if n.Registry == memoryRegistry {
		if n.self.ID != aloneID {
			return fmt.Errorf("--registry %s: other processes can't see it: give the Redis that all of them share, "+
				"or use oxbow serve", memoryRegistry)
		}
		n.registry = registry.NewMemory(registry.Config{})
		return nil
	}
	r, err := registry.OpenRedis(ctx, registry.RedisConfig{URL: n.Registry}, n.logger)
	if err != nil {
		return fmt.Errorf("--registry: %w", err)
	}
	n.registry = r
	n.onClose(r.Close)
	return n.checkName(ctx)
}

// nameTimeout bounds the look for another process of this name.
const nameTimeout = 2 * time.Second

// checkName refuses to start beside another process of the same name: each would take the other's leases for its own.
// A row with this process's address is of its last run, and one that nobody listens at is of a process that is gone.
func (n *node) checkName(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	nodes, err := n.registry.Nodes(ctx)
	if err != nil {
		return nil // the registry is away, which is said elsewhere
	}
	for _, other := range nodes {
		if other.ID != n.self.ID || other.URL == n.self.URL {
			continue
		}
		if err := answers(ctx, other.URL); err != nil && ctx.Err() == nil {
			continue
		}
		return fmt.Errorf("--node %s: the %s at %s has that name: give each process its own",
			n.self.ID, other.Role, other.URL)
	}
	return nil
}

// answers says whether a process answers at its URL, whatever: who is gone, or paused until ctx ends, does not.
func answers(ctx context.Context, base string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/healthz", http.NoBody)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// openRoot opens the directory that the cluster's recordings are in; shared says that other processes have it too.
func (n *node) openRoot(ctx context.Context, shared bool) error {
	opened := make(chan *reclog.Root, 1)
	err := n.meet(ctx, "open the recordings' directory", func() error {
		if err := os.MkdirAll(filepath.Dir(n.Recordings), 0o750); err != nil {
			return fmt.Errorf("recordings in %s: %w: choose a directory that this user may write", n.Recordings, err)
		}
		root, err := reclog.OpenRoot(reclog.Config{
			Dir: n.Recordings, Sync: reclog.SyncPolicy(n.Sync), Shared: shared,
		}, n.logger)
		opened <- root
		return err
	})
	if errors.Is(err, media.ErrConflict) {
		return fmt.Errorf("%s: another oxbow uses it: stop that, or choose another directory: %w", n.Recordings, err)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("recordings in %s: %w: choose a directory that this user may write", n.Recordings, err)
	}
	if err != nil {
		return err
	}
	root := <-opened
	n.root = root
	n.onClose(func() error { return within(rootClose, root.Close) })
	return nil
}

// identify says how others find this process, which is to be reached at what listens for them.
func (n *node) identify(role, advertise string, listener net.Addr) error {
	if n.Cluster != "" || role == media.RoleIngest || role == media.RoleArchiver {
		if err := n.check(); err != nil {
			return err
		}
	}
	base, err := advertised(advertise, listener)
	if err != nil {
		return err
	}
	n.self = media.Node{
		ID: nodeName(n.Node, listener), Role: role, Cluster: n.Cluster, URL: base, Version: version,
		StartedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
	n.logger = n.logger.With("node", n.self.ID)
	return nil
}

// serveAdmin starts the operator's port.
func (n *node) serveAdmin(ctx context.Context) error {
	admin, err := n.listen(ctx, n.Admin, "--admin")
	if err != nil {
		return err
	}
	n.services.add(ctx, "admin HTTP", serveHTTP(admin, adminHandler(n.metrics, n.isReady), n.logger))
	return nil
}

// register lists the node again and again until ctx ends, for roles that have no leases to renew.
func (n *node) register(ctx context.Context) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for away := false; ; {
		call, cancel := context.WithTimeout(ctx, beatTimeout)
		err := n.registry.Register(call, n.self)
		cancel()
		if ctx.Err() == nil && (err != nil) != away {
			away = err != nil
			n.logger.Warn("registry", "away", away, "err", err)
		}
		select {
		case <-ctx.Done():
			return n.unregister(ctx)
		case <-beat.C:
		}
	}
}

// unregister takes the node from the list.
func (n *node) unregister(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatTimeout)
	defer cancel()
	if err := n.registry.Unregister(ctx, n.self.ID); err != nil {
		n.logger.Warn("leave the registry", "err", err)
	}
	return nil
}

// private says that an address is reached from this machine only.
func private(a listenAddress) bool {
	host, _, err := net.SplitHostPort(string(a))
	ip := net.ParseIP(host)
	return err == nil && (strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback())
}
