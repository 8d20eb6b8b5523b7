package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

// KeyCacheConfig is a KeyCache's.
type KeyCacheConfig struct {
	// Wait is how long SQL may take to answer; zero means 1 second.
	Wait time.Duration
	// Pause is how long SQL counts as away once it did not answer, before one call asks again; zero means 1 second.
	Pause time.Duration
	// Refresh is the time between two looks for changes; zero means 10 seconds.
	Refresh time.Duration
	// MaxKeys is the most keys to remember; zero means 200,000. With more in the catalog, only those are remembered that
	// were asked for.
	MaxKeys int
}

func (c KeyCacheConfig) withDefaults() KeyCacheConfig {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&c.Wait, time.Second)
	set(&c.Pause, time.Second)
	set(&c.Refresh, 10*time.Second)
	if c.MaxKeys <= 0 {
		c.MaxKeys = 200_000
	}
	return c
}

// KeyCache answers ingest's questions from the catalog while that is there, and from memory while it is away, so
// that known publishers can start without SQL. What SQL says is always taken over what is remembered: a removed key
// is denied at once. While SQL is away the memory is as old as its last refresh, or the last answer, whichever is
// later; and what it does not know is media.ErrUnavailable, never a denial. It keeps hashes of keys, no keys.
type KeyCache struct {
	db      *DB
	cfg     KeyCacheConfig
	logger  *slog.Logger
	answers prometheus.Counter

	mu struct {
		sync.Mutex
		known *picture
		// late are the changes since a refresh began to read, to be made in what it reads too; nil between refreshes.
		late    []func(*picture)
		reading bool
		// used are the publishes that were begun, by their keys' ids, and are not written yet.
		used map[string]time.Time
		// crowded says that the catalog has more keys than may be remembered.
		crowded bool
		// away is since when SQL does not answer; zero while it does.
		away time.Time
		// until is when the next call may ask although SQL is away, and asking that one does.
		until  time.Time
		asking bool
	}
}

// NewKeyCache gives a cache that knows nothing yet: Refresh, or Run, fills it.
func NewKeyCache(db *DB, cfg KeyCacheConfig, logger *slog.Logger, metrics prometheus.Registerer) *KeyCache {
	c := &KeyCache{
		db: db, cfg: cfg.withDefaults(), logger: logger,
		answers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "oxbow_catalog_cache_answers_total",
			Help: "Questions of ingest that were answered from memory because the catalog was away.",
		}),
	}
	c.mu.known = newPicture(c.cfg.MaxKeys)
	metrics.MustRegister(c.answers,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "oxbow_catalog_away", Help: "1 while the catalog does not answer.",
		}, func() float64 {
			if c.Away() {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "oxbow_catalog_cache_keys", Help: "Stream keys that are known without the catalog.",
		}, func() float64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			return float64(len(c.mu.known.keys))
		}))
	return c
}

// Away says that SQL did not answer when it was last asked.
func (c *KeyCache) Away() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.mu.away.IsZero()
}

// AuthorizeKey is DB.AuthorizeKey.
func (c *KeyCache) AuthorizeKey(ctx context.Context, key string) (media.Stream, error) {
	h := hash(key)
	s, err := answer(ctx, c, "authorize key", question[media.Stream]{
		ask: func(ctx context.Context) (media.Stream, error) { return c.db.AuthorizeKey(ctx, key) },
		learn: func(s media.Stream) func(*picture) {
			return func(p *picture) { p.setKey(h, s) }
		},
		forget: func(p *picture) { p.dropKey(h) },
		recall: func(p *picture) (media.Stream, error) {
			known, ok := p.keys[h]
			if !ok {
				return media.Stream{}, errForgotten
			}
			return p.granted(known)
		},
	})
	c.noteUse(s.Key.ID)
	return s, err
}

// AuthorizePath is DB.AuthorizePath.
func (c *KeyCache) AuthorizePath(ctx context.Context, path media.StreamPath, key string) (media.Stream, error) {
	h := hash(key)
	s, err := answer(ctx, c, "authorize key for stream "+shown(path.String()), question[media.Stream]{
		ask: func(ctx context.Context) (media.Stream, error) { return c.db.AuthorizePath(ctx, path, key) },
		learn: func(s media.Stream) func(*picture) {
			return func(p *picture) { p.setKey(h, s) }
		},
		forget: func(p *picture) {
			if p.keys[h].path == path { // else it may well be the key of another stream
				p.dropKey(h)
			}
		},
		recall: func(p *picture) (media.Stream, error) {
			known, ok := p.keys[h]
			switch {
			case !ok:
				return media.Stream{}, errForgotten
			case known.path != path:
				return media.Stream{}, media.ErrDenied
			}
			return p.granted(known)
		},
	})
	c.noteUse(s.Key.ID)
	return s, err
}

