package registry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	memoPeriod  = 2 * time.Second
	memoRefresh = 2 * time.Second // the longest that one look at all nodes and leases takes
	maxMemo     = 65536           // nodes, and leases, that are remembered
)

// MemoConfig sets a Memo's times; zero values give the defaults.
type MemoConfig struct {
	// Wait bounds an ask of the registry; zero is 500 ms.
	Wait time.Duration
	// Pause is how long nobody waits for a registry that failed; zero is 1 s.
	Pause time.Duration
	// Settle is how long a registry that comes back, and may have lost its memory, is not believed that something is not
	// there: by then every owner has renewed its leases. Zero is 5 s.
	Settle time.Duration
}

// Memo answers for a registry, with its last picture of nodes and leases while the registry is away. Run keeps that
// picture complete, so that what nobody asked for before is known too.
type Memo struct {
	registry Registry
	cfg      MemoConfig
	logger   *slog.Logger

	mu struct {
		sync.Mutex
		nodes  []media.Node
		leases map[media.StreamPath]media.Lease
		listed bool      // Nodes was answered once
		away   bool      // the last ask failed
		pause  time.Time // until then nobody asks
		settle time.Time // until then what is missing is taken from the picture
	}
}

// NewMemo makes a memo that knows nothing yet.
func NewMemo(r Registry, cfg MemoConfig, logger *slog.Logger) *Memo {
	cfg.Wait = cmp.Or(cfg.Wait, 500*time.Millisecond)
	cfg.Pause = cmp.Or(cfg.Pause, time.Second)
	cfg.Settle = cmp.Or(cfg.Settle, 5*time.Second)
	m := &Memo{registry: r, cfg: cfg, logger: logger}
	m.mu.leases = make(map[media.StreamPath]media.Lease)
	return m
}

// Nodes lists the nodes by id, those of the last picture while the registry is away. media.ErrUnavailable: there is no
// picture.
func (m *Memo) Nodes(ctx context.Context) ([]media.Node, error) {
	err := m.ask(ctx, m.cfg.Wait, func(ctx context.Context) error {
		nodes, err := m.registry.Nodes(ctx)
		if err == nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.noteNodesLocked(nodes)
		}
		return err
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil && (ctx.Err() != nil || !m.mu.listed) {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return slices.Clone(m.mu.nodes), nil
}

// Owner gives the lease on a stream; ok is false when nobody has one. An error along with ok says that the registry is
// away, or just back without its memory, and that the lease is from the last picture: its recording may have ended.
func (m *Memo) Owner(ctx context.Context, path media.StreamPath) (lease media.Lease, ok bool, err error) {
	fresh := false
	err = m.ask(ctx, m.cfg.Wait, func(ctx context.Context) error {
		found, held, err := m.registry.Owner(ctx, path)
		if err == nil {
			lease, fresh = found, held
			m.mu.Lock()
			defer m.mu.Unlock()
			m.noteLeaseLocked(path, found, held)
		}
		return err
	})
	if fresh {
		return lease, true, nil
	}
	if ctx.Err() != nil {
		return media.Lease{}, false, fmt.Errorf("owner of %s: %w", path, ctx.Err())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	lease, ok = m.mu.leases[path]
	if ok && err == nil {
		err = fmt.Errorf("the registry has just come back: %w", media.ErrUnavailable)
	}
	if err != nil {
		err = fmt.Errorf("owner of %s: %w", path, err)
	}
	return lease, ok, err
}

// Refresh takes a new picture of all nodes and leases.
func (m *Memo) Refresh(ctx context.Context) error {
	return m.ask(ctx, memoRefresh, func(ctx context.Context) error {
		nodes, err := m.registry.Nodes(ctx)
		if err != nil {
			return err
		}
		leases, err := m.registry.Leases(ctx, "")
		if err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.noteNodesLocked(nodes)
		if !time.Now().Before(m.mu.settle) {
			clear(m.mu.leases)
		}
		for _, lease := range leases {
			m.noteLeaseLocked(lease.Path, lease, true)
		}
		return nil
	})
}

// Run refreshes the picture until the context ends.
func (m *Memo) Run(ctx context.Context) error {
	tick := time.NewTicker(memoPeriod)
	defer tick.Stop()
	for {
		_ = m.Refresh(ctx) // it is logged when the registry goes away, and when it comes back
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// ask runs one ask of the registry, unless that failed a moment ago, and notes whether it is there. Its errors are
// media.ErrUnavailable, or the context's.
func (m *Memo) ask(ctx context.Context, wait time.Duration, ask func(context.Context) error) error {
	m.mu.Lock()
	pause := time.Now().Before(m.mu.pause)
	m.mu.Unlock()
	if pause {
		return fmt.Errorf("the registry is away: %w", media.ErrUnavailable)
	}
	bounded, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := ask(bounded)
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // who asked has left: that tells nothing of the registry
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if err == nil {
		if m.mu.away {
			m.mu.away = false
			m.logger.Info("registry is back")
		}
		return nil
	}
	if !m.mu.away {
		m.mu.away = true
		m.logger.Warn("registry is away: its last picture of nodes and leases is used", "err", err)
	}
	m.mu.pause = now.Add(m.cfg.Pause)
	return fmt.Errorf("%w: %w", media.ErrUnavailable, err)
}

// noteNodesLocked takes over what the registry lists. A registry that comes back may be empty: for a while what it
// does not list stays.
func (m *Memo) noteNodesLocked(nodes []media.Node) {
	now := time.Now()
	if m.mu.away || len(nodes) == 0 && len(m.mu.nodes) > 0 && m.mu.settle.IsZero() {
		m.mu.settle = now.Add(m.cfg.Settle)
	}
	switch {
	case now.Before(m.mu.settle):
		for _, old := range m.mu.nodes {
			if !slices.ContainsFunc(nodes, func(n media.Node) bool { return n.ID == old.ID }) {
				nodes = append(nodes, old)
			}
		}
		slices.SortFunc(nodes, func(a, b media.Node) int { return strings.Compare(a.ID, b.ID) })
	case len(nodes) > 0:
		m.mu.settle = time.Time{}
	}
	m.mu.nodes, m.mu.listed = slices.Clone(nodes[:min(len(nodes), maxMemo)]), true
}

// noteLeaseLocked takes over what the registry says of one stream.
func (m *Memo) noteLeaseLocked(path media.StreamPath, lease media.Lease, held bool) {
	now := time.Now()
	if m.mu.away {
		m.mu.settle = now.Add(m.cfg.Settle)
	}
	_, known := m.mu.leases[path]
	switch {
	case held && (known || len(m.mu.leases) < maxMemo):
		m.mu.leases[path] = lease
	case !held && !now.Before(m.mu.settle):
		delete(m.mu.leases, path)
	}
}
