package origin

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/blocks"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// throughBlocks runs the package's tests with blocks between handler and storage, as an edge has them.
var throughBlocks = flag.Bool("blocks", false, "read storage through internal/blocks")

// versioned is the studio's storage as an archive that tells versions, and counts how often it is read.
type versioned struct {
	reclog.Files
	dir *objstore.Dir

	mu   sync.Mutex
	read map[string]int
}

func (v *versioned) OpenVersion(
	ctx context.Context, name string, offset, size int64,
) (io.ReadCloser, string, int64, error) {
	if size > 0 {
		v.mu.Lock()
		v.read[name]++
		v.mu.Unlock()
	}
	return v.dir.OpenVersion(ctx, name, offset, size)
}

// archive gives the studio's storage through blocks.
func (s *studio) archive(cfg blocks.Config) (blocks.Storage, *versioned) {
	s.tb.Helper()
	dir, err := objstore.OpenDir(s.dir)
	s.must(err)
	cache := blocks.New(cfg, prometheus.NewRegistry())
	s.tb.Cleanup(func() { s.must(errors.Join(cache.Close(), dir.Close())) })
	v := &versioned{Files: s.root.Files(), dir: dir, read: make(map[string]int)}
	return cache.Storage("default", v), v
}

// files gives the storage that tests read.
func (s *studio) files() reclog.Files {
	if !*throughBlocks {
		return s.root.Files()
	}
	files, _ := s.archive(blocks.Config{Believe: time.Nanosecond}) // these grow
	return files
}

func TestArchiveThroughBlocksIsTheSame(t *testing.T) {
	for _, block := range []int{300, 4096, 1 << 20} {
		t.Run(fmt.Sprint(block), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStudio(t)
				s.live()
				s.end()
				s.leave()
				s.setState(media.Archived)
				files, store := s.archive(blocks.Config{BlockBytes: block})
				through := New(Config{}, files, s, s.root.Latest, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
				directly := New(Config{}, s.root.Files(), s, s.root.Latest, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
				compare := func(path string, status int, extra ...string) {
					t.Helper()
					want, got := get(t, directly, testBase+path, status, extra...), get(t, through, testBase+path, status, extra...)
					if !bytes.Equal(want.body, got.body) || want.Header.Get("Etag") != got.Header.Get("Etag") {
						t.Errorf("%s %v: %d bytes, want %d", path, extra, len(got.body), len(want.body))
					}
				}
				for msn := 1; msn <= 8; msn++ {
					take := 1
					if msn > 5 {
						take = 2
					}
					for _, track := range []string{"video", "audio"} {
						compare(fmt.Sprintf("/%d/%s/%d.m4s", take, track, msn), 200)
						compare(fmt.Sprintf("/%d/%s/%d.m4s", take, track, msn), 206, "Range: bytes=100-299") // an I-frame
						compare(fmt.Sprintf("/%d/%s/%d.m4s", take, track, msn), 206, "Range: bytes=-7")
						compare(fmt.Sprintf("/%d/%s/%d.1.m4s", take, track, msn), 200)
						compare(fmt.Sprintf("/%d/%s/init.mp4", take, track), 200)
					}
				}
				compare("/video.m3u8", 200)
				compare("/recording.mp4", 200)
				compare("/recording.mp4", 206, "Range: bytes=1000-4999")
				compare("/recording.mp4?start=1&end=7", 200)
				compare("/1/video/99.m4s", 404)
				if block < 1<<20 {
					return
				}
				for name, n := range store.read {
					if n != 1 {
						t.Errorf("%s was read %d times for segments, I-frames and downloads", name, n)
					}
				}
				if len(store.read) != 4 {
					t.Errorf("files read: %v", store.read)
				}
			})
		})
	}
}

// taker takes pieces by reference, and refuses bytes of media.
type taker struct {
	*httptest.ResponseRecorder
	pieces []slab.Piece
	again  []slab.Weak
}

func (w *taker) WritePiece(p slab.Piece, again slab.Weak) error {
	w.pieces, w.again = append(w.pieces, p), append(w.again, again)
	return nil
}

func TestMediaGoesOutByReference(t *testing.T) {
	s := newStudio(t)
	s.live()
	s.end()
	s.leave()
	s.setState(media.Archived)
	files, _ := s.archive(blocks.Config{})
	h := New(Config{}, files, s, s.root.Latest, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	for _, path := range []string{"/1/video/2.m4s", "/recording.mp4"} {
		want := get(t, h, testBase+path, 200)
		w := &taker{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, testBase+path, nil))
		sent := append(w.Body.Bytes(), slab.Concat(w.pieces)...)
		if !bytes.Equal(sent, want.body) || strings.HasSuffix(path, ".m4s") && w.Body.Len() > 0 || len(w.pieces) == 0 {
			t.Errorf("%s: %d bytes copied, %d in %d pieces, want %d", path, w.Body.Len(), len(sent)-w.Body.Len(), len(w.pieces),
				len(want.body))
		}
		for i, again := range w.again {
			if p, ok := again.Piece(); !ok || &p.Data[0] != &w.pieces[i].Data[0] {
				t.Errorf("%s: piece %d is not found again", path, i)
			}
		}
	}
}
