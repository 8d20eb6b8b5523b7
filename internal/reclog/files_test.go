package reclog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/oxbow-video/oxbow/internal/media"
)

// TestMain has gaps wait for what a slow machine has not written yet: only in a bubble is that too long.
func TestMain(m *testing.M) {
	gapWait = 10 * time.Minute
	goleak.VerifyTestMain(m)
}

// dirOf makes a root with one file of a recording.
func dirOf(t *testing.T, data []byte) (root *Root, name, path string) {
	t.Helper()
	dir := t.TempDir()
	name = TrackName(testPath(), testID, 1, "video")
	path = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return openDir(t, dir), name, path
}

func TestRangeReadsAsTheFileDoes(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 30_000)
	root, name, _ := dirOf(t, data)
	for _, size := range []int64{250_000, 20_000, 250_000} { // opened, then from the idle ones
		r, err := root.Files().OpenRange(context.Background(), name, 7, size)
		if err != nil {
			t.Fatal(err)
		}
		want := data[7 : 7+size]
		if size <= 20_000 { // it reads byte by byte
			if err := iotest.TestReader(r, want); err != nil {
				t.Error(err)
			}
		} else if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err == nil {
			t.Error("closed twice")
		}
	}
	if got := mustRange(t, root.Files(), name, int64(len(data)), 0); len(got) != 0 {
		t.Errorf("%d bytes at the end", len(got))
	}
}

func TestRangeIsServedOverHTTP(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	root, name, _ := dirOf(t, data)
	var written int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r, err := root.Files().OpenRange(req.Context(), name, 5, 900_000)
		if err != nil {
			t.Error(err)
			return
		}
		if req.URL.Path == "/ranges" {
			http.ServeContent(w, req, "x.mp4", testStart(), r.(*Range))
		} else {
			written, err = io.Copy(w, r)
		}
		if err := errors.Join(err, r.Close()); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	defer server.Client().CloseIdleConnections()
	get := func(path, span string) []byte {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if span != "" {
			req.Header.Set("Range", span)
		}
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return body
	}
	for range 2 {
		if !bytes.Equal(get("/", ""), data[5:900_005]) || written != 900_000 {
			t.Errorf("other bytes, %d written", written)
		}
	}
	if !bytes.Equal(get("/ranges", "bytes=10-19"), data[15:25]) {
		t.Error("other bytes of a range")
	}
}

