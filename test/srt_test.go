package test

import (
	"net/http"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestSRTFromLiveToArchive publishes over SRT: the show plays while it is live, and what is archived has every picture of
// the source, unchanged.
func TestSRTFromLiveToArchive(t *testing.T) {
	t.Parallel()
	source := encodeSource(t, 10, "640x360", "1M")
	want := frameHashes(t, source)
	server := newOxbow(t, "--archive-grace", "1s")
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"archive_delay": "1s"})
	url := "srt://" + server.srt + "?linger=4" + patientSRT + "&streamid=publish:acme/show:"

	refused := publish(t, "-re", "-i", source, "-c", "copy", "-f", "mpegts", url+"ox_wrong")
	if err := refused.wait(15 * time.Second); err == nil {
		t.Error("a wrong key was accepted")
	}
	wantLog(t, server, "publish refused", "wrong key", "code=1401")

	publisher := publish(t, "-re", "-i", source, "-c", "copy", "-f", "mpegts", url+key)
	const stream = "/acme/show/index.m3u8"
	eventually(t, 15*time.Second, "the stream is live", func() bool {
		status, _ := server.try(server.url(stream))
		return status == http.StatusOK
	})
	player := publish(t, "-i", server.url(stream), "-map", "0:v", "-map", "0:a", "-fps_mode", "passthrough", "-f", "null", "-")
	if err := publisher.wait(30 * time.Second); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
	if err := player.wait(30 * time.Second); err != nil {
		t.Errorf("the live player failed: %v", err)
	}
	if bad := badLines(player.out.String()); len(bad) > 0 {
		t.Errorf("the live player complained: %q", bad)
	}
	wantLog(t, server, "publisher left", "protocol=srt", "how=clean", "srt_packets.missing=0")

	id := server.recordings("acme", "show")[0].ID
	server.waitState(id, "archived", 30*time.Second)
	got := frameHashes(t, server.url("/acme/show/"+id+"/index.m3u8"))
	if !slices.Equal(got, want) {
		t.Errorf("%d frames through the edge, the source has %d, or some differ", len(got), len(want))
	}
	server.stop(syscall.SIGTERM)
	got = frameHashes(t, filepath.Join(server.data, "archive", "acme", "show", id, "index.m3u8"))
	if !slices.Equal(got, want) {
		t.Errorf("%d frames in the archive, the source has %d, or some differ", len(got), len(want))
	}
	t.Logf("%d frames, all of them the source's", len(got))
}

// TestSRTPortInUse says what to do.
func TestSRTPortInUse(t *testing.T) {
	t.Parallel()
	server := newOxbow(t)
	server.start("serve")
	out, err := tryRun(t, 20*time.Second, oxbowBinary, "serve", "--data", t.TempDir(), "--http", "127.0.0.1:0",
		"--rtmp", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--srt", server.srt)
	if err == nil {
		t.Error("two servers share the port")
	}
	wantIn(t, "the error", out, "--srt "+server.srt, "choose another port with --srt")
}
