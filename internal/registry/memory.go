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
		leases map[media.StreamPath]held
	}
	log eventLog // has its own lock; the two are never held together
}

type heartbeat struct {
	node  media.Node
	until time.Time
}

// held is a lease as the registry keeps it; its node is empty once it was released.
type held struct {
	media.Lease
	until time.Time
	// learnt says that it comes from its owner's renewal: this registry did not give it.
	learnt bool
}

func (l *held) alive(now time.Time) bool { return l.Node != "" && now.Before(l.until) }

// NewMemory makes an empty registry.
func NewMemory(cfg Config) *Memory {
	m := &Memory{cfg: cfg.withDefaults()}
	m.mu.nodes = make(map[string]heartbeat)
	m.mu.leases = make(map[media.StreamPath]held)
	m.log.start(m.cfg.Events, time.Now())
	return m
}

// Register implements Registry.
func (m *Memory) Register(ctx context.Context, node media.Node) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("register node %s: %w", node.ID, err)
	}
	if err := node.Check(); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	node.URL = strings.TrimSuffix(node.URL, "/")
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.nodes[node.ID] = heartbeat{node: node, until: time.Now().Add(m.cfg.NodeTTL)}
	return nil
}

// Unregister implements Registry.
func (m *Memory) Unregister(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("unregister node %s: %w", id, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mu.nodes, id)
	return nil
}

// Nodes implements Registry.
func (m *Memory) Nodes(ctx context.Context) ([]media.Node, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var nodes []media.Node
	for id, beat := range m.mu.nodes {
		if !now.Before(beat.until) {
			delete(m.mu.nodes, id)
			continue
		}
		nodes = append(nodes, beat.node)
	}
	slices.SortFunc(nodes, func(a, b media.Node) int { return strings.Compare(a.ID, b.ID) })
	return nodes, nil
}

// Acquire implements Registry.
func (m *Memory) Acquire(ctx context.Context, lease media.Lease, floor uint64) (uint64, error) {
	return m.give(ctx, "acquire", lease, floor, func(*held) error { return nil })
}

// Claim implements Registry. This registry is never too young to know: no owner outlives it.
func (m *Memory) Claim(ctx context.Context, lease media.Lease, floor uint64) (uint64, error) {
	return m.give(ctx, "claim", lease, floor, func(before *held) error {
		if before.alive(time.Now()) {
			return fmt.Errorf("%w: node %s owns it", media.ErrConflict, before.Node)
		}
		return nil
	})
}

// give puts a new lease in the place of the one before, unless that is refused.
func (m *Memory) give(
	ctx context.Context, act string, lease media.Lease, floor uint64, refuse func(before *held) error,
) (uint64, error) {
	err := ctx.Err()
	if err == nil && lease.Node == "" {
		err = fmt.Errorf("%w: no node named", media.ErrInvalid)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.mu.leases[lease.Path]
	if err == nil {
		err = refuse(&before)
	}
	if err != nil {
		return 0, fmt.Errorf("%s stream %s: %w", act, lease.Path, err)
	}
	lease.Epoch = max(before.Epoch, floor) + 1
	m.mu.leases[lease.Path] = held{Lease: lease, until: time.Now().Add(m.cfg.LeaseTTL)}
	return lease.Epoch, nil
}

// Renew implements Registry.
func (m *Memory) Renew(ctx context.Context, lease media.Lease) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("renew stream %s: %w", lease.Path, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.mu.leases[lease.Path]
	mine := before.Node == lease.Node && before.Epoch == lease.Epoch
	// An epoch above the highest known was given before this registry lost its memory. A lease that was given since
	// goes before it; one that was learnt, of an owner that did not know yet that it was the last but one, does not.
	forgotten := lease.Epoch > before.Epoch && (before.learnt || !before.alive(time.Now()))
	if lease.Node == "" || !mine && !forgotten {
		return fmt.Errorf("renew stream %s: %w: node %s has epoch %d, the newest is %d",
			lease.Path, media.ErrFenced, lease.Node, lease.Epoch, before.Epoch)
	}
	m.mu.leases[lease.Path] = held{
		Lease: lease, until: time.Now().Add(m.cfg.LeaseTTL), learnt: before.learnt || !mine,
	}
	return nil
}

// RenewAll implements Registry.
func (m *Memory) RenewAll(ctx context.Context, leases []media.Lease) []error {
	errs := make([]error, len(leases))
	for i, lease := range leases {
		errs[i] = m.Renew(ctx, lease)
	}
	return errs
}

// Release implements Registry.
func (m *Memory) Release(ctx context.Context, path media.StreamPath, node string, epoch uint64) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("release stream %s: %w", path, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if before := m.mu.leases[path]; before.Node == node && before.Epoch == epoch {
		m.mu.leases[path] = held{Lease: media.Lease{Path: path, Epoch: epoch}}
	}
	return nil
}

// Owner implements Registry.
func (m *Memory) Owner(ctx context.Context, path media.StreamPath) (media.Lease, bool, error) {
	if err := ctx.Err(); err != nil {
		return media.Lease{}, false, fmt.Errorf("owner of stream %s: %w", path, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	lease := m.mu.leases[path]
	if !lease.alive(time.Now()) {
		return media.Lease{}, false, nil
	}
	return lease.Lease, true, nil
}

// Leases implements Registry.
func (m *Memory) Leases(ctx context.Context, publisher string) ([]media.Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []media.Lease
	for path, lease := range m.mu.leases {
		if lease.alive(time.Now()) && (publisher == "" || path.Publisher == publisher) {
			list = append(list, lease.Lease)
		}
	}
	slices.SortFunc(list, func(a, b media.Lease) int { return strings.Compare(a.Path.String(), b.Path.String()) })
	return list, nil
}

// Ping implements Registry.
func (m *Memory) Ping(ctx context.Context) error { return ctx.Err() }

// Close implements Registry.
func (m *Memory) Close() error { return nil }
