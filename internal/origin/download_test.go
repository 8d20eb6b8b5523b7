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

	"pgregory.net/rapid"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/progressive"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const downloadURL = testBase + "/recording.mp4"

// ended gives a studio whose show is over: the first part of the last segment came too, memory has it still.
func ended(t *testing.T) *studio {
	t.Helper()
	s := newStudio(t)
	s.live()
	s.end()
	return s
}

func TestDownloadIsTheSameFromMemoryStorageAndArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := ended(t)
		h, reg := s.handler(Config{})
		live := get(t, h, downloadURL, 200)
		if string(live.body[4:8]) != "ftyp" || !bytes.Contains(live.body, []byte("mdat")) {
			t.Fatalf("%q", live.body[:100])
		}
		// The payload of every listed part is there, in the order of decoding.
		for _, key := range []string{"1/video/1.0", "1/audio/3.1", "2/video/8.3"} {
			payload := s.bytes[key][104:]
			if !bytes.Contains(live.body, payload) {
				t.Errorf("part %s is not in the file", key)
			}
		}
		s.leave()
		stored := get(t, h, downloadURL, 200)
		s.setState(media.Archived)
		time.Sleep(time.Minute)
		archived := get(t, h, downloadURL, 200)
		for _, a := range []answer{stored, archived} {
			if a.Header.Get("Etag") != live.Header.Get("Etag") || !bytes.Equal(a.body, live.body) {
				t.Errorf("%s and %d bytes, want %s and %d", a.Header.Get("Etag"), len(a.body), live.Header.Get("Etag"), len(live.body))
			}
		}
		if got := live.Header.Get("Content-Disposition"); !strings.HasPrefix(got, `attachment; filename="acme_show_20`) ||
			!strings.HasSuffix(got, `.mp4"`) || live.Header.Get("Content-Type") != "video/mp4" {
			t.Errorf("%s, %v", got, live.Header)
		}
		// Ranges of what is known cost no other look at the samples.
		for range 5 {
			get(t, h, downloadURL, 206, "Range: bytes=0-9")
		}
		if n := metric(t, reg, "oxbow_origin_downloads_prepared_total"); n != 3 {
			t.Errorf("%v files prepared", n)
		}
	})
}

func TestDownloadsObeyConditionsAndRanges(t *testing.T) {
	s := ended(t)
	s.leave()
	h, _ := s.handler(Config{})
	whole := get(t, h, downloadURL, 200)
	size, etag := len(whole.body), whole.Header.Get("Etag")
	if head := ask(t, h, http.MethodHead, downloadURL); head.StatusCode != http.StatusOK || len(head.body) > 0 ||
		head.Header.Get("Content-Length") != fmt.Sprint(size) || head.Header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("HEAD: %v", head.Header)
	}
	get(t, h, downloadURL, 304, "If-None-Match: "+etag)
	get(t, h, downloadURL, 304, `If-None-Match: "x", W/`+etag)
	get(t, h, downloadURL, 200, `If-None-Match: "x"`)
	for _, tt := range []struct {
		fields   []string
		status   int
		from, to int
	}{
		{[]string{"Range: bytes=0-0"}, 206, 0, 1},
		{[]string{"Range: bytes=-7"}, 206, size - 7, size},
		{[]string{fmt.Sprintf("Range: bytes=%d-", size-3)}, 206, size - 3, size},
		{[]string{"Range: bytes=5-99999999"}, 206, 5, size},
		{[]string{"Range: bytes=5-9", "If-Range: " + etag}, 206, 5, 10},
		{[]string{"Range: bytes=5-9", `If-Range: "old"`}, 200, 0, size},
		{[]string{"Range: bytes=5-9", "If-Range: W/" + etag}, 200, 0, size},
		{[]string{"Range: bytes=0-1,5-9"}, 200, 0, size},
		{[]string{"Range: lines=0-1"}, 200, 0, size},
	} {
		a := get(t, h, downloadURL, tt.status, tt.fields...)
		if !bytes.Equal(a.body, whole.body[tt.from:tt.to]) {
			t.Errorf("%v: %d bytes", tt.fields, len(a.body))
		}
		if want := fmt.Sprintf("bytes %d-%d/%d", tt.from, tt.to-1, size); tt.status == 206 && a.Header.Get("Content-Range") != want {
			t.Errorf("%v: %s", tt.fields, a.Header.Get("Content-Range"))
		}
	}
	a := get(t, h, downloadURL, 416, fmt.Sprintf("Range: bytes=%d-", size))
	if a.Header.Get("Content-Range") != fmt.Sprintf("bytes */%d", size) {
		t.Error(a.Header)
	}
	rapid.Check(t, func(r *rapid.T) {
		from := rapid.IntRange(0, size-1).Draw(r, "from")
		to := rapid.IntRange(from, size-1).Draw(r, "to")
		a := get(t, h, downloadURL, 206, fmt.Sprintf("Range: bytes=%d-%d", from, to))
		if !bytes.Equal(a.body, whole.body[from:to+1]) {
			r.Fatalf("%d to %d: other bytes", from, to)
		}
	})
}

func TestDownloadsOverARealConnection(t *testing.T) {
	s := ended(t)
	s.leave()
	h, _ := s.handler(Config{})
	whole := get(t, h, downloadURL, 200)
	server := httptest.NewServer(h)
	defer server.Close()
	for range 3 { // on one connection: no deadline of one answer is left for the next
		resp, err := server.Client().Get(server.URL + downloadURL)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !bytes.Equal(body, whole.body) {
			t.Errorf("%d bytes, %v", len(body), err)
		}
	}
}

