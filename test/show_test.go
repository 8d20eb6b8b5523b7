package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestShowFromLiveToArchive is the whole path: a publisher goes live, is cut, comes back and ends; ffmpeg and a browser
// watch; the archive takes over; the same URLs give the same bytes all along, and every frame is there.
func TestShowFromLiveToArchive(t *testing.T) {
	parallelWithBrowser(t)
	seconds, size := 16, "1280x720"
	if full() {
		seconds, size = 20, "1920x1080"
	}
	source := encodeSource(t, seconds, size, "4M")
	sourceFrames := frameHashes(t, source)
	server := newOxbow(t, "--archive-grace", "1s")
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"archive_delay": "2s", "reconnect_window": "60s"})
	target := "rtmp://" + server.rtmp + "/live/" + key

	// A machine may be so slow to look that the source is over before ten seconds of it are seen.
	first := publish(t, "-re", "-stream_loop", "3", "-i", source, "-c", "copy", "-f", "flv", target)
	const stream = "/acme/show/index.m3u8"
	eventually(t, 15*time.Second, "the stream is live", func() bool {
		status, _ := server.try(server.url(stream))
		return status == http.StatusOK
	})
	id := server.recordings("acme", "show")[0].ID
	prefix := "/acme/show/" + id

	browser := startBrowser(t, server.url("/watch/acme/show"), "--until-ended", "--seconds", "180",
		"--screenshot", outFile(t, "show.png"))
	livePlayer := publish(t, "-i", server.url(stream), "-map", "0:v", "-fps_mode", "passthrough", "-f", "null", "-")
	watch := newSegmentWatch(server, prefix)
	watch.until(t, 30*time.Second, "ten seconds are recorded", func() bool { return watch.seconds() >= 9 })
	first.kill()
	watch.until(t, 10*time.Second, "the show is interrupted", func() bool {
		return server.recordings("acme", "show")[0].State == "interrupted"
	})
	cut := time.After(3 * time.Second)
	watch.until(t, 10*time.Second, "three seconds are over", func() bool {
		select {
		case <-cut:
			return true
		default:
			return false
		}
	})
	second := publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", target)
	go func() { <-second.done }()
	watch.until(t, 60*time.Second, "the show ended", func() bool { return watch.ended() })
	if err := second.wait(10 * time.Second); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
	live := watch.digests()
	t.Logf("recording %s: %d segments seen live", id, len(live))

	after := newSegmentWatch(server, prefix)
	after.look(t)
	sameBytes(t, "after the end", live, after.digests())

	rec := server.waitState(id, "archived", 60*time.Second)
	dir := filepath.Join(server.data, "recordings", "acme", "show", id)
	eventually(t, 30*time.Second, "the local files are gone", func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	})
	archived := newSegmentWatch(server, prefix)
	archived.until(t, 20*time.Second, "the archived playlist is VOD", func() bool { return archived.kind() == "VOD" })
	sameBytes(t, "from the archive", live, archived.digests())
	t.Logf("archived: %d bytes, %d ms", rec.Bytes, rec.DurationMS)

	checkFrames(t, "VOD through the edge", frameHashes(t, server.url(prefix+"/index.m3u8")), sourceFrames)
	checkFrames(t, "the stream's URL", frameHashes(t, server.url(stream)), sourceFrames)

	if err := livePlayer.wait(20 * time.Second); err != nil {
		t.Errorf("ffmpeg as live player: %v", err)
	}
	if bad := badLines(livePlayer.out.String()); len(bad) > 0 {
		t.Errorf("ffmpeg as live player complained:\n%s", strings.Join(bad, "\n"))
	}
	seen := browser.report(t)
	t.Logf("hls.js: %+v", seen)
	if len(seen.Errors) > 0 || len(seen.MediaErrors) > 0 || !seen.Ended || !seen.played(300, 20) { // counted anew where the page had to open the stream again
		t.Errorf("hls.js: want the whole show without an error, got %+v", seen)
	}

	server.stop(syscall.SIGTERM)
	bucket := filepath.Join(server.data, "archive", "acme", "show", id)
	checkFrames(t, "the bucket's playlist", frameHashes(t, filepath.Join(bucket, "index.m3u8")), sourceFrames)
	for _, take := range []string{"1", "2"} {
		probe := run(t, time.Minute, "ffprobe", "-v", "error", "-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0",
			filepath.Join(bucket, take, "video.mp4"))
		if strings.TrimSpace(probe) != "h264,"+strings.Replace(size, "x", ",", 1) {
			t.Errorf("ffprobe of take %s: %q", take, probe)
		}
	}
}

// encodeSource makes a clip of H.264 with B-frames, 30 frames and half a GOP a second, and AAC.
func encodeSource(tb testing.TB, seconds int, size, bitrate string) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "source.mp4")
	run(tb, 3*time.Minute, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=%s:rate=30:duration=%d", size, seconds),
		"-f", "lavfi", "-i", fmt.Sprintf("sine=frequency=440:sample_rate=48000:duration=%d", seconds),
		"-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "60", "-keyint_min", "60", "-sc_threshold", "0",
		"-pix_fmt", "yuv420p", "-b:v", bitrate, "-c:a", "aac", "-b:a", "128k", "-ac", "2", file)
	return file
}

