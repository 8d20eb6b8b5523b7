package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// continuousServer has a stream that is uploaded to a real S3 server every second while it is live.
func continuousServer(t *testing.T) (server *oxbow, key, bucket string) {
	t.Helper()
	store := objstoretest.MustStartGateway(t)
	store.MustMakeBucket(t, "shows")
	server = newOxbow(t, "--archive-grace", "1s", "--upload-interval", "1s",
		"--archive", "s3://shows/live?region=us-east-1&endpoint="+store.Endpoint)
	server.env = []string{"AWS_ACCESS_KEY_ID=" + store.AccessKey, "AWS_SECRET_ACCESS_KEY=" + store.SecretKey}
	server.start("serve")
	key = server.createStream("acme", "show", map[string]any{"archive_mode": "continuous", "archive_delay": "1h"})
	return server, key, filepath.Join(store.Dir, "shows")
}

// partsIn lists what the server below the bucket keeps of uploads that nobody completed.
func partsIn(bucket string) []string {
	var left []string
	_ = filepath.WalkDir(bucket, func(name string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.Contains(name, "multipart") {
			left = append(left, name)
		}
		return nil
	})
	return left
}

// TestContinuousArchiveIsCompleteAtTheEnd archives a show within seconds of its end, whatever the delay says.
func TestContinuousArchiveIsCompleteAtTheEnd(t *testing.T) {
	t.Parallel()
	server, key, bucket := continuousServer(t)
	source := encodeSource(t, 12, "640x360", "2M")
	p := publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)
	if err := p.wait(60 * time.Second); err != nil {
		t.Fatal(err)
	}
	end := time.Now()
	id := server.recordings("acme", "show")[0].ID
	folder := filepath.Join(bucket, "live", "acme", "show", id)
	if _, err := os.Stat(filepath.Join(folder, "recording.growing.json")); err != nil {
		t.Errorf("at the end of the show: %v", err)
	}
	rec := server.waitState(id, "archived", 10*time.Second)
	t.Logf("archived %v after the encoder left", time.Since(end).Round(time.Millisecond))
	if rec.LastError != "" {
		t.Errorf("last error %q", rec.LastError)
	}
	want := frameHashes(t, source)
	if got := frameHashes(t, filepath.Join(folder, "index.m3u8")); strings.Join(got, "") != strings.Join(want, "") {
		t.Errorf("the bucket has %d frames, want the source's %d", len(got), len(want))
	}
	if _, err := os.Stat(filepath.Join(folder, "recording.growing.json")); !os.IsNotExist(err) {
		t.Errorf("recording.growing.json is left: %v", err)
	}
	if left := partsIn(bucket); len(left) > 0 {
		t.Errorf("uploads are left: %v", left)
	}
}
