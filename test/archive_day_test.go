package test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// memoryWatch notes the most memory that a process takes.
type memoryWatch struct {
	idle, peak int64
	stop       chan struct{}
	done       chan struct{}
}

func watchMemory(tb testing.TB, m *member) *memoryWatch {
	tb.Helper()
	pid := m.cmd.Process.Pid
	w := &memoryWatch{idle: readResident(pid), stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			atomic.StoreInt64(&w.peak, max(atomic.LoadInt64(&w.peak), readResident(pid)))
			select {
			case <-w.stop:
				return
			case <-tick.C:
			}
		}
	}()
	tb.Cleanup(w.end)
	return w
}

func (w *memoryWatch) end() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	<-w.done
}

func (w *memoryWatch) String() string {
	return fmt.Sprintf("%d MiB idle, %d MiB at most", w.idle>>20, atomic.LoadInt64(&w.peak)>>20)
}

// TestArchiveDay archives a recording of a day, plays it from the archive, seeks, downloads parts of it as MP4, and
// deletes it.
func TestArchiveDay(t *testing.T) {
	onlyFull(t)
	const length = 24 * time.Hour
	f := startFleet(t, clusterConfig{nodes: 1, edges: 1, noArchiver: true})
	f.api.createStream("acme", "day", map[string]any{"archive_delay": "0s", "thumbnail_interval": "0s"})
	film := shootFilm(t, "256x144", "120k")
	path := media.StreamPath{Publisher: "acme", Stream: "day"}
	began := time.Now()
	id := film.show(t, openRecordings(t, f.recordings("a")), path, int(length/filmLength))
	f.list("a")
	t.Logf("%v of %d MiB written in %v", length, film.size()*int64(length/filmLength)>>20, time.Since(began))

	archiver, edge := f.member("a-archiver"), f.member("edge1")
	archiver.start()
	memory := watchMemory(t, archiver)
	began = time.Now()
	f.api.waitState(string(id), "archived", 5*time.Minute)
	archived := time.Since(began)
	eventually(t, time.Minute, "the local copy is gone", func() bool {
		found, _ := filepath.Glob(filepath.Join(f.recordings("a"), "acme", "day", "*"))
		return len(found) == 0
	})
	memory.end()
	if grown := memory.peak - memory.idle; grown > 40<<20 {
		t.Errorf("archiver: %v", memory)
	}
	figure(t, fmt.Sprintf("a recording of %v", length), "archived in %d ms; archiver: %v", archived.Milliseconds(), memory)

	memory = watchMemory(t, edge)
	base := "http://" + edge.http + "/acme/day/" + string(id)
	get := func(url string, header http.Header) (int, []byte, http.Header, time.Duration) {
		began := time.Now()
		status, body, answer := fetch(url, header)
		return status, body, answer, time.Since(began)
	}
	status, playlist, _, took := get(base+"/video.m3u8", nil)
	if n := strings.Count(string(playlist), "#EXTINF"); status != http.StatusOK || n != int(length/(4*time.Second)) {
		t.Fatalf("playlist: %d, %d segments", status, n)
	}
	figure(t, fmt.Sprintf("a recording of %v: VOD playlist", length), "%d KiB in %d ms, cold", len(playlist)>>10, took.Milliseconds())
	middle := int(length/(4*time.Second)) / 2
	status, body, _, took := get(fmt.Sprintf("%s/1/video/%d.m4s", base, middle), nil)
	if status != http.StatusOK || len(body) == 0 {
		t.Fatalf("segment in the middle: %d, %d bytes", status, len(body))
	}
	figure(t, fmt.Sprintf("a recording of %v: seek to the middle", length), "segment in %d ms, cold", took.Milliseconds())

	status, _, head, took := get(base+"/recording.mp4", http.Header{"Range": {"bytes=0-99"}})
	_, total, _ := strings.Cut(head.Get("Content-Range"), "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if status != http.StatusPartialContent || err != nil {
		t.Fatalf("download: %d, %v", status, head)
	}
	etag := head.Get("ETag")
	first := took
	status, body, head, took = get(base+"/recording.mp4", http.Header{
		"Range": {fmt.Sprintf("bytes=%d-%d", size/2, size/2+1<<20-1)}, "If-Range": {etag},
	})
	if status != http.StatusPartialContent || len(body) != 1<<20 || head.Get("ETag") != etag {
		t.Errorf("a MiB in the middle of the download: %d, %d bytes, %v", status, len(body), head)
	}
	probed := strings.TrimSpace(run(t, 2*time.Minute, "ffprobe", "-v", "error", "-show_entries", "format=duration", "-of",
		"csv=p=0", base+"/recording.mp4"))
	if seconds, err := strconv.ParseFloat(probed, 64); err != nil || seconds < length.Seconds()-1 || seconds > length.Seconds()+1 {
		t.Errorf("the download lasts %s s, want %v", probed, length)
	}
	seek := fmt.Sprint(int(length.Seconds() / 2))
	run(t, 2*time.Minute, "ffmpeg", "-v", "error", "-ss", seek, "-i", base+"/recording.mp4", "-t", "4", "-f", "null", "-")
	memory.end()
	figure(t, fmt.Sprintf("a recording of %v: MP4", length), "%d MiB; first bytes after %d ms, a MiB of the middle in %d ms; edge: %v",
		size>>20, first.Milliseconds(), took.Milliseconds(), memory)

	began = time.Now()
	if status := f.api.api(http.MethodDelete, "/v1/recordings/"+string(id), nil, nil); status >= 300 {
		t.Fatalf("delete: %d", status)
	}
	eventually(t, 5*time.Second, "the edge answers 410", func() bool {
		status, _, _, _ := get(base+"/video.m3u8", nil)
		return status == http.StatusGone
	})
	gone := time.Since(began)
	f.api.waitGone(string(id), time.Minute)
	if left, _ := filepath.Glob(filepath.Join(f.bucketFolder(), "acme", "day", "*", "*")); len(left) > 0 {
		t.Errorf("left in the bucket: %v", left)
	}
	figure(t, fmt.Sprintf("a recording of %v: deletion", length), "410 at the edge after %d ms, bucket empty after %d ms",
		gone.Milliseconds(), time.Since(began).Milliseconds())
}