func TestRangeSeesAFileGrow(t *testing.T) {
	root, name, path := dirOf(t, []byte("0123"))
	if got := mustRange(t, root.Files(), name, 0, 4); string(got) != "0123" {
		t.Errorf("%s", got)
	}
	if _, err := readRange(root.Files(), name, 2, 4); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("past the end: %v", err)
	}
	if err := os.WriteFile(path, []byte("01234567"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := mustRange(t, root.Files(), name, 2, 4); string(got) != "2345" {
		t.Errorf("%s", got)
	}
}

func TestRangeIsNeverSilentlyShort(t *testing.T) {
	root, name, path := dirOf(t, []byte("0123456789"))
	for _, read := range []func(r *Range) error{
		func(r *Range) error { _, err := io.ReadAll(r); return err },
		func(r *Range) error { _, err := r.WriteTo(io.Discard); return err },
		func(r *Range) error { _, err := r.WriteTo(struct{ io.Writer }{io.Discard}); return err },
		func(r *Range) error { _, err := r.ReadAt(make([]byte, 10), 0); return err },
	} {
		if err := os.WriteFile(path, []byte("0123456789"), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := root.Open(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 5); err != nil {
			t.Fatal(err)
		}
		if err := read(r); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut under the reader: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestFilesRefuse(t *testing.T) {
	root, name, _ := dirOf(t, []byte("0123456789"))
	ctx := context.Background()
	for _, bad := range []string{"", ".", "/etc/passwd", "../x", "a/../../x", "a//b", "a/."} {
		if _, err := root.Files().ReadFile(ctx, bad); !errors.Is(err, media.ErrBadName) {
			t.Errorf("read %q: %v", bad, err)
		}
		if _, err := root.Files().OpenRange(ctx, bad, 0, 0); !errors.Is(err, media.ErrBadName) {
			t.Errorf("open %q: %v", bad, err)
		}
	}
	for _, none := range []string{"acme/none", name + "/below", strings.TrimSuffix(name, "/1/video.mp4")} {
		if _, err := root.Files().ReadFile(ctx, none); !errors.Is(err, media.ErrNotFound) {
			t.Errorf("read %q: %v", none, err)
		}
		if _, err := root.Files().OpenRange(ctx, none, 0, 0); !errors.Is(err, media.ErrNotFound) {
			t.Errorf("open %q: %v", none, err)
		}
	}
	for _, span := range [][2]int64{{-1, 1}, {1, -1}, {1 << 62, 1 << 62}} {
		if _, err := root.Files().OpenRange(ctx, name, span[0], span[1]); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("range %v: %v", span, err)
		}
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := root.Files().OpenRange(canceled, name, 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if _, err := readFile(osFS{}, filepath.Join(root.dir, name), 9); !errors.Is(err, media.ErrTooLarge) {
		t.Errorf("past the limit: %v", err)
	}
}

// countedFile counts how often it is closed.
type countedFile struct {
	file
	closed *atomic.Int32
}

func (f countedFile) Close() error { f.closed.Add(1); return nil }

func TestIdleFilesAreFewAndShortLived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIdleFiles(2)
		var closed atomic.Int32
		put := func(path string) {
			if err := p.put(path, countedFile{closed: &closed}); err != nil {
				t.Error(err)
			}
		}
		put("a")
		put("b")
		put("c") // the third drives out the first
		if p.take("a") != nil || closed.Load() != 1 {
			t.Errorf("closed %d", closed.Load())
		}
		if p.take("b") == nil || p.take("b") != nil {
			t.Error("a file belongs to one reader")
		}
		put("dir/b")
		p.forget("dir/")
		if p.take("dir/b") != nil || closed.Load() != 2 {
			t.Errorf("closed %d", closed.Load())
		}
		waitUntilIdle(t, p)
		if closed.Load() != 3 {
			t.Errorf("closed %d in the end", closed.Load())
		}
		put("d")
		if err := p.close(); err != nil || closed.Load() != 4 {
			t.Errorf("closed %d %v", closed.Load(), err)
		}
		put("e")
		if closed.Load() != 5 {
			t.Errorf("closed %d after the end", closed.Load())
		}
	})
}

// waitUntilIdle lets the bubble's clock run until the pool has dropped all.
func waitUntilIdle(t *testing.T, p *idleFiles) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*idleFor)
	defer cancel()
	<-ctx.Done()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.files) > 0 || p.mu.timer != nil {
		t.Errorf("%d files are left", len(p.mu.files))
	}
}

// vanishing is a storage from which another process removes the recording once its manifest was read.
type vanishing struct {
	Files
	remove func()
}

func (v vanishing) ReadFile(ctx context.Context, name string) ([]byte, error) {
	data, err := v.Files.ReadFile(ctx, name)
	if strings.HasSuffix(name, manifestFile) {
		v.remove()
	}
	return data, err
}

// A recording that is removed while it is read is gone, not damaged: its readers turn to the archive.
func TestLoadOfARecordingThatIsBeingRemoved(t *testing.T) {
	s := finished(t)
	files := testFiles(t, s.fsys)
	removed := false
	_, err := Load(t.Context(), vanishing{files, func() {
		if removed {
			return
		}
		removed = true
		if err := s.root.Remove(t.Context(), testPath(), testID); err != nil {
			t.Fatal(err)
		}
	}}, testPath(), testID)
	if !errors.Is(err, media.ErrNotFound) || !removed {
		t.Errorf("load: %v", err)
	}
}
