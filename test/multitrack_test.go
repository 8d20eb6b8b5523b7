package test

import (
	"context"
	"crypto/md5"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// encodeTracks makes a clip of two videos of H.264 and two audios of AAC.
func encodeTracks(tb testing.TB, seconds int) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "tracks.mp4")
	run(tb, time.Minute, "ffmpeg", "-v", "error",
		"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=640x360:rate=30:duration=%d", seconds),
		"-f", "lavfi", "-i", fmt.Sprintf("aevalsrc=sin(2*PI*(300+200*t)*t):s=48000:d=%d", seconds),
		"-f", "lavfi", "-i", fmt.Sprintf("aevalsrc=sin(2*PI*(900-50*t)*t):s=48000:d=%d", seconds),
		"-filter_complex", "[0:v]split[full][half];[half]scale=320:180[small]", "-map", "[full]", "-map", "[small]",
		"-map", "1:a", "-map", "2:a", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "60", "-keyint_min", "60",
		"-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", file)
	return file
}

// TestMultitrack publishes two pictures and two sounds over Enhanced RTMP: all of them are offered, and each comes out,
// live and from the archive, as it went in.
func TestMultitrack(t *testing.T) {
	t.Parallel()
	source := encodeTracks(t, matrixSeconds)
	tracks, samples := readClip(t, source)
	want := map[string][]string{
		"video": hashesOfStream(t, source, "0:v:0"), "video2": hashesOfStream(t, source, "0:v:1"),
		"audio": sentSound(samples, 0), "audio2": sentSound(samples, 1),
	}
	server := newOxbow(t, "--archive-grace", "1h")
	server.start("serve")
	// Of a segment that ends early, because nothing came in 1.5 target durations, sound that is still to come is left out.
	key := server.createStream("acme", "show", map[string]any{"archive_delay": "0s", "segment_duration": "6s"})
	publisher := startTask(t, "E-RTMP publisher", func(ctx context.Context) error {
		return publishClip(ctx, "rtmp://"+server.rtmp+"/live/"+key, tracks, samples, nil)
	})
	index := awaitLive(t, server, "acme", "show")
	id := server.recordings("acme", "show")[0].ID
	prefix := "/acme/show/" + id + "/"
	players := map[string]*process{}
	for name := range want {
		args := hashing(server.url(prefix+"live/"+name+".m3u8"), "0:"+name[:1])
		players[name] = publish(t, append([]string{"-v", "error", "-live_start_index", "0"}, args...)...)
	}
	checkTracks(t, string(server.get(index)))
	if err := publisher.wait(30 * time.Second); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
	for name, player := range players {
		if err := player.wait(30 * time.Second); err != nil {
			t.Errorf("the live player of %s failed: %v", name, err)
		}
		sameRendition(t, "live "+name, hashesOf(player.out.String()), want[name])
	}
	server.waitState(id, "archived", 30*time.Second)
	checkTracks(t, string(server.get(prefix+"index.m3u8")))
	for name := range want {
		list := filepath.Join(server.data, "archive", "acme", "show", id, name+".m3u8")
		sameRendition(t, "archived "+name, hashesOfStream(t, list, "0:"+name[:1]), want[name])
		run(t, time.Minute, "ffmpeg", "-v", "error", "-xerror", "-i", list, "-f", "null", "-")
	}
	if n := len(server.recordings("acme", "show")); n != 1 {
		t.Errorf("%d recordings, want one", n)
	}
}

// awaitLive waits until a stream plays and gives its playlist.
func awaitLive(tb testing.TB, server *oxbow, publisher, stream string) (index string) {
	tb.Helper()
	index = "/" + publisher + "/" + stream + "/index.m3u8"
	eventually(tb, 15*time.Second, "the stream is live", func() bool {
		status, _ := server.try(server.url(index))
		return status == http.StatusOK
	})
	return index
}

