package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/cacheproxy"
	"github.com/oxbow-video/oxbow/internal/blocks"
	"github.com/oxbow-video/oxbow/internal/diskcache"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/slab"
)

const (
	tieredRecording = "01kabcdefghjkmnpqrstvwxyz0"
	tieredFile      = "acme/show/" + tieredRecording + "/1-video.mp4"
	tieredBlock     = 512 << 10 // two of the pieces that the disk verifies
	tieredSize      = 5*tieredBlock + 7
	tieredWhole     = 6 * tieredBlock // what is asked for to read it all
)

// readStore is a directory store that counts what of its media is read.
type readStore struct {
	*objstore.Dir
	bytes, asked atomic.Int64
	away         atomic.Bool
}

func (s *readStore) OpenVersion(
	ctx context.Context, name string, offset, size int64,
) (io.ReadCloser, string, int64, error) {
	s.asked.Add(1)
	if s.away.Load() {
		return nil, "", 0, media.ErrUnavailable
	}
	s.bytes.Add(size)
	return s.Dir.OpenVersion(ctx, name, offset, size)
}

// tiered is an edge's archive: a store, blocks in memory, and a directory that outlives the other two.
type tiered struct {
	t     *testing.T
	store *readStore
	cache string
	data  []byte
	// purges is the edge's; nil is of one that never purges.
	purges *cacheproxy.Purges
}

func newTiered(t *testing.T) *tiered {
	dir, err := objstore.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &tiered{t: t, store: &readStore{Dir: dir}, cache: filepath.Join(t.TempDir(), "cache")}
	w.put(1)
	return w
}

