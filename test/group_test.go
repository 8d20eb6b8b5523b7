package test

import (
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
)

// newGroup makes acme/show and its members, and gives their keys, the show's first.
func newGroup(tb testing.TB, server *oxbow, settings map[string]any, members ...string) (keys []string) {
	tb.Helper()
	keys = []string{server.createStream("acme", "show", settings)}
	for _, name := range members {
		var created struct{ Key string }
		body := map[string]any{"name": name, "group": "show"}
		if status := server.api(http.MethodPost, "/v1/publishers/acme/streams", body, &created); status != http.StatusCreated {
			tb.Fatalf("create %s: %d", name, status)
		}
		keys = append(keys, created.Key)
	}
	return keys
}

// encoding is the arguments for one picture, with a key frame every two seconds, and sound.
func encoding(output, picture string) []string {
	return []string{
		"-map", picture, "-map", "1:a", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "60", "-keyint_min", "60",
		"-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "flv", output,
	}
}

func testInputs(size string) []string {
	return []string{
		"-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=rate=30:size=" + size,
		"-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000",
	}
}

// resolutions are those of a multivariant playlist's variants, with the paths of their media playlists.
func resolutions(index, text string) map[string]string {
	found := make(map[string]string)
	size := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if list, ok := strings.CutPrefix(line, "#EXT-X-STREAM-INF:"); ok {
			size = attribute(list, "RESOLUTION")
		} else if size != "" && line != "" && !strings.HasPrefix(line, "#") {
			found[size], size = path.Join(path.Dir(index), line), ""
		}
	}
	return found
}

// times are the dates and durations of a media playlist's whole segments.
func times(text string) (list []string) {
	date, length := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		tag, value, _ := strings.Cut(line, ":")
		switch {
		case tag == "#EXT-X-PROGRAM-DATE-TIME":
			date = value
		case tag == "#EXTINF":
			length = value
		case line != "" && !strings.HasPrefix(line, "#"):
			list = append(list, date+" "+length)
		}
	}
	return list
}

// TestGroup publishes one programme from one ffmpeg in two sizes to two streams: their group's show offers both, with
// key frames aligned, live and from the archive.
func TestGroup(t *testing.T) {
	t.Parallel()
	needTool(t, "ffmpeg")
	server := newOxbow(t, "--archive-grace", "1h")
	server.start("serve")
	keys := newGroup(t, server, map[string]any{"archive_delay": "0s"}, "show_360", "show_180")
	args := append(testInputs("640x360"), "-t", "16", "-filter_complex", "[0:v]split[full][half];[half]scale=320:180[small]")
	args = append(args, encoding("rtmp://"+server.rtmp+"/live/"+keys[1], "[full]")...)
	args = append(args, "-t", "16")
	args = append(args, encoding("rtmp://"+server.rtmp+"/live/"+keys[2], "[small]")...)
	publisher := publish(t, args...)
	index := awaitLive(t, server, "acme", "show")

	eventually(t, 20*time.Second, "both pictures have two segments, aligned", func() bool {
		sizes := resolutions(index, string(server.get(index)))
		a, b := times(string(server.get(sizes["640x360"]))), times(string(server.get(sizes["320x180"])))
		n := min(len(a), len(b))
		return n >= 2 && slices.Equal(a[:n], b[:n])
	})
	var sessions struct {
		Items []struct{ Stream, Group string }
	}
	server.api(http.MethodGet, "/v1/sessions", nil, &sessions)
	if len(sessions.Items) != 2 || sessions.Items[0].Stream != "show_180" || sessions.Items[0].Group != "show" {
		t.Errorf("sessions %+v", sessions.Items)
	}
	if status, _ := server.try(server.url("/acme/show_360/index.m3u8")); status != http.StatusNotFound {
		t.Errorf("a member's own URL: %d", status)
	}
	if err := publisher.wait(time.Minute); err != nil {
		t.Fatalf("the publisher failed: %v\n%s", err, publisher.out.tail(5))
	}
	found := server.recordings("acme", "show")
	if len(found) != 1 {
		t.Fatalf("%d recordings, want one", len(found))
	}
	id := found[0].ID
	server.waitState(id, "archived", 30*time.Second)
	checkGroup(t, server, "/acme/show/"+id+"/index.m3u8")
	// Where a busy machine has one connection's pictures come late, a segment is cut without them: times are aligned yet.
	if n := server.metrics("oxbow_packager_unaligned_segments_total"); n != 0 && full() {
		t.Errorf("%v segments are not aligned", n)
	}
}