// frameHashes decodes a file or URL and gives a hash of each picture in order.
func frameHashes(tb testing.TB, input string) []string {
	tb.Helper()
	out := run(tb, 2*time.Minute, "ffmpeg", "-v", "error", "-i", input, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-")
	var hashes []string
	for line := range strings.Lines(out) {
		if fields := strings.Split(line, ","); !strings.HasPrefix(line, "#") && len(fields) == 6 {
			hashes = append(hashes, strings.TrimSpace(fields[5]))
		} else if !strings.HasPrefix(line, "#") {
			tb.Errorf("decoding %s: %s", input, line)
		}
	}
	return hashes
}

// checkFrames says whether the decoded pictures are a head of the source, as cut, and then all of the source, without
// a missing, doubled or damaged one. The cut falls in the order of decoding: behind it up to two pictures may lack that
// are shown before the last one.
func checkFrames(tb testing.TB, what string, got, source []string) {
	tb.Helper()
	cut := len(got) - len(source)
	if cut < 8*30 {
		tb.Errorf("%s: %d frames, want all %d of the second take and at least 240 of the first", what, len(got), len(source))
		return
	}
	tb.Logf("%s: %d frames: %d of the first take, %d of the second (source %d)", what, len(got), cut, len(got)-cut, len(source))
	const reordered = 3
	whole := cut - reordered
	first := slices.Repeat(source, 4) // as it is published
	if len(first) < cut+reordered {
		tb.Fatalf("%s: %d frames of the first take", what, cut)
	}
	if !slices.Equal(got[:whole], first[:whole]) || !isSubsequence(got[whole:cut], first[whole:cut+reordered]) {
		tb.Errorf("%s: the first take's frames differ from the source's", what)
	}
	if !slices.Equal(got[cut:], source) {
		tb.Errorf("%s: the second take's frames differ from the source's", what)
	}
}

// isSubsequence says whether all of part is in whole in the same order.
func isSubsequence(part, whole []string) bool {
	for _, w := range whole {
		if len(part) > 0 && part[0] == w {
			part = part[1:]
		}
	}
	return len(part) == 0
}

// badLines picks what ffmpeg says of damage. It does not know EXT-X-GAP and is told 404 for what stands for the
// publisher's absence.
func badLines(log string) []string {
	var bad []string
	for line := range strings.Lines(log) {
		lower := strings.ToLower(line)
		if strings.Contains(lower, "404 not found") {
			continue
		}
		for _, sign := range []string{"error", "invalid", "corrupt", "non-existing", "out of order", "concealing"} {
			if strings.Contains(lower, sign) {
				bad = append(bad, strings.TrimSpace(line))
				break
			}
		}
	}
	return bad
}

// segmentWatch follows the whole-recording playlists of a show and fetches every segment that they name once.
type segmentWatch struct {
	server *oxbow
	prefix string

	mu    sync.Mutex
	seen  map[string]string // path -> sha256
	lists map[string]listed
}

func newSegmentWatch(server *oxbow, prefix string) *segmentWatch {
	return &segmentWatch{server: server, prefix: prefix, seen: map[string]string{}, lists: map[string]listed{}}
}

// look reads the playlists once and fetches what is new.
func (w *segmentWatch) look(tb testing.TB) {
	tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	index := w.prefix + "/index.m3u8"
	for _, variant := range variants(index, string(w.server.get(index))) {
		list := readPlaylist(tb, variant, string(w.server.get(variant)))
		w.lists[variant] = list
		for _, path := range append(slices.Clone(list.inits), list.segments...) {
			if _, known := w.seen[path]; !known {
				w.seen[path] = digest(w.server.get(path))
			}
		}
	}
}

func (w *segmentWatch) until(tb testing.TB, limit time.Duration, what string, condition func() bool) {
	tb.Helper()
	eventually(tb, limit, what, func() bool {
		w.look(tb)
		return condition()
	})
}

// seconds is the length of the shortest rendition.
func (w *segmentWatch) seconds() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	shortest := 0.0
	for _, l := range w.lists {
		if shortest == 0 || l.duration < shortest {
			shortest = l.duration
		}
	}
	return shortest
}

func (w *segmentWatch) ended() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.lists {
		if !l.ended {
			return false
		}
	}
	return len(w.lists) > 0
}

func (w *segmentWatch) kind() string {
	for _, l := range w.lists {
		return l.kind
	}
	return ""
}

func (w *segmentWatch) digests() map[string]string { return w.seen }

func sameBytes(tb testing.TB, when string, want, got map[string]string) {
	tb.Helper()
	for path, sum := range want {
		switch other, ok := got[path]; {
		case !ok:
			tb.Errorf("%s: %s is no longer listed", when, path)
		case other != sum:
			tb.Errorf("%s: %s has other bytes", when, path)
		}
	}
	if len(got) != len(want) {
		tb.Errorf("%s: %d objects, want %d", when, len(got), len(want))
	}
}
