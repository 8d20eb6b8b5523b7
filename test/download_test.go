package test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDownload downloads a show as one file from the node that recorded it and then, when local storage has dropped it,
// from the archive: the same file, of the publisher's pictures.
func TestDownload(t *testing.T) {
	t.Parallel()
	source := encodeSource(t, 10, "320x180", "500k")
	server := newOxbow(t, "--archive-grace", "1s")
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"archive_delay": "12s"})
	publisher := publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)
	awaitLive(t, server, "acme", "show")
	id := server.recordings("acme", "show")[0].ID
	download := "/acme/show/" + id + "/recording.mp4"
	if status, body, _ := fetch(server.url(download), nil); status != http.StatusConflict || !strings.Contains(string(body), "growing") {
		t.Errorf("while it grows: %d %q", status, body)
	}
	if err := publisher.wait(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	var local, archived downloaded
	eventually(t, 20*time.Second, "the recording can be downloaded", func() bool {
		local = fetchDownload(server.url(download))
		return local.status == http.StatusOK
	})
	want := frameHashes(t, source)
	file := filepath.Join(t.TempDir(), "recording.mp4")
	if err := os.WriteFile(file, local.body, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := frameHashes(t, file); !slices.Equal(got, want) {
		t.Errorf("%d pictures, want the publisher's %d", len(got), len(want))
	}
	if local.header.Get("Cache-Status") != "oxbow; fwd=bypass" || local.header.Get("Etag") == "" {
		t.Errorf("%v", local.header)
	}
	checkDownloadedClip(t, server, download, want)

	server.waitState(id, "archived", 60*time.Second)
	eventually(t, 30*time.Second, "the local files are gone", func() bool {
		_, err := os.Stat(filepath.Join(server.data, "recordings", "acme", "show", id))
		return os.IsNotExist(err)
	})
	if found, _ := filepath.Glob(filepath.Join(server.data, "archive", "acme", "show", id, "1", "*.samples")); len(found) != 2 {
		t.Errorf("sample tables in the archive: %v", found)
	}
	eventually(t, 30*time.Second, "the archive answers", func() bool {
		archived = fetchDownload(server.url(download))
		return archived.status == http.StatusOK
	})
	if archived.header.Get("Etag") != local.header.Get("Etag") || !bytes.Equal(archived.body, local.body) {
		t.Errorf("from the archive: %s, %d bytes of %s; local: %s, %d bytes of %s", archived.header.Get("Etag"),
			len(archived.body), archived.sum(), local.header.Get("Etag"), len(local.body), local.sum())
	}
	checkResume(t, server.url(download), local.body)
	status, _, header := fetch(server.url(download), http.Header{"If-None-Match": {local.header.Get("Etag")}})
	if status != http.StatusNotModified {
		t.Errorf("If-None-Match: %d %v", status, header)
	}
	if status := server.api(http.MethodDelete, "/v1/recordings/"+id, nil, nil); status >= 300 {
		t.Fatalf("delete: %d", status)
	}
	eventually(t, 90*time.Second, "the download is 410", func() bool {
		status, _ := server.try(server.url(download))
		return status == http.StatusGone
	})
}

type downloaded struct {
	status int
	body   []byte
	header http.Header
}

func fetchDownload(url string) downloaded {
	status, body, header := fetch(url, nil)
	return downloaded{status, body, header}
}

func (d *downloaded) sum() string {
	sum := sha256.Sum256(d.body)
	return hex.EncodeToString(sum[:8])
}

// checkDownloadedClip cuts the show in the middle of its segments: a file begins and ends with the pictures asked for.
func checkDownloadedClip(t *testing.T, server *oxbow, download string, want []string) {
	t.Helper()
	clip := fetchDownload(server.url(download + "?start=3s&end=7s"))
	file := filepath.Join(t.TempDir(), "clip.mp4")
	if err := os.WriteFile(file, clip.body, 0o600); err != nil {
		t.Fatal(err)
	}
	got := frameHashes(t, file)
	const rate = 30
	if clip.status != http.StatusOK || len(got) != 4*rate || !slices.Equal(got, want[3*rate:7*rate]) {
		t.Errorf("clip: %d, %d pictures, the first is %d", clip.status, len(got), slices.Index(want, append(got, "")[0]))
	}
	if status, body, _ := fetch(server.url(download+"?start=9&end=5"), nil); status != http.StatusBadRequest ||
		!strings.Contains(string(body), "end is not after start") {
		t.Errorf("start behind end: %d %q", status, body)
	}
}

// checkResume breaks a download off and goes on as people do.
func checkResume(t *testing.T, url string, want []byte) {
	t.Helper()
	curl := needTool(t, "curl")
	file := filepath.Join(t.TempDir(), "resumed.mp4")
	if err := os.WriteFile(file, want[:len(want)/3], 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), curl, "-sS", "-f", "-C", "-", "-o", file, url).CombinedOutput(); err != nil {
		t.Fatalf("curl -C -: %v\n%s", err, out)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("resumed: %d bytes, want %d, %v", len(got), len(want), err)
	}
}
