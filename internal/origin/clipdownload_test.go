package origin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/progressive"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const clipURL = "/acme/show/" + string(clipID) + "/recording.mp4"

// clipped gives a studio with a clip of its show, which is over.
func clipped(t *testing.T) *studio {
	t.Helper()
	s := ended(t)
	s.leave()
	s.cut()
	return s
}

func TestAClipIsDownloadedWithItsSourceAndWithout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clipped(t)
		h, _ := s.handler(Config{})
		urls := []string{clipURL, clipURL + "?start=1&end=3", clipURL + "?start=5", clipURL + "?end=2"}
		before := make(map[string]answer)
		for _, url := range urls {
			before[url] = get(t, h, url, 200)
		}
		// The media is what its source's file has of the same time, but for the sound right before it.
		for url, of := range map[string]string{
			clipURL: "start=2&end=16", urls[1]: "start=3&end=5", urls[2]: "start=7&end=16", urls[3]: "start=2&end=4",
		} {
			want := get(t, h, downloadURL+"?"+of, 200).body
			_, want, _ = bytes.Cut(want, []byte("mdat"))
			if _, got, _ := bytes.Cut(before[url].body, []byte("mdat")); !bytes.HasSuffix(want, got) ||
				len(got) < len(want)-len(s.bytes["1/audio/1.3"]) {
				t.Errorf("%s: %d bytes of media, its source has %d", url, len(got), len(want))
			}
		}
		if name := before[clipURL].Header.Get("Content-Disposition"); !strings.Contains(name, `"acme_show_2026-11-18_11-06-42.mp4"`) {
			t.Error(name)
		}
		same := func(when string) {
			t.Helper()
			for _, url := range urls {
				a := get(t, h, url, 200, `If-None-Match: "x"`)
				if !bytes.Equal(a.body, before[url].body) || a.Header.Get("Etag") != before[url].Header.Get("Etag") {
					t.Errorf("%s: %s is another file, %s", when, url, a.Header.Get("Etag"))
				}
			}
		}
		s.must(s.root.OwnMedia(t.Context(), testPath, clipID))
		s.must(s.root.Remove(t.Context(), testPath, testID))
		same("while its source is believed there")
		time.Sleep(time.Minute)
		same("later")
		h, _ = s.handler(Config{})
		same("in another process")
	})
}

func TestAClipsDownloadGoesByTheTableOfItsSource(t *testing.T) {
	s := clipped(t)
	h, _ := s.handler(Config{})
	want := get(t, h, clipURL, 200)
	rec, err := reclog.Load(t.Context(), s.root.Files(), testPath, testID)
	s.must(err)
	for _, take := range rec.Takes {
		for i, track := range take.Tracks {
			table, err := progressive.Scan(t.Context(), s.root.Files(), rec.TrackName(take.Number, track.Name), take.Number,
				rec.Tracks[i].Segments)
			s.must(err)
			name := progressive.SamplesName(testPath, testID, take.Number, track.Name)
			s.must(os.WriteFile(filepath.Join(s.dir, filepath.FromSlash(name)), table.Object(), 0o600))
		}
	}
	h, _ = s.handler(Config{})
	store := &storeFiles{Files: s.root.Files()}
	h.files, h.downloads.copier = store, progressive.NewCopier(store)
	got := get(t, h, clipURL, 200)
	if got.Header.Get("Etag") != want.Header.Get("Etag") || !bytes.Equal(got.body, want.body) {
		t.Error("another file by the tables")
	}
	if read := store.read.Load(); read > int64(len(got.body))*11/10+8000 {
		t.Errorf("%d bytes read for %d", read, len(got.body))
	}
}

// breakingFiles calls a function after so many openings of ranges.
type breakingFiles struct {
	reclog.Files
	left   atomic.Int64
	broken func()
}

func (f *breakingFiles) OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error) {
	if f.left.Add(-1) == 0 {
		f.broken()
	}
	in, err := f.Files.OpenRange(ctx, name, offset, min(size, 3000))
	if err != nil {
		return nil, err
	}
	return struct{ io.ReadCloser }{in}, nil
}

