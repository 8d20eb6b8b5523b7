package registry

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Config sets a registry's times and sizes; zero values give the defaults.
type Config struct {
	// LeaseTTL is how long a lease lasts that is not renewed; zero is 5 s.
	LeaseTTL time.Duration
	// NodeTTL is how long a node is listed that does not register again; zero is 15 s.
	NodeTTL time.Duration
	// Events is how many events are kept for readers that come back; zero is 4096.
	Events int
}

func (c Config) withDefaults() Config {
	c.LeaseTTL = cmp.Or(c.LeaseTTL, 5*time.Second)
	c.NodeTTL = cmp.Or(c.NodeTTL, 15*time.Second)
	c.Events = cmp.Or(c.Events, 4096)
	return c
}

// Memory is the registry of a single process. It is safe for concurrent use.
type Memory struct {
	cfg Config

	mu struct {
		sync.Mutex
		nodes map[string]heartbeat
		// leases holds every stream that was ever acquired, for its epoch.
		leases map[media.StreamPath]lease
	}
	log eventLog // has its own lock; the two are never held together
}

type heartbeat struct {
	node  Node
	until time.Time
}

type lease struct {
	node  string // empty once it was released
	epoch uint64
	until time.Time
}

func (l lease) alive(now time.Time) bool { return l.node != "" && now.Before(l.until) }

// NewMemory makes an empty registry.
func NewMemory(cfg Config) *Memory {
	m := &Memory{cfg: cfg.withDefaults()}
	m.mu.nodes = make(map[string]heartbeat)
	m.mu.leases = make(map[media.StreamPath]lease)
	m.log.start(m.cfg.Events, time.Now())
	return m
}

// Register lists a node for the next NodeTTL; a node calls it again well within that time, say at each third of it.
func (m *Memory) Register(ctx context.Context, node Node) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("register node %s: %w", node.ID, err)
	}
	if node.ID == "" || node.URL == "" {
		return fmt.Errorf("register node: %w: it needs an id and a URL, not %q and %q", media.ErrInvalid, node.ID, node.URL)
	}
	node.URL = strings.TrimSuffix(node.URL, "/")
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.nodes[node.ID] = heartbeat{node: node, until: time.Now().Add(m.cfg.NodeTTL)}
	return nil
}

// Unregister takes a node from the list at once: it is leaving.
func (m *Memory) Unregister(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("unregister node %s: %w", id, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mu.nodes, id)
	return nil
}

// Nodes lists the nodes that are there, by id.
func (m *Memory) Nodes(ctx context.Context) ([]Node, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var nodes []Node
	for id, beat := range m.mu.nodes {
		if !now.Before(beat.until) {
			delete(m.mu.nodes, id)
			continue
		}
		nodes = append(nodes, beat.node)
	}
	slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(a.ID, b.ID) })
	return nodes, nil
}

// Acquire gives a node the stream's lease for LeaseTTL, whoever holds it, and the lease's epoch: above every epoch of
// the stream before it, and above floor, the highest that storage knows.
func (m *Memory) Acquire(ctx context.Context, path media.StreamPath, node string, floor uint64) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("acquire stream %s: %w", path, err)
	}
	if node == "" {
		return 0, fmt.Errorf("acquire stream %s: %w: no node named", path, media.ErrInvalid)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	epoch := max(m.mu.leases[path].epoch, floor) + 1
	m.mu.leases[path] = lease{node: node, epoch: epoch, until: time.Now().Add(m.cfg.LeaseTTL)}
	return epoch, nil
}

// Renew prolongs a lease to LeaseTTL from now, also one that ran out and that nobody acquired since. media.ErrFenced
// when it was taken over or released.
func (m *Memory) Renew(ctx context.Context, path media.StreamPath, node string, epoch uint64) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("renew stream %s: %w", path, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	held := m.mu.leases[path]
	mine := held.node == node && held.epoch == epoch
	// An epoch above the highest known was given before this registry lost its memory. A lease that was given since
	// goes before it.
	forgotten := epoch > held.epoch && !held.alive(time.Now())
	if node == "" || !mine && !forgotten {
		return fmt.Errorf("renew stream %s: %w: node %s has epoch %d, the newest is %d",
			path, media.ErrFenced, node, epoch, held.epoch)
	}
	m.mu.leases[path] = lease{node: node, epoch: epoch, until: time.Now().Add(m.cfg.LeaseTTL)}
	return nil
}

// Release gives a lease back. One that is no longer held is left to its new holder: that is no error.
func (m *Memory) Release(ctx context.Context, path media.StreamPath, node string, epoch uint64) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("release stream %s: %w", path, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if held := m.mu.leases[path]; held.node == node && held.epoch == epoch {
		m.mu.leases[path] = lease{epoch: epoch}
	}
	return nil
}

// Owner gives the node that holds the stream's lease, and its epoch; ok is false when none does.
func (m *Memory) Owner(ctx context.Context, path media.StreamPath) (node string, epoch uint64, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return "", 0, false, fmt.Errorf("owner of stream %s: %w", path, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	held := m.mu.leases[path]
	if !held.alive(time.Now()) {
		return "", 0, false, nil
	}
	return held.node, held.epoch, true, nil
}