// checkGroup holds a show's two pictures against each other, and plays each.
func checkGroup(t *testing.T, server *oxbow, index string) {
	t.Helper()
	text := string(server.get(index))
	sizes := resolutions(index, text)
	high, low := sizes["640x360"], sizes["320x180"]
	if len(sizes) != 2 || high == "" || low == "" || strings.Count(text, "#EXT-X-MEDIA:") != 1 {
		t.Fatalf("CMF-23: variants %v in\n%s", sizes, text)
	}
	a, b := times(string(server.get(high))), times(string(server.get(low)))
	if len(a) < 5 || !slices.Equal(a, b) {
		t.Errorf("CMF-23: segments of the two are not aligned:\n%s\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
	for size, list := range sizes {
		out := run(t, time.Minute, "ffmpeg", "-v", "error", "-xerror", "-i", server.url(list), "-map", "0:v", "-f", "framemd5", "-")
		if n := len(hashesOf(out)); n < 400 {
			t.Errorf("%d frames of %s, want 16 s of them", n, size)
		}
	}
	run(t, time.Minute, "ffmpeg", "-v", "error", "-xerror", "-i", server.url(index), "-t", "4", "-f", "null", "-")
}

// TestGroupLosesAMember kills one of two publishers of a group: the show goes on with the other, and has both again
// when it comes back.
func TestGroupLosesAMember(t *testing.T) {
	t.Parallel()
	needTool(t, "ffmpeg")
	server := newOxbow(t)
	server.start("serve")
	keys := newGroup(t, server, map[string]any{"archive_delay": "1h"}, "show_360", "show_180")
	start := func(size, key string) *process {
		return publish(t, append(testInputs(size), encoding("rtmp://"+server.rtmp+"/live/"+key, "0:v")...)...)
	}
	high := start("640x360", keys[1])
	low := start("320x180", keys[2])
	index := awaitLive(t, server, "acme", "show")
	id := server.recordings("acme", "show")[0].ID
	whole := func(size string) listed { // the EVENT playlist
		list := resolutions(index, string(server.get(index)))[size]
		dir := "/acme/show/" + id + "/"
		return readPlaylist(t, dir+path.Base(list), string(server.get(dir+path.Base(list))))
	}
	segments := func(size string, more int) func() bool {
		before := len(whole(size).segments)
		return func() bool { return len(whole(size).segments) >= before+more }
	}
	eventually(t, 20*time.Second, "the small picture grows", segments("320x180", 2))
	high.kill()
	eventually(t, 30*time.Second, "the small picture goes on", segments("320x180", 3))
	if gaps := whole("640x360").gaps; gaps == 0 {
		t.Error("the lost picture has no gaps")
	}
	high = start("640x360", keys[1])
	eventually(t, 30*time.Second, "the lost picture goes on", segments("640x360", 3))
	if n := len(server.recordings("acme", "show")); n != 1 {
		t.Errorf("%d recordings, want one", n)
	}
	// Nobody publishes the show itself while it has members.
	direct := publish(t, append(testInputs("320x180"), encoding("rtmp://"+server.rtmp+"/live/"+keys[0], "0:v")...)...)
	if err := direct.wait(20 * time.Second); err == nil {
		t.Error("the show itself was published")
	}
	if status := server.api(http.MethodDelete, "/v1/publishers/acme/streams/show", nil, nil); status != http.StatusConflict {
		t.Errorf("deletion of a stream with members: %d", status)
	}
	high.kill()
	low.kill()
}

// TestGroupSwitchInABrowser has two encoders send one programme in two sizes, each over a connection of its own, and a
// browser go from one size to the other and back: the picture goes on as if nothing was.
func TestGroupSwitchInABrowser(t *testing.T) {
	parallelWithBrowser(t)
	const length = 45 * time.Second // a machine may be slow to start a browser
	high, low := readStamped(t, stampedClip(t, 640, 360, length)), readStamped(t, stampedClip(t, 320, 180, length))
	m := viewAgainAfterRace(t, func() figures { return viewSwitches(t, high, low) })
	stalled, skips := time.Second, 0
	if !full() { // there a busy machine leaves pictures out
		stalled, skips = 10*time.Second, 10
	}
	if rest, raced := m.withoutAppendRace(); raced && !full() {
		m = rest
	}
	if m.stalled > stalled || m.skips > skips || m.back > 0 || m.fatal > 0 {
		t.Errorf("a switch is seen: %+v", m)
	}
}

// viewSwitches sends the films as a group's members and has a browser switch between them.
func viewSwitches(t *testing.T, films ...*stampedFilm) figures {
	t.Helper()
	server := newOxbow(t)
	server.start("serve")
	keys := newGroup(t, server, map[string]any{"archive_delay": "1h"}, "show_360", "show_180")
	high, low := newStampedPublisher(t, server, keys[1]), newStampedPublisher(t, server, keys[2])
	high.start(films[0], 0)
	low.start(films[1], 0)
	index := awaitLive(t, server, "acme", "show")
	eventually(t, 15*time.Second, "both pictures are there, with two segments", func() bool {
		sizes := resolutions(index, string(server.get(index)))
		for _, list := range sizes {
			if strings.Count(string(server.get(list)), "#EXTINF") < 2 {
				return false
			}
		}
		return len(sizes) == 2
	})
	v := watchInBrowser(t, "hls.js", server.url(index), `{"lowLatencyMode": true, "startLevel": 0}`)
	widths := func() (list []int) {
		for _, n := range v.news("size", func(playerNews) bool { return true }) {
			if len(list) == 0 || list[len(list)-1] != n.Width {
				list = append(list, n.Width)
			}
		}
		return list
	}
	eventually(t, 20*time.Second, "the browser knows both", func() bool {
		known := v.news("manifest", func(n playerNews) bool { return len(n.Levels) == 2 })
		return len(known) > 0
	})
	for i, level := range []int{0, 1, 0} {
		v.command(`{"level": %d}`, level)
		width := []int{320, 640}[level]
		eventually(t, 20*time.Second, "the browser shows the size that it was told", func() bool {
			list := widths()
			return len(list) > i && list[len(list)-1] == width || v.raced()
		})
		shown, _ := v.newest()
		eventually(t, 20*time.Second, "the picture goes on", func() bool { n, _ := v.newest(); return n > shown+stampRate || v.raced() })
	}
	v.stop()
	m := v.measure(high.sentAt)
	t.Logf("%v %+v", widths(), m)
	high.leave()
	low.leave()
	return m
}
