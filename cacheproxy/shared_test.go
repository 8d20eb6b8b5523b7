package cacheproxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/blocks"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// countedStore is a directory store that counts its readings.
type countedStore struct {
	*objstore.Dir
	counter
}

func (s *countedStore) OpenVersion(
	ctx context.Context, name string, offset, size int64,
) (io.ReadCloser, string, int64, error) {
	if size > 0 {
		s.add(name)
	}
	return s.Dir.OpenVersion(ctx, name, offset, size)
}

// vault is an edge whose archive is a store read through blocks. Segments are runs of one file.
type vault struct {
	*world
	blocks *blocks.Cache
	files  blocks.Storage
	store  *countedStore
	media  []byte
}

const (
	vaultFile    = "acme/show/" + testRec + "/1-video.mp4"
	vaultSegment = 200_000
)

func newVault(t testing.TB, cfg blocks.Config, segments int) *vault {
	t.Helper()
	dir, err := objstore.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	v := &vault{world: newWorld(t, Config{}), store: &countedStore{Dir: dir}}
	v.media = bodyOf("media", segments*vaultSegment)
	if _, err := dir.Put(t.Context(), vaultFile, bytes.NewReader(v.media), int64(len(v.media)), media.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	v.blocks = blocks.New(cfg, prometheus.NewPedanticRegistry())
	v.files = v.blocks.Storage("default", v.store)
	t.Cleanup(func() {
		if err := errors.Join(v.blocks.Close(), dir.Close()); err != nil {
			t.Error(err)
		}
	})
	v.directory.location = media.Location{
		Publisher: "acme", Stream: "show", Recording: testRec, State: media.Archived, Archived: true,
	}
	v.archive.set(v.serve)
	return v
}

// serve is what origin does with a segment.
func (v *vault) serve(w http.ResponseWriter, r *http.Request) {
	var n int64
	if _, err := fmt.Sscanf(r.URL.Path, recBase+"/1/video/%d.m4s", &n); err != nil {
		http.NotFound(w, r)
		return
	}
	in, err := v.files.OpenRange(r.Context(), vaultFile, (n-1)*vaultSegment, vaultSegment)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer func() { _ = in.Close() }()
	h := w.Header()
	h.Set("Content-Type", "video/mp4")
	h.Set("Cache-Control", immutable)
	h.Set("Content-Length", strconv.Itoa(vaultSegment))
	_, _ = io.Copy(w, in)
}

// want asks for a segment, or a range of it.
func (v *vault) want(t testing.TB, n int, status string, from, size int) {
	t.Helper()
	var head []string
	code := http.StatusOK
	if size < vaultSegment {
		head, code = []string{"Range", fmt.Sprintf("bytes=%d-%d", from, from+size-1)}, http.StatusPartialContent
	}
	rec := v.get(t, segment(n), head...)
	wantStatus(t, rec, code)
	if status != "" {
		wantCacheStatus(t, rec, status)
	}
	at := (n-1)*vaultSegment + from
	if sha256.Sum256(rec.Body.Bytes()) != sha256.Sum256(v.media[at:at+size]) {
		t.Fatalf("segment %d %d+%d: %d bytes, wrong ones", n, from, size, rec.Body.Len())
	}
}

func TestArchivedMediaIsKeptOnce(t *testing.T) {
	v := newVault(t, blocks.Config{BlockBytes: 64 << 10, MaxAhead: -1}, 4)
	v.want(t, 2, "oxbow; fwd=miss", 0, vaultSegment)
	if n := v.store.total(); n != 1 {
		t.Errorf("%d readings", n)
	}
	objects, _ := v.cache.usage()
	if held, _ := v.blocks.Usage(); objects > 4<<10 || held < vaultSegment || held > vaultSegment+128<<10 {
		t.Errorf("%d bytes in the cache, %d in blocks", objects, held)
	}
	v.want(t, 2, "oxbow; hit", 0, vaultSegment)
	v.want(t, 2, "oxbow; hit", 70_000, 1000) // an I-frame
	v.want(t, 2, "oxbow; hit", 65_000, 100_000)
	o := v.cache.get(mediaKey(segment(2)))
	in, err := v.files.OpenRange(t.Context(), vaultFile, vaultSegment, vaultSegment) // a download's
	if err != nil {
		t.Fatal(err)
	}
	for i, chunk := range o.chunks {
		p, _, err := in.(*blocks.Reader).NextPiece(t.Context())
		if err != nil || &p.Data[0] != &chunk.Data[0] || len(p.Data) != len(chunk.Data) {
			t.Errorf("chunk %d of %d bytes is a copy: %v", i, len(chunk.Data), err)
		}
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if n, asked := v.store.total(), v.archive.total(); n != 1 || asked != 1 {
		t.Errorf("%d readings, %d requests", n, asked)
	}
}

func TestThousandViewersOfAnArchivedSegmentAreOneReading(t *testing.T) {
	v := newVault(t, blocks.Config{}, 4)
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			if i%3 == 0 {
				v.want(t, 2, "", 1000, 5000)
			} else {
				v.want(t, 2, "", 0, vaultSegment)
			}
		})
	}
	all.Wait()
	if n, asked := v.store.total(), v.archive.total(); n != 1 || asked != 1 {
		t.Errorf("%d readings, %d requests", n, asked)
	}
}

