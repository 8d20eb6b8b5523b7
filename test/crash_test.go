package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestKillNineLosesNothingAnnounced kills the server with -9 at random instants, four times and in make e2e ten, while a
// publisher that reconnects sends to it and a viewer notes everything that playlists announce. After each restart all of it must be
// there with the same bytes; at the end the recording decodes without an error.
func TestKillNineLosesNothingAnnounced(t *testing.T) {
	t.Parallel()
	kills := 4
	if full() {
		kills = 10
	}
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("OXBOW_TEST_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("OXBOW_TEST_SEED=%d repeats the instants", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	source := encodeSource(t, 20, "1280x720", "2M")
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"reconnect_window": "20s", "archive_delay": "1h"})
	target := "rtmp://" + server.rtmp + "/live/" + key
	viewer := newViewer(server, "/acme/show")

	for kill := range kills {
		encoder := publish(t, "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "flv", target)
		known := viewer.count()
		eventually(t, 30*time.Second, "new media is announced", func() bool {
			viewer.look()
			return viewer.count() >= known+8
		})
		instant := time.After(time.Duration(random.Int64N(int64(2500 * time.Millisecond))))
		for waiting := true; waiting; {
			select {
			case <-instant:
				waiting = false
			default:
				viewer.look()
			}
		}
		server.stop(syscall.SIGKILL)
		encoder.kill()
		server.start("serve")
		t.Logf("kill %d: %d objects announced so far", kill+1, viewer.count())
		viewer.verify(t, fmt.Sprintf("after kill %d", kill+1))
	}

	recs := server.recordings("acme", "show")
	if len(recs) != 1 {
		t.Fatalf("%d recordings, want the one show: %+v", len(recs), recs)
	}
	server.waitState(recs[0].ID, "ended", 60*time.Second)
	viewer.verify(t, "after the end")
	index := server.url("/acme/show/" + recs[0].ID + "/index.m3u8")
	out, err := tryRun(t, 2*time.Minute, "ffmpeg", "-v", "error", "-xerror", "-i", index, "-map", "0", "-f", "null", "-")
	if err != nil {
		t.Errorf("ffmpeg -xerror: %v\n%s", err, out)
	}
	takes, err := filepath.Glob(filepath.Join(server.data, "recordings", "acme", "show", recs[0].ID, "*", "video.mp4"))
	if err != nil || len(takes) != kills {
		t.Errorf("%d takes on storage (%v), want %d", len(takes), err, kills)
	}
	for _, file := range takes {
		if out, err := tryRun(t, time.Minute, "ffmpeg", "-v", "error", "-xerror", "-i", file, "-f", "null", "-"); err != nil {
			t.Errorf("ffmpeg -xerror %s: %v\n%s", file, err, out)
		}
	}
}

// viewer notes what the stream's playlists announce: inits, segments and parts with the digest of their bytes, and the
// media sequence numbers.
type viewer struct {
	server *oxbow
	stream string

	mu        sync.Mutex
	announced map[string]string // path -> digest
	lastMSN   map[string]int    // playlist -> the last finished segment's number
}

func newViewer(server *oxbow, stream string) *viewer {
	return &viewer{server: server, stream: stream, announced: map[string]string{}, lastMSN: map[string]int{}}
}

func (v *viewer) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.announced)
}

// look reads the live playlists once and fetches all that is new. The server may die at any moment: what could not be
// read is not noted.
func (v *viewer) look() {
	index := v.stream + "/index.m3u8"
	status, text := v.server.try(v.server.url(index))
	if status != http.StatusOK {
		return
	}
	for _, variant := range variants(index, string(text)) {
		status, text := v.server.try(v.server.url(variant))
		if status != http.StatusOK {
			continue
		}
		list := readPlaylist(v.server.tb, variant, string(text))
		v.mu.Lock()
		if last := list.mediaSequence + len(list.segments) + list.gaps - 1; last < v.lastMSN[variant] {
			v.server.tb.Errorf("%s went back from segment %d to %d", variant, v.lastMSN[variant], last)
		} else {
			v.lastMSN[variant] = last
		}
		v.mu.Unlock()
		for _, paths := range [][]string{list.inits, list.segments, list.parts} {
			for _, path := range paths {
				v.note(path)
			}
		}
	}
}

func (v *viewer) note(path string) {
	v.mu.Lock()
	_, known := v.announced[path]
	v.mu.Unlock()
	if known {
		return
	}
	if status, body := v.server.try(v.server.url(path)); status == http.StatusOK {
		v.mu.Lock()
		v.announced[path] = digest(body)
		v.mu.Unlock()
	}
}

// verify fetches everything that was ever announced and compares its bytes.
func (v *viewer) verify(tb testing.TB, when string) {
	tb.Helper()
	for path, want := range v.announced {
		status, body := v.server.try(v.server.url(path))
		if status != http.StatusOK {
			tb.Errorf("%s: %s: status %d", when, path, status)
		} else if digest(body) != want {
			tb.Errorf("%s: %s has other bytes", when, path)
		}
	}
}
