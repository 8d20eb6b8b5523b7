package test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// displayClip encodes a clip with the options; a filter of bitstreams is among them.
func displayClip(tb testing.TB, seconds int, options string) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "clip.mp4")
	args := []string{"-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=320x180:rate=30:duration=%d", seconds)}
	run(tb, time.Minute, "ffmpeg", append(append(args, strings.Fields(options)...), file)...)
	return file
}

// publishOnce sends a clip in real time by Enhanced RTMP.
func publishOnce(tb testing.TB, server *oxbow, key, clip string) *process {
	tb.Helper()
	tracks, samples := readClip(tb, clip)
	return startTask(tb, "E-RTMP publisher", func(ctx context.Context) error {
		return publishClip(ctx, "rtmp://"+server.rtmp+"/live/"+key, tracks, samples, nil)
	})
}

// variantOf gives the attributes of a multivariant playlist's only variant.
func variantOf(tb testing.TB, text string) (list string) {
	tb.Helper()
	for line := range strings.Lines(text) {
		if attributes, is := strings.CutPrefix(strings.TrimSpace(line), "#EXT-X-STREAM-INF:"); is {
			list = attributes
		}
	}
	return list
}

// TestMV16_HighDynamicRange publishes HEVC with the transfer function PQ, and light levels: playlists tell of the range,
// and ffprobe reads of the init section what the encoder said.
func TestMV16_HighDynamicRange(t *testing.T) {
	t.Parallel()
	const params = "log-level=error:bframes=0:keyint=30:min-keyint=30:scenecut=0:colorprim=bt2020:transfer=smpte2084:" +
		"colormatrix=bt2020nc:hdr10=1:repeat-headers=1:max-cll=1000,400:" +
		"master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50)"
	clip := displayClip(t, 6, "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -tag:v hvc1 -x265-params "+params)
	server := newOxbow(t)
	server.start("serve")
	publisher := publishOnce(t, server, server.createStream("acme", "show", nil), clip)
	index := awaitLive(t, server, "acme", "show")
	live := variantOf(t, string(server.get(index)))
	if err := publisher.wait(30 * time.Second); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
	folder := "/acme/show/" + server.recordings("acme", "show")[0].ID
	whole := variantOf(t, string(server.get(folder+"/index.m3u8")))
	for _, list := range []string{live, whole} {
		if attribute(list, "VIDEO-RANGE") != "PQ" || !strings.HasPrefix(attribute(list, "CODECS"), "hvc1.2.") {
			t.Errorf("MV-16: want HEVC and PQ: %s", list)
		}
	}
	file := filepath.Join(t.TempDir(), "init.mp4")
	inits := readPlaylist(t, folder+"/video.m3u8", string(server.get(folder+"/video.m3u8"))).inits
	mustWrite(t, file, server.get(inits[0]))
	probe := run(t, time.Minute, "ffprobe", "-v", "fatal", "-show_streams", file)
	for _, want := range []string{
		"color_transfer=smpte2084", "color_primaries=bt2020", "side_data_type=Mastering display metadata", //nolint:misspell // ffprobe's
		"green_x=8500/50000", "max_luminance=10000000/10000", "side_data_type=Content light level metadata", "max_content=1000", "max_average=400",
	} {
		if !strings.Contains(probe, want+"\n") {
			t.Errorf("CMF-14: ffprobe of the init section tells no %s:\n%s", want, probe)
		}
	}
}

// TestMV4_TurnedPicture publishes a picture that is to be shown upright, as telephones send it: playlists, ffprobe and a
// browser know.
func TestMV4_TurnedPicture(t *testing.T) {
	parallelWithBrowser(t)
	clip := displayClip(t, 14, "-c:v libx264 -preset ultrafast -g 30 -bf 0 -pix_fmt yuv420p "+
		"-bsf:v h264_metadata=display_orientation=insert:rotate=90")
	server := newOxbow(t)
	server.start("serve")
	publisher := publishOnce(t, server, server.createStream("acme", "show", nil), clip)
	index := awaitLive(t, server, "acme", "show")
	if list := variantOf(t, string(server.get(index))); attribute(list, "RESOLUTION") != "180x320" {
		t.Errorf("MV-4: want the size as shown: %s", list)
	}
	v := watchInBrowser(t, "hls.js", server.url(index), hlsSettings)
	eventually(t, 20*time.Second, "the browser shows the picture upright", func() bool {
		return len(v.news("size", func(n playerNews) bool { return n.Width == 180 && n.Height == 320 })) > 0
	})
	v.stop()
	if err := publisher.wait(30 * time.Second); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
	folder := "/acme/show/" + server.recordings("acme", "show")[0].ID
	source := run(t, time.Minute, "ffprobe", "-v", "fatal", "-select_streams", "v", "-read_intervals", "%+#1",
		"-show_entries", "frame_side_data=rotation", "-of", "csv=p=0", clip)
	probe := run(t, time.Minute, "ffprobe", "-v", "fatal", "-select_streams", "v", "-show_entries", "stream_side_data=rotation",
		"-of", "csv=p=0", server.url(folder+"/index.m3u8"))
	want, got := strings.Fields(strings.ReplaceAll(source, ",", " ")), strings.Fields(strings.ReplaceAll(probe, ",", " "))
	if len(want) == 0 || len(got) == 0 || want[0] != got[0] {
		t.Errorf("ffprobe tells a turn of %q, the source's is %q", probe, source)
	}
}
