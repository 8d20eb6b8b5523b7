package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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

// showSeconds is how long a continuously archived show is: ten minutes in make e2e.
func showSeconds(otherwise int) int {
	if full() {
		return 600
	}
	return otherwise
}

// TestContinuousArchiveIsCompleteAtTheEnd archives a show within seconds of its end, whatever the delay says.
func TestContinuousArchiveIsCompleteAtTheEnd(t *testing.T) {
	t.Parallel()
	server, key, bucket := continuousServer(t)
	seconds := showSeconds(12)
	source := encodeSource(t, seconds, "640x360", "2M")
	p := publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)
	if err := p.wait(time.Duration(seconds)*time.Second + time.Minute); err != nil {
		t.Fatal(err)
	}
	end := time.Now()
	id := server.recordings("acme", "show")[0].ID
	folder := filepath.Join(bucket, "live", "acme", "show", id)
	if _, err := os.Stat(filepath.Join(folder, "recording.growing.json")); err != nil {
		t.Errorf("at the end of the show: %v", err)
	}
	rec := server.waitState(id, "archived", 10*time.Second)
	figure(t, fmt.Sprintf("continuous archive of a show of %d s", seconds), "complete %d ms after the encoder left",
		time.Since(end).Milliseconds())
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

// TestContinuousArchiveOutlivesTheDisk loses the recordings in mid-show: what was uploaded plays from the bucket.
func TestContinuousArchiveOutlivesTheDisk(t *testing.T) {
	t.Parallel()
	server, key, bucket := continuousServer(t)
	seconds := showSeconds(20)
	source := encodeSource(t, seconds, "640x360", "2M")
	encoder := publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)
	eventually(t, 30*time.Second, "some segments are uploaded", func() bool {
		docs, _ := filepath.Glob(filepath.Join(bucket, "live", "acme", "show", "*", "recording.growing.json"))
		if len(docs) == 0 {
			return false
		}
		text, _ := os.ReadFile(docs[0])
		return strings.Count(string(text), `\"msn\":`) >= 10 // of five segments of two tracks
	})
	lost := time.Now()
	if full() { // in the middle of the show
		<-time.NewTimer(time.Duration(seconds) * time.Second / 2).C
		lost = time.Now()
	}
	server.stop(syscall.SIGKILL)
	encoder.kill()
	if err := os.RemoveAll(filepath.Join(server.data, "recordings", "acme")); err != nil {
		t.Fatal(err)
	}
	server.start("serve")
	id := server.recordings("acme", "show")[0].ID
	rec := server.waitState(id, "archived", 20*time.Second)
	took := time.Since(lost)
	if !strings.Contains(rec.LastError, "lost") || rec.DurationMS < 4000 {
		t.Errorf("last error %q does not tell what was lost, or duration %d ms", rec.LastError, rec.DurationMS)
	}
	index := filepath.Join(bucket, "live", "acme", "show", id, "index.m3u8")
	if out, err := tryRun(t, time.Minute, "ffmpeg", "-v", "error", "-xerror", "-i", index, "-map", "0", "-f", "null", "-"); err != nil {
		t.Errorf("ffmpeg -xerror: %v\n%s", err, out)
	}
	out := run(t, time.Minute, "ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", index)
	if seconds, err := strconv.ParseFloat(strings.TrimSpace(out), 64); err != nil || seconds < 4 {
		t.Errorf("the bucket plays %s seconds (%v)", out, err)
	}
	figure(t, fmt.Sprintf("disk lost in the middle of a show of %d s, continuous archive", seconds),
		"%s; the row says %q; archived %d ms after the loss", strings.TrimSpace(out), rec.LastError, took.Milliseconds())
	want, got := frameHashes(t, source), frameHashes(t, server.url("/acme/show/"+id+"/index.m3u8"))
	if len(got) < 100 || len(got) > len(want) || strings.Join(got, "") != strings.Join(want[:len(got)], "") {
		t.Errorf("through the edge: %d frames, not the first of the source's %d", len(got), len(want))
	}
	if left := partsIn(bucket); len(left) > 0 {
		t.Errorf("uploads are left: %v", left)
	}
}