// put archives the file of that seed.
func (w *tiered) put(seed byte) {
	w.t.Helper()
	w.data = make([]byte, tieredSize)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(w.data)
	if _, err := w.store.Put(w.t.Context(), tieredFile, bytes.NewReader(w.data), tieredSize, media.PutOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// run does something with an edge that begins and ends, and gives the bytes of media that it read from the store.
func (w *tiered) run(maxBytes int64, do func(e edgeBlocks, files blocks.Storage)) int64 {
	w.t.Helper()
	before := w.store.bytes.Load()
	metrics := prometheus.NewPedanticRegistry()
	disk, err := diskcache.Open(diskcache.Config{Dir: w.cache, Bytes: 128 << 20, ReadTimeout: time.Minute},
		slog.New(slog.DiscardHandler), metrics)
	if err != nil {
		w.t.Fatal(err)
	}
	arena := slab.NewStrict()
	purges := w.purges
	e := edgeBlocks{blocks.New(blocks.Config{
		MaxBytes: maxBytes, BlockBytes: tieredBlock, MaxAhead: -1, Arena: arena,
		Tier: blockTier{disk: disk, arena: arena, purges: purges},
	}, prometheus.NewPedanticRegistry()), purges}
	do(e, e.Storage(media.DefaultArchive, w.store))
	err = e.Close()
	// A cache that closes does not wait for a busy disk.
	soon(w.t, "all is written", func() bool { return gathers(metrics, "oxbow_diskcache_queue_bytes") == 0 })
	if err := errors.Join(err, disk.Close()); err != nil {
		w.t.Error(err)
	}
	return w.store.bytes.Load() - before
}

// watch reads the file, which must be what the store has.
func (w *tiered) watch(files blocks.Storage) {
	w.t.Helper()
	got, err := w.read(files)
	if err != nil || !bytes.Equal(got, w.data) {
		w.t.Errorf("%d bytes, wrong ones: %v", len(got), err)
	}
}

func (w *tiered) read(files blocks.Storage) ([]byte, error) {
	in, err := files.OpenRange(w.t.Context(), tieredFile, 0, tieredSize)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(in)
	return got, errors.Join(err, in.Close())
}

// twice brings all of the file to disk.
func (w *tiered) twice() {
	w.t.Helper()
	if n := w.run(64<<20, func(_ edgeBlocks, files blocks.Storage) {
		w.watch(files)
		w.watch(files)
	}); n != tieredWhole {
		w.t.Errorf("%d bytes from the store", n)
	}
}

func TestArchivedMediaIsOnDiskAfterARestart(t *testing.T) {
	w := newTiered(t)
	w.twice()
	asked := w.store.asked.Load()
	if n := w.run(64<<20, func(_ edgeBlocks, files blocks.Storage) { w.watch(files) }); n != 0 {
		t.Errorf("%d bytes from the store", n)
	}
	if n := w.store.asked.Load() - asked; n != 1 {
		t.Errorf("the store was asked for the version %d times", n)
	}
}

func TestWhatWasWantedOnceIsNotOnDisk(t *testing.T) {
	w := newTiered(t)
	for range 2 {
		if n := w.run(64<<20, func(_ edgeBlocks, files blocks.Storage) { w.watch(files) }); n != tieredWhole {
			t.Errorf("%d bytes from the store", n)
		}
	}
}

// A library that memory has no room for is wanted again only after it was dropped: that is twice too.
func TestWhatComesAgainAfterMemoryDroppedItIsOnDisk(t *testing.T) {
	w := newTiered(t)
	if n := w.run(2*tieredBlock, func(_ edgeBlocks, files blocks.Storage) {
		w.watch(files)
		w.watch(files)
	}); n < 2*tieredSize-2*tieredBlock {
		t.Errorf("%d bytes from the store: memory had room", n)
	}
	if n := w.run(2*tieredBlock, func(_ edgeBlocks, files blocks.Storage) { w.watch(files) }); n > 2*tieredBlock {
		t.Errorf("%d bytes from the store", n)
	}
}

func TestDamagedBlocksComeFromTheStore(t *testing.T) {
	w := newTiered(t)
	w.twice()
	segments, err := filepath.Glob(filepath.Join(w.cache, "*.segment"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	for _, name := range segments {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := 100_000; at < min(len(b), 3*tieredBlock); at += tieredBlock {
			b[at] ^= 4
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := w.run(64<<20, func(_ edgeBlocks, files blocks.Storage) { w.watch(files) })
	if n < tieredBlock || n > 4*tieredBlock {
		t.Errorf("%d bytes from the store", n)
	}
}

func TestBlocksOnDiskAreOfTheStoresVersion(t *testing.T) {
	w := newTiered(t)
	w.twice()
	w.put(2)
	if n := w.run(64<<20, func(_ edgeBlocks, files blocks.Storage) { w.watch(files) }); n < tieredSize {
		t.Errorf("%d bytes from the store", n)
	}
}

func TestBlocksOnDiskAreNotBelievedWhileTheStoreIsAway(t *testing.T) {
	w := newTiered(t)
	w.twice()
	w.store.away.Store(true)
	w.run(64<<20, func(_ edgeBlocks, files blocks.Storage) {
		if got, err := w.read(files); err == nil || len(got) > 0 {
			t.Errorf("%d bytes of a version that nobody told: %v", len(got), err)
		}
		w.store.away.Store(false)
		w.watch(files)
	})
}

// The recording is deleted when nothing of it was read since the start.
func TestDeletionTakesBlocksOfAnEarlierRun(t *testing.T) {
	w := newTiered(t)
	w.twice()
	w.run(64<<20, func(e edgeBlocks, _ blocks.Storage) {
		e.Drop(media.StreamPath{Publisher: "acme", Stream: "show"}, tieredRecording)
	})
	if n := w.run(64<<20, func(_ edgeBlocks, files blocks.Storage) { w.watch(files) }); n != tieredWhole {
		t.Errorf("%d bytes from the store", n)
	}
}

// The recording is purged, and read again: from the store, once.
func TestPurgeSparesNoBlocksOnDisk(t *testing.T) {
	t.Parallel() // it waits for the second purge
	w := newTiered(t)
	w.twice()
	w.purges = new(cacheproxy.Purges)
	edge := cacheproxy.New(cacheproxy.Config{Purges: w.purges}, nil, slog.New(slog.DiscardHandler),
		prometheus.NewPedanticRegistry())
	t.Cleanup(func() {
		if err := edge.Close(); err != nil {
			t.Error(err)
		}
	})
	if n := w.run(64<<20, func(_ edgeBlocks, files blocks.Storage) { w.watch(files) }); n != 0 {
		t.Errorf("%d bytes from the store before the purge", n)
	}
	edge.Purge("acme", "", "")
	// A while later an edge purges once more: what is written before that is not to be used either.
	first := w.purges.Since("acme/show")
	soon(t, "it is purged again", func() bool { return w.purges.Since("acme/show").After(first) })
	if n := w.run(64<<20, func(_ edgeBlocks, files blocks.Storage) {
		w.watch(files)
		w.watch(files)
	}); n != tieredWhole {
		t.Errorf("%d bytes from the store", n)
	}
	if n := w.run(64<<20, func(e edgeBlocks, files blocks.Storage) {
		w.watch(files)
		e.purge("acme/show", time.Time{}) // of memory alone
		w.watch(files)
	}); n != 0 {
		t.Errorf("%d bytes from the store after the new ones were written", n)
	}
}

func TestBlockOfAnotherSizeIsAMiss(t *testing.T) {
	disk, err := diskcache.Open(diskcache.Config{Dir: t.TempDir() + "/c", Bytes: 16 << 20},
		slog.New(slog.DiscardHandler), prometheus.NewPedanticRegistry())
	if err != nil {
		t.Fatal(err)
	}
	tier := blockTier{disk: disk, arena: slab.New()}
	for _, size := range []int{1, 300_000, 600_000} {
		data := bytes.Repeat([]byte{byte(size)}, size)
		key := fmt.Sprint(size)
		if !tier.Put(key, "g", slab.Of(data)) {
			t.Fatal("refused")
		}
		for got := (slab.Piece{}); got.Data == nil; { // it is being written
			got, _ = tier.Get(t.Context(), key, size)
			if got.Data != nil && !bytes.Equal(got.Data, data) {
				t.Errorf("%d: wrong bytes", size)
			}
		}
		if _, ok := tier.Get(t.Context(), key, size-1); ok {
			t.Errorf("%d: it is longer than wanted", size)
		}
	}
	if err := disk.Close(); err != nil {
		t.Error(err)
	}
}