// The cache's object is worth nothing without the blocks: then it is a miss, and never other bytes.
func TestObjectWhoseBlocksAreGoneIsAMiss(t *testing.T) {
	v := newVault(t, blocks.Config{BlockBytes: 16 << 10, MaxBytes: 20 * 16 << 10, MaxAhead: -1}, 20)
	v.want(t, 1, "oxbow; fwd=miss", 0, vaultSegment)
	held := v.cache.get(mediaKey(segment(1))) // a slow viewer has it
	for n := 2; n <= 20; n++ {
		v.want(t, n, "oxbow; fwd=miss", 0, vaultSegment)
	}
	v.blocks.Drop(media.StreamPath{Publisher: "acme", Stream: "show"}, testRec)
	if !bytes.Equal(slab.Concat(held.chunks), v.media[:vaultSegment]) {
		t.Error("what a viewer has changed")
	}
	v.want(t, 1, "oxbow; hit", 0, vaultSegment) // it is there as long as somebody has it
	runtime.KeepAlive(held)
	eventually(t, "the blocks are collected", func() bool {
		runtime.GC()
		return v.cache.get(mediaKey(segment(1))) == nil
	})
	before := v.store.total()
	v.want(t, 1, "oxbow; fwd=miss", 0, vaultSegment)
	if n := v.store.total() - before; n == 0 {
		t.Error("not read again")
	}
	for n := 20; n > 0; n-- {
		v.want(t, n, "", 0, vaultSegment)
	}
}

// A viewer has a deadline for each write: blocks are larger than what one is for.
func TestSharedChunksAreNoLargerThanOthers(t *testing.T) {
	v := newVault(t, blocks.Config{}, 40)
	v.archive.set(func(w http.ResponseWriter, r *http.Request) {
		in, err := v.files.OpenRange(r.Context(), vaultFile, 1000, 7_000_000)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = in.Close() }()
		w.Header().Set("Cache-Control", immutable)
		_, _ = io.Copy(w, in)
	})
	for _, uri := range []string{segment(1), recBase + "/recording.mp4"} {
		rec := v.get(t, uri)
		if !bytes.Equal(rec.Body.Bytes(), v.media[1000:7_001_000]) {
			t.Errorf("%s: %d bytes, wrong ones", uri, rec.Body.Len())
		}
	}
	size := 0
	for _, chunk := range v.cache.get(mediaKey(segment(1))).chunks {
		if size += len(chunk.Data); len(chunk.Data) > maxChunk {
			t.Errorf("chunk of %d bytes", len(chunk.Data))
		}
	}
	if size != 7_000_000 {
		t.Errorf("%d bytes", size)
	}
	in := chunks{body: &guarded{ReadCloser: io.NopCloser(nil)}}
	in.rest = slab.Of(v.media[:maxChunk+10])
	for _, want := range []int{maxChunk, 10} {
		if p, err := in.next(); err != nil || len(p.Data) != want {
			t.Errorf("%d bytes, want %d: %v", len(p.Data), want, err)
		}
	}
}

// What follows a body that broke off is not read into the memory of who lent its first bytes.
func TestNothingIsReadIntoWhatOthersLent(t *testing.T) {
	lent := slab.New().Get(maxChunk)
	for i := range lent.Bytes() {
		lent.Bytes()[i] = 'x'
	}
	f := newFlight(mediaKey(segPath), slab.New(), func(error) {}, 0)
	f.begin(&object{status: http.StatusOK})
	var shared []slab.Weak
	f.give(slab.Piece{Buffer: lent, Data: lent.Bytes()[:100:100]}, slab.MakeWeak(lent, 0, 100, nil), &shared, false)
	f.commit(copy(f.space(10), "0123456789"), false)
	chunks, size := f.body()
	if size != 110 || string(slab.Concat(chunks)) != string(bytes.Repeat([]byte("x"), 100))+"0123456789" {
		t.Errorf("%d bytes: %.20q", size, slab.Concat(chunks))
	}
	if bytes.Contains(lent.Bytes(), []byte("0")) {
		t.Error("they were")
	}
}

