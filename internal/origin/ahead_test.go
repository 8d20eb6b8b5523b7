package origin

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// farFiles are in a store: whatever is asked of it takes a round trip.
type farFiles struct {
	reclog.Files
	mu    sync.Mutex
	trip  time.Duration
	slow  string // a name that takes ten times as long
	under int    // way
	most  int
	reads map[string]int
}

func (f *farFiles) travel(ctx context.Context, name string) error {
	f.mu.Lock()
	f.under++
	f.most = max(f.most, f.under)
	f.reads[name]++
	trip := f.trip
	if name == f.slow {
		trip *= 10
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.under--
		f.mu.Unlock()
	}()
	select {
	case <-time.After(trip):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *farFiles) ReadFile(ctx context.Context, name string) ([]byte, error) {
	if err := f.travel(ctx, name); err != nil {
		return nil, err
	}
	return f.Files.ReadFile(ctx, name)
}

func (f *farFiles) OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error) {
	if err := f.travel(ctx, name); err != nil {
		return nil, err
	}
	return f.Files.OpenRange(ctx, name, offset, size)
}

func (f *farFiles) ReadChanged(ctx context.Context, name, tag string) ([]byte, string, bool, error) {
	if err := f.travel(ctx, name); err != nil {
		return nil, "", false, err
	}
	data, err := f.Files.ReadFile(ctx, name)
	return data, string(data), err != nil || string(data) != tag, err
}

// farArchive is a handler over an archived recording of so many takes.
func farArchive(t *testing.T, takes int) (*Handler, *farFiles, map[string][]byte) {
	t.Helper()
	s := newStudio(t)
	s.live()
	for range takes - 2 { // live makes two
		s.interrupt()
		s.startTake()
		s.segments(2)
	}
	s.end()
	s.setState(media.Archived)
	files := &farFiles{Files: s.root.Files(), reads: make(map[string]int)}
	return New(Config{}, files, nil, s.root.Latest, h0(s).logger, nil), files, s.everything()
}

// A recording's files are read side by side: of many takes in about the time of few, each once, and few at a time.
func TestStoreThatIsFarIsReadSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, files, want := farArchive(t, 12)
		files.trip = 2 * time.Second
		begun := time.Now()
		get(t, h, testBase+"/video.m3u8", 200)
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
		if files.most > readAhead {
			t.Errorf("%d readings at a time, want %d at most", files.most, readAhead)
		}
		if len(files.reads) < 20 {
			t.Errorf("only %d files were read", len(files.reads))
		}
		for name, n := range files.reads {
			if n != 1 {
				t.Errorf("%s was read %d times", name, n)
			}
		}
		files.trip = 0
		for path, body := range want {
			if a := get(t, h, path, 200); !bytes.Equal(a.body, body) {
				t.Errorf("%s: %d bytes, want %d", path, len(a.body), len(body))
			}
		}
	})
}

// One file of a store that does not come in time is its request's trouble, and nobody else's.
func TestStoreThatIsLateOnceIsGivenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, files, _ := farArchive(t, 2)
		files.trip, files.slow = 2*time.Second, reclog.IndexName(testPath, testID, 1, "video")
		late := start(t, h, testBase+"/video.m3u8")
		time.Sleep(7 * time.Second)
		late.answered(t, "a file is late", http.StatusServiceUnavailable, "503")
		if n := h.readings.late.Load(); n != 1 {
			t.Errorf("%d readings are late", n)
		}
		if _, err := h.readFile(t.Context(), reclog.ManifestName(testPath, testID)); err != nil {
			t.Errorf("another file: %v", err)
		}
		time.Sleep(30 * time.Second) // for the late one's end
	})
}
