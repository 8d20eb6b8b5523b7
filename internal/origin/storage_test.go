package origin

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// hangingFiles are on a volume that can stall: every call then waits until it goes on, whatever its context says.
type hangingFiles struct {
	reclog.Files
	mu    sync.Mutex
	going chan struct{}
	calls int // under way
	most  int
}

func (f *hangingFiles) hang() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.going = make(chan struct{})
}

func (f *hangingFiles) goOn() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.going != nil {
		close(f.going)
		f.going = nil
	}
}

func (f *hangingFiles) wait() {
	f.mu.Lock()
	going := f.going
	f.calls++
	f.most = max(f.most, f.calls)
	f.mu.Unlock()
	if going != nil {
		<-going
	}
	f.mu.Lock()
	f.calls--
	f.mu.Unlock()
}

func (f *hangingFiles) ReadFile(ctx context.Context, name string) ([]byte, error) {
	f.wait()
	return f.Files.ReadFile(ctx, name)
}

func (f *hangingFiles) OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error) {
	f.wait()
	return f.Files.OpenRange(ctx, name, offset, size)
}

// What only storage has is asked for by thousands while it hangs: each of them is answered, few goroutines hang, and the
// live edge does not notice.
func TestHangingStorageHoldsUpNoRequestAndNoLiveEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		h, reg := s.handler(Config{})
		files := &hangingFiles{Files: s.root.Files()}
		h.files = files
		get(t, h, testBase+"/2/video/init.mp4", 200) // a viewer is here already
		s.mu.Lock()
		for i := range 2 { // of the segments memory has the newest only
			for _, name := range s.names {
				delete(s.mu.memory, partKey(1, name, media.MSN(i+1), 0))
			}
		}
		s.mu.Unlock()
		before := runtime.NumGoroutine()
		files.hang()
		defer files.goOn()
		const asked = 1500
		held := make([]*pending, 0, 3*asked)
		for i := range asked {
			other := otherID[:22] + media.RecordingID([]byte{
				"0123456789abcdefghjkmnpqrstvwxyz"[i>>10&31], "0123456789abcdefghjkmnpqrstvwxyz"[i>>5&31],
				"0123456789abcdefghjkmnpqrstvwxyz"[i&31], 'b',
			})
			held = append(held, start(t, h, "/acme/show/"+string(other)+"/video.m3u8"),
				start(t, h, testBase+"/1/video/1.m4s"), start(t, h, testBase+"/1/video/2.0.m4s"))
		}
		synctest.Wait()
		begun := time.Now()
		get(t, h, sliding, 200)
		get(t, h, "/acme/show/index.m3u8", 200)
		get(t, h, testBase+"/2/video/init.mp4", 200)
		get(t, h, testBase+"/2/video/9.1.m4s", 200)
		next := start(t, h, sliding+"?_HLS_msn=9&_HLS_part=2")
		s.part()
		s.publish()
		next.answered(t, "the next part", 200, "9.2.m4s")
		if took := time.Since(begun); took != 0 {
			t.Errorf("the live edge waited %v", took)
		}
		if files.most > maxReadings {
			t.Errorf("%d readings at a time, want %d at most", files.most, maxReadings)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		for _, r := range held {
			r.answered(t, "while storage hangs", http.StatusServiceUnavailable, "503")
		}
		if n := metric(t, reg, "oxbow_origin_late_readings"); n != maxReadings {
			t.Errorf("%f readings are late", n)
		}
		if n := runtime.NumGoroutine() - before; n > maxReadings+8 {
			t.Errorf("%d goroutines are left", n)
		}
		begun = time.Now()
		get(t, h, testBase+"/1/video/1.m4s", http.StatusServiceUnavailable)
		if took := time.Since(begun); took > lateWait {
			t.Errorf("a request waited %v for storage that is known to hang", took)
		}
		files.goOn()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		get(t, h, testBase+"/1/video/1.m4s", 200)
		get(t, h, testBase+"/1/video/2.0.m4s", 200)
		if n := metric(t, reg, "oxbow_origin_late_readings"); n != 0 {
			t.Errorf("%f readings are late after all", n)
		}
		if n := len(h.readings.slots) + len(h.readings.copies); n != 0 {
			t.Errorf("%d places are not given back", n)
		}
	})
}

// A recording that is known is served from memory while storage hangs.
func TestHangingStorageKeepsWhatWasReadOfARecording(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		s.end()
		s.leave()
		h, _ := s.handler(Config{})
		files := &hangingFiles{Files: s.root.Files()}
		h.files = files
		want := get(t, h, testBase+"/video.m3u8", 200)
		files.hang()
		time.Sleep(3 * time.Second)
		for range 5 {
			begun := time.Now()
			if got := get(t, h, testBase+"/video.m3u8", 200); string(got.body) != string(want.body) {
				t.Error("another playlist")
			}
			if took := time.Since(begun); took > 4*time.Second {
				t.Errorf("it took %v", took)
			}
			time.Sleep(3 * time.Second)
		}
		files.goOn()
		synctest.Wait()
	})
}
