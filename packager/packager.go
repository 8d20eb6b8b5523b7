package packager

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// Config is a Packager's. Its zero value is the usual one.
type Config struct {
	// Memory bounds the bytes of parts kept per show, a quarter of it for those that wait for storage; zero means 128
	// MiB.
	Memory int64
	// Tick is how often clocks are looked at; zero means 100 ms.
	Tick time.Duration
	// Cluster names the nodes that share the recordings; rows carry it.
	Cluster string
	// Node names this process in the log's events.
	Node string
	// Awake says that this process is known to run: it is false once it may have been stopped for so long that others
	// took its streams over. It must be cheap. Nil is always.
	Awake func() bool
	// Confirm asks whether a stream is still this node's, before anything is told of it while Awake is false:
	// media.ErrFenced says that it is another's, and the packager forgets it; after any other answer, or none in two
	// seconds, it goes on. Nil is not asked.
	Confirm func(ctx context.Context, path media.StreamPath) error
}

const (
	// stopTimeout bounds the wait for storage at a stop, and flushTimeout the last writing of rows.
	stopTimeout  = 5 * time.Second
	flushTimeout = 3 * time.Second
)

// Packager makes shows of publications.
type Packager struct {
	cfg     Config
	create  func(reclog.Manifest) (showLog, error) // makes a recording on storage
	newID   func() media.RecordingID
	logger  *slog.Logger
	metrics *metrics
	queue   *queue
	pulse   pulse

	// mu is a leaf: no stream's or group's lock is taken with it held.
	mu struct {
		sync.Mutex
		streams map[media.StreamPath]*stream
		groups  map[media.StreamPath]*group // by the show's path
		stopped bool
	}
}

// New makes a packager that records into root. newID makes recording ids that sort by time.
func New(
	cfg Config, root *reclog.Root, catalog Catalog, events Events, newID func() media.RecordingID,
	logger *slog.Logger, registerer prometheus.Registerer,
) *Packager {
	if cfg.Memory <= 0 {
		cfg.Memory = 128 << 20
	}
	if cfg.Tick <= 0 {
		cfg.Tick = 100 * time.Millisecond
	}
	m := newMetrics(registerer)
	p := &Packager{
		cfg: cfg, newID: newID, logger: logger, metrics: m, queue: newQueue(cfg.Cluster, catalog, events, logger, m),
	}
	p.create = func(m reclog.Manifest) (showLog, error) {
		w, err := root.Create(m)
		if err != nil {
			return nil, err
		}
		return onDisk{w}, nil
	}
	p.mu.streams = make(map[media.StreamPath]*stream)
	p.mu.groups = make(map[media.StreamPath]*group)
	return p
}

// Run keeps clocks and writes rows until ctx ends. Then every show is left interrupted on storage, so that the next
// process can resume it, and publications get media.ErrUnavailable. Storage that does not answer then is given up after
// five seconds; goroutines that hang in it are left behind, and the next process recovers what it finds.
func (p *Packager) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { p.queue.run(ctx) })
	ticker := time.NewTicker(p.cfg.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			p.stop()
			wg.Wait()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
			defer cancel()
			if !p.queue.drain(last) {
				p.logger.Warn("rows or events were not written before the stop")
			}
			return nil
		case now := <-ticker.C:
			p.Step(now)
		}
	}
}

// Step does what is due at a time. A stream that waits for its storage is not waited for beyond a tick, and has no
// other tick meanwhile.
func (p *Packager) Step(now time.Time) {
	p.pulse.beat()
	streams, groups := p.all(), p.allGroups()
	done := make(chan struct{}, len(streams)+len(groups))
	begun := 0
	for _, g := range groups {
		if g.ticking.Swap(true) {
			continue
		}
		begun++
		go func() {
			if p.confirm(g.path) == nil {
				g.tick(now)
			}
			g.ticking.Store(false)
			done <- struct{}{}
		}()
	}
	for _, s := range streams {
		if s.ticking.Swap(true) {
			continue
		}
		begun++
		go func() {
			if p.confirm(s.path) == nil && !s.tick(now) {
				p.forget(s)
			}
			s.ticking.Store(false)
			done <- struct{}{}
		}()
	}
	late := time.NewTimer(p.cfg.Tick)
	defer late.Stop()
	for waits := true; waits && begun > 0; begun-- {
		select {
		case <-done:
		case <-late.C:
			waits = false
		}
	}
	states := map[media.State]int{media.Live: 0, media.Interrupted: 0}
	var longest time.Duration
	for _, s := range streams {
		state, ok := s.state()
		if ok {
			states[state]++
		}
		longest = max(longest, s.waited(state, now))
	}
	p.metrics.longest.Set(longest.Seconds())
	for state, n := range states {
		p.metrics.shows.WithLabelValues(string(state)).Set(float64(n))
	}
}

