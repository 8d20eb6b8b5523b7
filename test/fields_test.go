package test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestFieldPictures publishes interlaced H.264 whose fields are coded apart (PAFF): ffmpeg sends a PES packet or a message
// for each field, and what is recorded has one sample for each frame, with the source's pictures.
func TestFieldPictures(t *testing.T) {
	t.Parallel()
	const frames, rounds = 12, 12
	once, err := os.ReadFile(filepath.Join("..", "internal", "bitstream", "testdata", "paff.h264"))
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(t.TempDir(), "paff.h264")
	if err := os.WriteFile(source, bytes.Repeat(once, rounds), 0o644); err != nil {
		t.Fatal(err)
	}
	want := frameHashes(t, source)
	server := newOxbow(t, "--archive-grace", "1h")
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"archive_delay": "0s"})
	for protocol, target := range map[string][]string{
		"rtmp": {"-f", "flv", "rtmp://" + server.rtmp + "/live/" + key},
		"srt":  {"-f", "mpegts", "srt://" + server.srt + "?linger=4" + patientSRT + "&streamid=publish:acme/show:" + key},
	} {
		publisher := publish(t, append([]string{"-re", "-i", source, "-c", "copy"}, target...)...)
		awaitLive(t, server, "acme", "show")
		if err := publisher.wait(30 * time.Second); err != nil {
			t.Errorf("%s: the publisher failed: %v", protocol, err)
		}
		id := server.recordings("acme", "show")[0].ID
		server.waitState(id, "archived", 20*time.Second)
		dir := filepath.Join(server.data, "archive", "acme", "show", id)
		if got := frameHashes(t, filepath.Join(dir, "index.m3u8")); !slices.Equal(got, want) || len(got) != frames*rounds {
			t.Errorf("%s: %d pictures of %d, or some differ", protocol, len(got), len(want))
		}
		if samples := recordedPackets(t, dir); len(samples) != frames*rounds {
			t.Errorf("%s: %d samples, want %d", protocol, len(samples), frames*rounds)
		}
	}
}
