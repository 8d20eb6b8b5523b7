package blocks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	trackFile = "acme/show/01kabcdefghjkmnpqrstvwxyz0/1-video.mp4"
	audioFile = "acme/show/01kabcdefghjkmnpqrstvwxyz0/1-audio.mp4"
	otherFile = "acme/show/01kabcdefghjkmnpqrstvwxyz1/1-video.mp4"
	manifest  = "acme/show/01kabcdefghjkmnpqrstvwxyz0/recording.json"
	testBlock = 4096
)

// reading is one request to the store.
type reading struct {
	name         string
	offset, size int64
}

// store is a directory store that counts, and that a test can slow down or break.
type store struct {
	*objstore.Dir
	mu       sync.Mutex
	readings []reading
	told     int // requests for versions alone
	// gate, if set, is asked before each read of a body, with the offset in the object.
	gate func(ctx context.Context, name string, offset int64) error
	// open, if set, is asked before each request.
	open func(ctx context.Context, name string, offset int64) error
	// most bounds what one Read of a body gives.
	most int
}

func (s *store) OpenVersion(
	ctx context.Context, name string, offset, size int64,
) (io.ReadCloser, string, int64, error) {
	s.mu.Lock()
	if size == 0 {
		s.told++
	} else {
		s.readings = append(s.readings, reading{name, offset, size})
	}
	gate, open, most := s.gate, s.open, s.most
	s.mu.Unlock()
	if open != nil {
		if err := open(ctx, name, offset); err != nil {
			return nil, "", 0, err
		}
	}
	in, version, total, err := s.Dir.OpenVersion(ctx, name, offset, size)
	if err != nil {
		return nil, "", 0, err
	}
	return &body{ReadCloser: in, ctx: ctx, gate: gate, name: name, at: offset, most: most}, version, total, nil
}

func (s *store) set(f func(s *store)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *store) requests() []reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]reading(nil), s.readings...)
}

func (s *store) versions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told
}

type body struct {
	io.ReadCloser
	ctx  context.Context
	gate func(ctx context.Context, name string, offset int64) error
	name string
	at   int64
	most int
}

func (b *body) Read(p []byte) (int, error) {
	if b.gate != nil {
		if err := b.gate(b.ctx, b.name, b.at); err != nil {
			return 0, err
		}
	}
	if b.most > 0 {
		p = p[:min(len(p), b.most)]
	}
	n, err := b.ReadCloser.Read(p)
	b.at += int64(n)
	return n, err
}

// world is a cache over one store.
type world struct {
	*Cache
	tb    testing.TB
	store *store
	files Storage
	have  map[string][]byte
}

func newWorld(tb testing.TB, cfg Config) *world {
	tb.Helper()
	dir, err := objstore.OpenDir(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	if cfg.BlockBytes == 0 {
		cfg.BlockBytes = testBlock
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 1 << 20
	}
	w := &world{tb: tb, store: &store{Dir: dir}, have: make(map[string][]byte)}
	w.Cache = New(cfg, prometheus.NewPedanticRegistry())
	w.files = w.Storage("default", w.store)
	tb.Cleanup(func() {
		if err := errors.Join(w.Close(), dir.Close()); err != nil {
			tb.Error(err)
		}
	})
	return w
}

// put archives bytes that a seed and a size name.
func (w *world) put(name string, seed uint64, size int) []byte {
	w.tb.Helper()
	data := make([]byte, size)
	random := rand.New(rand.NewPCG(seed, 7))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	w.replace(name, data)
	return data
}

func (w *world) replace(name string, data []byte) {
	w.tb.Helper()
	if _, err := w.store.Put(context.Background(), name, bytes.NewReader(data), int64(len(data)), media.PutOptions{}); err != nil {
		w.tb.Fatal(err)
	}
	w.have[name] = data
}

// read reads a range whole.
func (w *world) read(name string, offset, size int64) ([]byte, error) {
	in, err := w.files.OpenRange(context.Background(), name, offset, size)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(in)
	return data, errors.Join(err, in.Close())
}

// want reads a range, which must be what the store has.
func (w *world) want(name string, offset, size int64) {
	w.tb.Helper()
	got, err := w.read(name, offset, size)
	if err != nil {
		w.tb.Fatalf("%s %d+%d: %v", name, offset, size, err)
	}
	if want := w.have[name][offset : offset+size]; sha256.Sum256(got) != sha256.Sum256(want) {
		w.tb.Fatalf("%s %d+%d: %d bytes, wrong ones", name, offset, size, len(got))
	}
}

// wantRequests holds the requests of the store so far against what is expected.
func (w *world) wantRequests(want ...reading) {
	w.tb.Helper()
	got := w.store.requests()
	if len(got) != len(want) {
		w.tb.Fatalf("%d requests, want %d: %v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			w.tb.Errorf("request %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func count(c prometheus.Collector) int { return int(testutil.ToFloat64(c)) }

// gate lets reads at and behind an offset pass only when it is opened, and tells of those that wait.
type gate struct {
	from   int64
	opened chan struct{}
	waits  atomic.Int64
}

func newGate(from int64) *gate { return &gate{from: from, opened: make(chan struct{})} }

func (g *gate) pass(ctx context.Context, _ string, offset int64) error {
	if offset < g.from {
		return nil
	}
	g.waits.Add(1)
	defer g.waits.Add(-1)
	select {
	case <-g.opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