func TestAClipsDownloadOutlivesItsSource(t *testing.T) {
	for after := range int64(12) {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			s := clipped(t)
			h, _ := s.handler(Config{})
			want := get(t, h, clipURL, 200)
			store := &breakingFiles{Files: s.root.Files(), broken: func() {
				s.must(s.root.OwnMedia(t.Context(), testPath, clipID))
				s.must(s.root.Remove(t.Context(), testPath, testID))
			}}
			store.left.Store(after + 1)
			h.downloads.copier = progressive.NewCopier(store)
			got := get(t, h, clipURL, 200)
			if !bytes.Equal(got.body, want.body) {
				t.Errorf("%d bytes of %d, or others", len(got.body), len(want.body))
			}
			if store.left.Load() > 0 {
				t.Fatal("its source did not go meanwhile")
			}
		})
	}
}

func TestWhatIsSentIsBounded(t *testing.T) {
	s := clipped(t)
	h, _ := s.handler(Config{})
	h.downloads.sent.limit = 1
	get(t, h, clipURL, 200) // alone it has room always
	rec, v := s.lookup(h, testID)
	other, err := h.build(t.Context(), rec, v, progressive.Cut{})
	s.must(err)
	for range 2 {
		if !h.downloads.sent.add(other) {
			t.Fatal("no room for the first")
		}
	}
	if a := get(t, h, clipURL, 503); a.Header.Get("Retry-After") == "" || a.Header.Get("Etag") != "" {
		t.Error(a.Header)
	}
	h.downloads.sent.remove(other)
	get(t, h, clipURL, 503)
	h.downloads.sent.remove(other)
	get(t, h, clipURL, 200)
	if h.downloads.sent.mu.bytes != 0 || len(h.downloads.sent.mu.senders) != 0 {
		t.Errorf("%d bytes are left", h.downloads.sent.mu.bytes)
	}
}

func (s *studio) lookup(h *Handler, id media.RecordingID) (*recording, *version) {
	s.tb.Helper()
	rec, err := h.find(s.tb.Context(), ref{path: testPath, id: id})
	s.must(err)
	v, _ := rec.now()
	return rec, v
}

func TestFilesOfAShowThatGrowsAreMadeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		h, reg := s.handler(Config{})
		first := get(t, h, downloadURL+"?start=2&end=6", 200)
		for range 20 {
			s.part()
			s.publish()
			get(t, h, downloadURL+"?start=2&end=6", 206, "Range: bytes=0-9", "If-Range: "+first.Header.Get("Etag"))
		}
		if n := metric(t, reg, "oxbow_origin_downloads_prepared_total"); n != 1 {
			t.Errorf("%v files prepared", n)
		}
	})
}

// Clients that ask for ever other cuts of what is slow to read, and leave, pile nothing up.
func TestFilesThatWaitToBeMadeAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := clipped(t)
		files := &hangingFiles{Files: s.root.Files()}
		h, _ := s.handler(Config{})
		get(t, h, testBase+"/index.m3u8", 200)
		h.files = files
		files.hang()
		for i := range 2 * maxWaitingBuilds {
			ctx, leave := context.WithCancel(t.Context())
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s?start=%d.%03d", downloadURL, i%10, i), nil)
			done := make(chan int)
			go func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				done <- w.Code
			}()
			synctest.Wait()
			leave()
			if code := <-done; i >= maxWaitingBuilds && code != http.StatusServiceUnavailable {
				t.Fatalf("request %d: %d", i, code)
			}
		}
		if n := h.downloads.files.mu.flights; n != maxWaitingBuilds {
			t.Errorf("%d wait", n)
		}
		files.goOn()
		synctest.Wait()
		time.Sleep(time.Minute)
		get(t, h, downloadURL, 200)
		if n := h.downloads.files.mu.flights; n != 0 {
			t.Errorf("%d are left", n)
		}
	})
}
