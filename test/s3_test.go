package test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// TestArchiveToS3 archives a show to a real S3 server that is away when archiving begins, and deletes it again.
func TestArchiveToS3(t *testing.T) {
	t.Parallel()
	store := objstoretest.MustStartGateway(t)
	store.MustMakeBucket(t, "shows")
	store.Kill(t)

	source := encodeSource(t, 6, "640x360", "1M")
	server := newOxbow(t, "--archive-grace", "1s", "--archive", "s3://shows/live?region=us-east-1&endpoint="+store.Endpoint)
	server.env = []string{"AWS_ACCESS_KEY_ID=" + store.AccessKey, "AWS_SECRET_ACCESS_KEY=" + store.SecretKey}
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"archive_delay": "0s"})
	p := publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)
	if err := p.wait(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	id := server.recordings("acme", "show")[0].ID
	eventually(t, 60*time.Second, "the store's absence is in the row", func() bool {
		return server.recordings("acme", "show")[0].LastError != ""
	})
	t.Logf("while the store is away: %s", server.recordings("acme", "show")[0].LastError)
	store.MustStart(t)
	server.waitState(id, "archived", 60*time.Second)
	eventually(t, 30*time.Second, "the local files are gone", func() bool {
		_, err := os.Stat(filepath.Join(server.data, "recordings", "acme", "show", id))
		return os.IsNotExist(err)
	})

	index := "/acme/show/" + id + "/index.m3u8"
	want := frameHashes(t, source)
	if got := frameHashes(t, server.url(index)); strings.Join(got, "") != strings.Join(want, "") {
		t.Errorf("from S3 through the edge: %d frames, want the source's %d", len(got), len(want))
	}
	if status := server.api(http.MethodDelete, "/v1/recordings/"+id, nil, nil); status >= 300 {
		t.Fatalf("delete: %d", status)
	}
	server.waitGone(id, 30*time.Second)
	var left []string
	_ = filepath.WalkDir(filepath.Join(store.Dir, "shows"), func(name string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.Contains(name, id) {
			left = append(left, name)
		}
		return nil
	})
	if len(left) > 0 {
		t.Errorf("left in the bucket after the deletion: %v", left)
	}
	eventually(t, 90*time.Second, "the edge answers 410", func() bool {
		status, _ := server.try(server.url(index))
		return status == http.StatusGone
	})
}