// Stream is DB.Stream.
func (c *KeyCache) Stream(ctx context.Context, path media.StreamPath) (media.Stream, error) {
	return answer(ctx, c, "stream "+shown(path.String()), question[media.Stream]{
		ask: func(ctx context.Context) (media.Stream, error) { return c.db.Stream(ctx, path) },
		learn: func(s media.Stream) func(*picture) {
			return func(p *picture) { p.setStream(s) }
		},
		forget: func(p *picture) { delete(p.streams, path) },
		recall: func(p *picture) (media.Stream, error) { return p.stream(path) },
	})
}

// Members is DB.Members.
func (c *KeyCache) Members(ctx context.Context, path media.StreamPath) ([]string, error) {
	return answer(ctx, c, "members of group "+shown(path.String()), question[[]string]{
		ask: func(ctx context.Context) ([]string, error) { return c.db.Members(ctx, path) },
		learn: func(names []string) func(*picture) {
			names = slices.Clone(names)
			return func(p *picture) { p.setMembers(path, names) }
		},
		forget: func(p *picture) { delete(p.members, path) },
		recall: func(p *picture) ([]string, error) {
			names, ok := p.members[path]
			if !ok && !p.whole {
				return nil, errForgotten
			}
			return slices.Clone(names), nil
		},
	})
}

// question is one of ingest's, as SQL and as the memory answer it.
type question[T any] struct {
	ask    func(ctx context.Context) (T, error)
	learn  func(T) func(*picture)
	forget func(*picture)
	// recall gives errForgotten for what is not known.
	recall func(*picture) (T, error)
}

var errForgotten = fmt.Errorf("%w: the catalog is away, and this is not known without it: try again",
	media.ErrUnavailable)

func answer[T any](ctx context.Context, c *KeyCache, act string, q question[T]) (T, error) {
	if c.mayAsk() {
		limited, cancel := context.WithTimeout(ctx, c.cfg.Wait)
		got, err := q.ask(limited)
		cancel()
		switch {
		case err == nil:
			c.came(q.learn(got))
			return got, nil
		case errors.Is(err, media.ErrKeyExpired): // which is known of it
			c.came(nil)
			return got, err
		case errors.Is(err, media.ErrDenied) || errors.Is(err, media.ErrNotFound):
			c.came(q.forget)
			return got, err
		case ctx.Err() != nil:
			c.giveUp()
			return got, err
		}
		c.failed(err)
	}
	c.mu.Lock()
	got, err := q.recall(c.mu.known)
	c.mu.Unlock()
	if err != nil {
		return got, fmt.Errorf("%s: %w", act, err)
	}
	c.answers.Inc()
	return got, nil
}

// mayAsk says whether to ask SQL: always while it answers; while it is away, one at a time and not all the time.
func (c *KeyCache) mayAsk() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.away.IsZero() {
		return true
	}
	if c.mu.asking || time.Now().Before(c.mu.until) {
		return false
	}
	c.mu.asking = true
	return true
}

// came notes that SQL answered, and what.
func (c *KeyCache) came(change func(*picture)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.away.IsZero() {
		c.logger.Info("catalog is back", "dur", time.Since(c.mu.away).Round(time.Millisecond))
	}
	c.mu.away, c.mu.asking = time.Time{}, false
	if change == nil {
		return
	}
	change(c.mu.known)
	if c.mu.reading {
		c.mu.late = append(c.mu.late, change)
	}
}

// giveUp ends a question that its asker gave up: it told nothing.
func (c *KeyCache) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.asking = false
}

// failed notes that SQL did not answer.
func (c *KeyCache) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.away.IsZero() {
		c.mu.away = time.Now()
		c.logger.Warn("catalog is away: answering from memory", "keys", len(c.mu.known.keys), "err", err)
	}
	c.mu.asking, c.mu.until = false, time.Now().Add(c.cfg.Pause)
}
