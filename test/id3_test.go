package test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDR1_ID3ReachesPlayers publishes a transport stream with tags of ID3 and a cue: a browser is told of the tags by the
// media, at their time, and of date ranges by the playlists; the archive and its plain files have the same.
func TestDR1_ID3ReachesPlayers(t *testing.T) {
	parallelWithBrowser(t)
	const length, at = 14 * time.Second, 7 * time.Second
	film, clip := stampedClip(t, 320, 180, length), filepath.Join(t.TempDir(), "clip.ts")
	run(t, time.Minute, "ffmpeg", "-v", "error", "-i", film, "-c", "copy", "-muxdelay", "0", "-muxpreload", "0", "-f", "mpegts", clip)
	stream := addMetadata(t, []byte(mustRead(t, clip)), spliceOut(77, 10*90000), at)
	server := newOxbow(t, "--archive-grace", "1h")
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"archive_delay": "0s"})
	cmd := exec.Command(needTool(t, "ffmpeg"), "-hide_banner", "-f", "data", "-i", "pipe:0", "-map", "0", "-c", "copy", "-f", "data",
		"srt://"+server.srt+"?linger=3&streamid=publish:acme/show:"+key)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	publisher := startProcess(t, cmd)
	startTask(t, "bytes for the publisher", func(context.Context) error {
		defer input.Close()
		return writePaced(input, stream, length)
	})
	index := awaitLive(t, server, "acme", "show")
	folder := "/acme/show/" + server.recordings("acme", "show")[0].ID
	v := watchInBrowser(t, "hls.js", server.url(index), hlsSettings)
	eventually(t, 25*time.Second, "the player knows tags and date ranges", func() bool { return len(tagsOf(v)) >= 2 && len(rangesOf(v)) == 3 })
	number := int(at.Seconds() * stampRate)
	eventually(t, 20*time.Second, "the tags' picture is shown", func() bool { n, _ := v.newest(); return n > number })
	checkTags(t, "live", v, number)
	v.stop()
	if err := publisher.wait(30 * time.Second); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
	want := dateRangesOf(t, string(server.get(folder+"/video.m3u8")))
	if len(want) != 3 || want["scte35-splice-77"] == "" {
		t.Errorf("DR-1: date ranges of the recording: %q", want)
	}
	server.waitState(server.recordings("acme", "show")[0].ID, "archived", 30*time.Second)
	bucket := httptest.NewServer(allowAll(http.FileServer(http.Dir(filepath.Join(server.data, "archive")))))
	t.Cleanup(bucket.Close)
	for name, base := range map[string]string{"archive": "http://" + server.http, "bucket": bucket.URL} {
		for _, track := range []string{"video", "audio"} {
			status, text, _ := fetch(base+folder+"/"+track+".m3u8", nil)
			if got := dateRangesOf(t, string(text)); status != http.StatusOK || !maps.Equal(got, want) {
				t.Errorf("DR-1: %s, %s: %d, %q, want %q", name, track, status, got, want)
			}
		}
	}
	v = watchInBrowser(t, "hls.js", bucket.URL+folder+"/index.m3u8", "")
	eventually(t, 20*time.Second, "the player knows the recording's tags and date ranges", func() bool {
		n, _ := v.newest()
		return len(tagsOf(v)) >= 2 && len(rangesOf(v)) == 3 && n >= 0
	})
	checkTags(t, "bucket", v, number)
	v.stop()
}

// tagsOf gives what hls.js was told of by the media.
func tagsOf(v *viewing) []playerNews { return v.news("id3", func(playerNews) bool { return true }) }

// rangesOf gives the date ranges that hls.js knows.
func rangesOf(v *viewing) []string {
	lists := v.news("ranges", func(playerNews) bool { return true })
	if len(lists) == 0 {
		return nil
	}
	return slices.Clone(lists[len(lists)-1].IDs)
}

// checkTags holds the time of the tags against that of the picture that they came with.
func checkTags(tb testing.TB, name string, v *viewing, number int) {
	tb.Helper()
	var want float64
	for _, f := range v.shown() {
		if f.number >= 0 {
			want = f.media + float64(number-f.number)/stampRate
		}
	}
	said := ""
	for _, tag := range tagsOf(v) {
		if math.Abs(tag.Start-want) > 0.2 {
			tb.Errorf("%s: a tag at %.3f, its picture is at %.3f", name, tag.Start, want)
		}
		said += fmt.Sprintf("%q", tag.Text)
	}
	if !strings.Contains(said, "one") || !strings.Contains(said, "two") {
		tb.Errorf("%s: tags %s", name, said)
	}
}