// checkTracks looks for two variants and two renditions of audio in a multivariant playlist.
func checkTracks(tb testing.TB, text string) {
	tb.Helper()
	var sizes, names []string
	for line := range strings.Lines(text) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(line), "#EXT-X-STREAM-INF:"); ok {
			sizes = append(sizes, attribute(list, "RESOLUTION"))
			if attribute(list, "AUDIO") != "audio" {
				tb.Errorf("a variant without its audio: %s", line)
			}
		} else if list, ok := strings.CutPrefix(strings.TrimSpace(line), "#EXT-X-MEDIA:"); ok {
			names = append(names, attribute(list, "NAME"))
		}
	}
	slices.Sort(sizes)
	if !slices.Equal(sizes, []string{"320x180", "640x360"}) || len(names) != 2 || names[0] == names[1] {
		tb.Errorf("variants %v, audio %v in:\n%s", sizes, names, text)
	}
}

// hashing is the arguments that have ffmpeg tell a hash of each decoded picture, or each coded access unit of sound: what
// is decoded of that depends on where decoding begins.
func hashing(input, stream string) []string {
	args := []string{"-i", input, "-map", stream, "-fps_mode", "passthrough"}
	if strings.Contains(stream, ":a") {
		args = append(args, "-c", "copy")
	}
	return append(args, "-f", "framemd5", "-")
}

// sentSound gives the hashes of what is sent of one audio track.
func sentSound(samples []erSample, number int) (hashes []string) {
	for _, s := range samples {
		if !s.track.video && s.track.number == number {
			hashes = append(hashes, fmt.Sprintf("%x", md5.Sum(s.payload)))
		}
	}
	return hashes
}

func hashesOfStream(tb testing.TB, input, stream string) []string {
	tb.Helper()
	return hashesOf(run(tb, time.Minute, "ffmpeg", append([]string{"-v", "error"}, hashing(input, stream)...)...))
}

// hashesOf reads the only stream of what framemd5 writes.
func hashesOf(text string) (hashes []string) {
	for line := range strings.Lines(text) {
		if fields := strings.Split(line, ","); !strings.HasPrefix(line, "#") && len(fields) >= 6 {
			hashes = append(hashes, strings.TrimSpace(fields[5]))
		}
	}
	return hashes
}

// sameRendition compares what came out: all of the pictures, and all sound but what may go with the cut at the first and
// the last picture, where silence may fill the rest.
func sameRendition(tb testing.TB, what string, got, want []string) {
	tb.Helper()
	if strings.Contains(what, "video") {
		if !slices.Equal(got, want) {
			tb.Errorf("%s: %d pictures of %d, or some differ", what, len(got), len(want))
		}
		return
	}
	const edge = 8
	if len(got) < len(want)-edge {
		tb.Errorf("%s: %d access units of sound, want %d", what, len(got), len(want))
		return
	}
	if last := len(got) - 1; !slices.Contains(want, got[last]) {
		got = got[:last]
	}
	if at := slices.Index(want, got[0]); at < 0 || at+len(got) > len(want) || !slices.Equal(got, want[at:at+len(got)]) {
		tb.Errorf("%s: the sound is not the source's", what)
	}
}

// TestAudioLanguages publishes a transport stream with two sounds that say their languages.
func TestAudioLanguages(t *testing.T) {
	t.Parallel()
	source := encodeTracks(t, 4)
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", nil)
	publisher := publish(t, "-re", "-i", source, "-map", "0:v:0", "-map", "0:a", "-c", "copy",
		"-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu", "-f", "mpegts",
		"srt://"+server.srt+"?linger=2&streamid=publish:acme/show:"+key)
	index := awaitLive(t, server, "acme", "show")
	if err := publisher.wait(20 * time.Second); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
	var languages []string
	for line := range strings.Lines(string(server.get(index))) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(line), "#EXT-X-MEDIA:"); ok {
			languages = append(languages, attribute(list, "LANGUAGE"))
		}
	}
	if !slices.Equal(languages, []string{"en", "de"}) {
		t.Errorf("languages %v", languages)
	}
}