func TestDownloadsOfWhatGrows(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	for query, text := range map[string]string{
		"": "still growing", "?start=3": "still growing", "?end=-1s": "still growing", "?start=0&end=17": "not recorded yet",
	} {
		a := get(t, h, downloadURL+query, http.StatusConflict)
		if !strings.Contains(string(a.body), text) || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %q %v", query, a.body, a.Header)
		}
	}
	piece := get(t, h, downloadURL+"?start=2&end=6", 200)
	for query, text := range map[string]string{
		"?start=x": "neither a time", "?start=5&end=3": "end is not after start", "?end=1h": "ahead of the live edge",
	} {
		if a := get(t, h, downloadURL+query, http.StatusBadRequest); !strings.Contains(string(a.body), text) {
			t.Errorf("%s: %q", query, a.body)
		}
	}
	s.end()
	s.leave()
	again := get(t, h, downloadURL+"?start=2s&end=2026-11-18T11:06:46Z", 200)
	if again.Header.Get("Etag") != piece.Header.Get("Etag") || !bytes.Equal(again.body, piece.body) {
		t.Error("a piece is another file when the recording has ended")
	}
	if name := again.Header.Get("Content-Disposition"); !strings.Contains(name, `"acme_show_2026-11-18_11-06-42_clip.mp4"`) {
		t.Error(name)
	}
}

func TestDownloadsThatAreNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := ended(t)
		s.leave()
		var gone atomic.Bool
		h, _ := s.handler(Config{MaxDownloads: 1, Gone: func(context.Context, media.StreamPath, media.RecordingID) (bool, error) {
			return gone.Load(), nil
		}})
		get(t, h, "/acme/show/"+string(otherID)+"/recording.mp4", 404)
		want := get(t, h, downloadURL, 200)
		h.downloads.slots <- struct{}{}
		if a := get(t, h, downloadURL, 503); a.Header.Get("Etag") != "" || a.Header.Get("Content-Disposition") != "" {
			t.Errorf("busy: %v", a.Header)
		}
		<-h.downloads.slots
		// Storage that fails is the answer, for as long as nothing was sent.
		files := &countingFiles{Files: s.root.Files()}
		h.downloads.copier = progressive.NewCopier(files)
		files.setFail(fmt.Errorf("store: %w", media.ErrUnavailable))
		a := get(t, h, downloadURL, 503, fmt.Sprintf("Range: bytes=%d-", len(want.body)-10))
		if a.Header.Get("Etag") != "" || a.Header.Get("Content-Range") != "" || a.Header.Get("Retry-After") == "" {
			t.Errorf("%v", a.Header)
		}
		gone.Store(true)
		time.Sleep(3 * time.Second)
		get(t, h, downloadURL, http.StatusGone)
	})
}

// storeFiles are as an object store's: a range has no seek, and counts.
type storeFiles struct {
	reclog.Files
	read atomic.Int64
}

type storeRange struct {
	io.ReadCloser
	s *storeFiles
}

func (f *storeFiles) OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error) {
	in, err := f.Files.OpenRange(ctx, name, offset, size)
	return &storeRange{in, f}, err
}

func (r *storeRange) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.s.read.Add(int64(n))
	return n, err
}

func TestStoredSampleTablesSpareTheMedia(t *testing.T) {
	s := ended(t)
	s.leave()
	h, _ := s.handler(Config{})
	want := get(t, h, downloadURL, 200)
	rec, err := reclog.Load(t.Context(), s.root.Files(), testPath, testID)
	s.must(err)
	dir := filepath.Dir(strings.TrimPrefix(reclog.ManifestName(testPath, testID), "/"))
	store := &storeFiles{Files: s.root.Files()}
	newHandler := func() *Handler {
		h, _ := s.handler(Config{})
		h.files, h.downloads.copier = store, progressive.NewCopier(store)
		store.read.Store(0)
		return h
	}
	h = newHandler()
	get(t, h, downloadURL, 206, "Range: bytes=0-9")
	scanned := store.read.Load()
	for _, take := range rec.Takes {
		for i, track := range take.Tracks {
			table, err := progressive.Scan(t.Context(), s.root.Files(), reclog.TrackName(testPath, testID, take.Number, track.Name),
				take.Number, rec.Tracks[i].Segments)
			s.must(err)
			name := progressive.SamplesName(testPath, testID, take.Number, track.Name)
			s.must(os.WriteFile(filepath.Join(s.dir, filepath.FromSlash(name)), table.Object(), 0o600))
		}
	}
	h = newHandler()
	got := get(t, h, downloadURL, 200)
	if got.Header.Get("Etag") != want.Header.Get("Etag") || !bytes.Equal(got.body, want.body) {
		t.Errorf("another file by the tables of %s", dir)
	}
	if read := store.read.Load(); read > int64(len(got.body))*11/10+8000 || scanned < int64(len(got.body))*9/10 {
		t.Errorf("%d bytes read for %d; without tables %d before the first", read, len(got.body), scanned)
	}
	// One that is damaged is not believed.
	name := filepath.Join(s.dir, filepath.FromSlash(progressive.SamplesName(testPath, testID, 1, "video")))
	data, err := os.ReadFile(name)
	s.must(err)
	data[len(data)/2] ^= 1
	s.must(os.WriteFile(name, data, 0o600))
	if got := get(t, newHandler(), downloadURL, 200); !bytes.Equal(got.body, want.body) {
		t.Error("another file by a damaged table")
	}
}