func TestDeletedRecordingIsToldOf(t *testing.T) { synctest.Test(t, timelessDeletedRecordingIsToldOf) }

func timelessDeletedRecordingIsToldOf(t *testing.T) {
	var told []string
	w := newWorld(t, Config{OnGone: func(path media.StreamPath, id media.RecordingID) {
		told = append(told, path.String()+"/"+string(id))
	}})
	w.bury(media.StreamPath{Publisher: "acme", Stream: "show"}, testRec)
	if len(told) != 1 || told[0] != "acme/show/"+testRec {
		t.Error(told)
	}
}

// piecesOf writes a body in turns of pieces and bytes.
func piecesOf(body []byte, length int, abort bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", immutable)
		if length >= 0 {
			w.Header().Set("Content-Length", strconv.Itoa(length))
		}
		for at, turn := 0, 0; at < len(body); turn++ {
			n := min(777, len(body)-at)
			var err error
			if turn%3 == 1 {
				_, err = w.Write(body[at : at+n])
			} else {
				err = w.(slab.PieceWriter).WritePiece(slab.Of(body[at:at+n:at+n]), slab.Weak{})
			}
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			at += n
		}
		if abort {
			panic(http.ErrAbortHandler)
		}
	}
}

func TestBodiesOfPiecesAndBytes(t *testing.T) {
	body := bodyOf("mixed", 50_000)
	for _, c := range []struct {
		name   string
		length int
		abort  bool
		whole  bool
	}{
		{"of known length", len(body), false, true},
		{"of unknown length", -1, false, true},
		{"shorter than it said", len(body) + 1, false, false},
		{"longer than it said", len(body) - 1, false, false},
		{"cut off", -1, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			transport := &handlerTransport{handler: piecesOf(body, c.length, c.abort), logger: slog.New(slog.DiscardHandler)}
			for _, way := range []string{"read", "flight"} {
				req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://archive"+segPath, nil)
				resp, err := transport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				var got []byte
				if way == "read" {
					got, err = io.ReadAll(resp.Body)
				} else {
					f := newFlight(mediaKey(segPath), slab.New(), func(error) {}, 0)
					f.begin(&object{})
					_, err = pourAny(f, resp.Body, resp.ContentLength, 1<<20, true)
					chunks, _ := f.body()
					got = slab.Concat(chunks)
				}
				if whole := err == nil && bytes.Equal(got, body); whole != c.whole || !bytes.HasPrefix(body, got) {
					t.Errorf("%s: %d bytes: %v", way, len(got), err)
				}
				if err := resp.Body.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	t.Run("of which the reader leaves", func(t *testing.T) {
		done := make(chan error, 1)
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for {
				if err := w.(slab.PieceWriter).WritePiece(slab.Of(body), slab.Weak{}); err != nil {
					done <- err
					return
				}
			}
		})
		resp, err := (&handlerTransport{handler: h, logger: slog.New(slog.DiscardHandler)}).RoundTrip(
			httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://archive"+segPath, nil))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
	})
}

// BenchmarkArchivedHit is of a segment that lies in blocks, beside one that the cache has itself.
func BenchmarkArchivedHit(b *testing.B) {
	for _, way := range []string{"blocks", "own"} {
		b.Run(way, func(b *testing.B) {
			v := newVault(b, blocks.Config{}, 4)
			if way == "own" {
				v.archive.set(fixed(string(v.media[:vaultSegment]), immutable, "Content-Type", "video/mp4"))
			}
			wantStatus(b, v.get(b, segment(1)), http.StatusOK)
			req := httptest.NewRequest(http.MethodGet, segment(1), nil)
			d := &discard{header: make(http.Header)}
			b.SetBytes(vaultSegment)
			b.ReportAllocs()
			for b.Loop() {
				clear(d.header)
				v.ServeHTTP(d, req)
			}
			if d.n == 0 || v.archive.total() != 1 {
				b.Fatal("no hits")
			}
		})
	}
}

// BenchmarkArchivedMiss is a viewer's first request for each segment: of what the store's blocks have, and of a body
// that is copied.
func BenchmarkArchivedMiss(b *testing.B) {
	for _, way := range []string{"blocks", "own"} {
		b.Run(way, func(b *testing.B) {
			v := newVault(b, blocks.Config{}, 40)
			if way == "own" {
				v.archive.set(func(w http.ResponseWriter, r *http.Request) {
					v.serve(struct{ http.ResponseWriter }{w}, r)
				})
			}
			b.SetBytes(vaultSegment)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%40 == 0 {
					v.cache.drop(recBase, false)
				}
				d := &discard{header: make(http.Header)}
				v.ServeHTTP(d, httptest.NewRequest(http.MethodGet, segment(1+n%40), nil))
			}
		})
	}
}