func (p *Packager) stop() {
	p.mu.Lock()
	p.mu.stopped = true
	p.mu.Unlock()
	streams := p.all()
	done := make(chan struct{}, len(streams))
	for _, s := range streams {
		go func() {
			for _, show := range s.stop() {
				<-show.recorder.exited
			}
			done <- struct{}{}
		}()
	}
	late := time.NewTimer(stopTimeout)
	defer late.Stop()
	for left := len(streams); left > 0; left-- {
		select {
		case <-done:
		case <-late.C:
			p.logger.Error("storage does not answer: stopping without the end of recordings", "streams", left)
			return
		}
	}
}

func (p *Packager) all() []*stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	streams := make([]*stream, 0, len(p.mu.streams))
	for _, s := range p.mu.streams {
		streams = append(streams, s)
	}
	return streams
}

func (p *Packager) allGroups() []*group {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.mu.groups))
}

// lookup gives a stream's state, made if it is new and create says so; nil if there is none.
func (p *Packager) lookup(path media.StreamPath, create bool) (*stream, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if create && p.mu.stopped {
		return nil, fmt.Errorf("packager is stopping: %w", media.ErrUnavailable)
	}
	s, ok := p.mu.streams[path]
	if ok || !create {
		return s, nil
	}
	s = &stream{packager: p, path: path, mu: newTurn(), confirmed: confirmation{asking: newTurn()}}
	p.mu.streams[path] = s
	return s, nil
}

// forget removes a stream that has nothing. One that got something meanwhile is kept.
func (p *Packager) forget(s *stream) {
	s.mu.Lock()
	idle := s.pub == nil && s.show == nil && len(s.shown) == 0 && !s.creating.Load()
	s.dead = idle
	s.mu.Unlock()
	if !idle {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.streams[s.path] == s {
		delete(p.mu.streams, s.path)
	}
}

// Publish opens a publication of a stream. One that is open is fenced: its methods return media.ErrTakenOver, and the
// new one begins the next take of the same recording. media.ErrFenced: a later epoch was seen. media.ErrUnavailable.
func (p *Packager) Publish(ctx context.Context, info media.Stream, epoch uint64) (*Publication, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, err := p.lookup(info.Path, true)
		if err != nil {
			return nil, err
		}
		pub := &Publication{stream: s, settings: info.Settings, epoch: epoch, lead: -1, repairs: make(repairs)}
		s.mu.Lock()
		if s.dead { // forgotten since it was looked up
			s.mu.Unlock()
			continue
		}
		err = s.publishLocked(pub)
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
		return pub, nil
	}
}

// Current gives the recording that a stream is live with: one that grows.
func (p *Packager) Current(path media.StreamPath) (media.RecordingID, bool) {
	s, err := p.lookup(path, false)
	if err != nil || s == nil {
		return "", false
	}
	x := s.index.Load()
	if x == nil || x.current == nil || x.current.lost.Load() {
		return "", false
	}
	return x.current.id, true
}

// Show gives a recording that grows, or that ended a little while ago.
func (p *Packager) Show(path media.StreamPath, id media.RecordingID) (*Show, bool) {
	s, err := p.lookup(path, false)
	if err != nil || s == nil {
		return nil, false
	}
	x := s.index.Load()
	if x == nil {
		return nil, false
	}
	for _, show := range x.all {
		if show.id == id && !show.lost.Load() {
			return show, true
		}
	}
	return nil, false
}
