package diskcache

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// closeTimeout bounds Close: a device that hangs does not let go of files.
const closeTimeout = 3 * time.Second

// file is what the store does with its files.
type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Close() error
}

// Store keeps bodies in a directory.
type Store struct {
	config  Config
	layout  layout
	logger  *slog.Logger
	metrics *metrics
	reads   chan struct{} // a token per read under way
	wake    chan struct{} // the writer has something to do
	closing chan struct{}
	running sync.WaitGroup
	// create makes a file of that name, which was not there.
	create func(path string) (file, error)

	mu struct {
		sync.Mutex
		index
		unlogged []drop         // that the log has not yet
		queue    []item         // the writer takes the first out when it is written
		queued   int64          // bytes of queue
		pending  map[uint64]int // items of queue by key
		scanning bool           // entries may be there that are not known yet
		wipe     bool           // more was dropped meanwhile than is remembered: all goes
		paused   bool           // writes are dropped
		deaf     time.Time      // reads miss until then
		closed   bool
	}
}

// Open takes the directory and reads what it has. Errors are ErrConfig, ErrInUse, ErrForeign and those of a directory
// that can't be had. A device that is full, read-only or broken is no error: the store tries again while it runs.
func Open(config Config, logger *slog.Logger, registerer prometheus.Registerer) (*Store, error) {
	return open(config, createFile, logger, registerer)
}

func open(
	config Config, create func(string) (file, error), logger *slog.Logger, registerer prometheus.Registerer,
) (*Store, error) {
	config = config.withDefaults()
	layout, err := config.layout()
	if err != nil {
		return nil, err
	}
	s := &Store{
		config: config, layout: layout, logger: logger, create: create,
		reads: make(chan struct{}, config.Reads), wake: make(chan struct{}, 1), closing: make(chan struct{}),
	}
	s.mu.index = newIndex()
	s.mu.pending = make(map[uint64]int)
	w := &writer{store: s, drops: &dropLog{}}
	err = w.load()
	if err != nil && !broken(err) {
		return nil, err
	}
	s.metrics = newMetrics(registerer, s)
	if err != nil {
		w.lose("open", err)
	}
	s.running.Go(w.run)
	return s, nil
}

// Close writes what is queued, if that takes a moment only, and lets go of the directory.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.mu.closed
	s.mu.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	close(s.closing)
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	late := time.NewTimer(closeTimeout)
	defer late.Stop()
	select {
	case <-done:
		return nil
	case <-late.C:
		return errors.New("close disk cache: its device does not answer")
	}
}

// Paused says that the directory is at fault, and that nothing is written until it is tried again.
func (s *Store) Paused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.paused
}

// Value is what Get found.
type Value struct {
	// Meta is what was put with the body.
	Meta []byte
	// Body is the body, or the range of it, in the caller's memory.
	Body [][]byte
	// Size is that of the whole body.
	Size int64
}

// Get gives what was put last under the key. The body is read into memory that alloc gives: it is called once per
// PieceBytes of the body, in order, with the length wanted; a shorter answer makes it a miss. After a miss it may be
// called once more, by a read that nobody waits for any longer.
func (s *Store) Get(ctx context.Context, key string, alloc func(n int) []byte) (Value, bool) {
	return s.GetRange(ctx, key, 0, math.MaxInt64, alloc)
}

// GetRange is Get of the bytes from up to to, cut to the body's size. Only the pieces that they lie in are read.
func (s *Store) GetRange(ctx context.Context, key string, from, to int64, alloc func(n int) []byte) (Value, bool) {
	v, ok := s.read(ctx, key, span{from: max(0, from), to: to}, alloc)
	if ok {
		s.metrics.hits.Inc()
		s.metrics.readBytes.Add(float64(v.bytes()))
	} else {
		s.metrics.misses.Inc()
	}
	return v, ok
}

func (v Value) bytes() int {
	n := 0
	for _, b := range v.Body {
		n += len(b)
	}
	return n
}

// Has says whether the key is there, or about to be written.
func (s *Store) Has(key string) bool {
	hash := hashKey(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.pending[hash] > 0 {
		return true
	}
	_, _, _, ok := s.mu.find(hash)
	return ok
}

// Put has a body written, in the place of what the key had. It never waits: false says that it is dropped, since the
// queue is full, the body too large, or the directory at fault. Meta and body must not change any more; keep is held
// until they are written.
func (s *Store) Put(key, group string, meta []byte, body [][]byte, keep any) bool {
	it := item{key: key, group: group, meta: meta, body: body, keep: keep, hash: hashKey(key), hashGroup: hashGroup(group)}
	for _, b := range body {
		it.size += int64(len(b))
	}
	limit := s.layout.segment - headFixed - 4*pieces(it.size) - footerSize(1)
	if len(key) > MaxKey || len(group) > MaxGroup || len(meta) > MaxMeta ||
		it.size+int64(len(key)+len(group)+len(meta)) > limit {
		s.metrics.shed[shedSize].Inc()
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mu.paused || s.mu.closed:
		s.metrics.shed[shedPaused].Inc()
		return false
	case len(s.mu.queue) >= maxQueue || s.mu.queued+it.size > s.config.QueueBytes && len(s.mu.queue) > 0:
		s.metrics.shed[shedQueue].Inc()
		return false
	}
	it.epoch = s.mu.epoch
	s.mu.queue = append(s.mu.queue, it)
	s.mu.queued += it.size
	s.mu.pending[it.hash]++
	s.nudge()
	return true
}

// Drop drops all that the group has, and what of it waits to be written. It does not wait.
func (s *Store) Drop(group string) {
	g := hashGroup(group)
	s.mu.Lock()
	defer s.mu.Unlock()
	queued := slices.ContainsFunc(s.mu.queue, func(it item) bool { return it.hashGroup == g })
	if s.mu.closed || !queued && !s.mu.holds(g) && !s.mu.scanning {
		return
	}
	if s.mu.scanning && len(s.mu.drops) >= maxDrops {
		s.mu.wipe = true
	}
	if s.mu.wipe {
		return
	}
	s.mu.unlogged = append(s.mu.unlogged, s.mu.drop(g))
	s.nudge()
}

// nudge has the writer look.
func (s *Store) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// usage gives the bytes that files take or are set apart for, the files, the entries and the bytes in the queue.
func (s *Store) usage() (bytes int64, files, entries int, queued int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.bytes, len(s.mu.order), len(s.mu.entries), s.mu.queued
}
