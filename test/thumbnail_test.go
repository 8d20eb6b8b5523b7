package test

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// middle gives the colour in the middle of a JPEG, and its size.
func middle(tb testing.TB, file []byte) (r, g, b uint32, size string) {
	tb.Helper()
	picture, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		tb.Fatal(err)
	}
	at := picture.Bounds().Size()
	r, g, b, _ = picture.At(at.X/2, at.Y/2).RGBA()
	return r >> 8, g >> 8, b >> 8, fmt.Sprintf("%dx%d", at.X, at.Y)
}

// TestThumbnails follows a show that is red, then blue: its picture changes while it is live, and when it has ended the
// sprite sheets and their track are there, the same bytes from the archive as from the cluster.
func TestThumbnails(t *testing.T) {
	t.Parallel()
	server := newOxbow(t, "--ffmpeg", needTool(t, "ffmpeg"))
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{
		"archive_delay": "20s", "thumbnail_interval": "2s", "segment_duration": "1s",
	})
	poster := "/acme/show/thumbnail.jpg"
	if status, _, header := fetch(server.url(poster), nil); status != http.StatusNotFound {
		t.Errorf("before any show: %d %s", status, header.Get("Cache-Control"))
	}
	red := "color=red:s=1280x720:r=30:d=10" //nolint:misspell // ffmpeg's word
	began := time.Now()
	publisher := publish(t, "-re", "-f", "lavfi", "-i", red, "-re", "-f", "lavfi", "-i",
		"testsrc2=s=1280x720:r=30:d=10,drawbox=t=fill:c=blue:x=320:y=180:w=640:h=360", "-filter_complex",
		"[0][1]concat=n=2,format=yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-f", "flv",
		"rtmp://"+server.rtmp+"/live/"+key)
	awaitLive(t, server, "acme", "show")
	id := server.recordings("acme", "show")[0].ID
	folder := "/acme/show/" + id
	shows := func(path string, red bool) func() bool {
		return func() bool {
			status, file, header := fetch(server.url(path), nil)
			if status != http.StatusOK {
				return false
			}
			r, _, b, size := middle(t, file)
			if size != "640x360" || header.Get("Content-Type") != "image/jpeg" ||
				header.Get("Cache-Control") != "public, max-age=5" || header.Get("Etag") == "" {
				t.Fatalf("%s is %s, %v", path, size, header)
			}
			return red && r > 200 && b < 60 || !red && b > 200 && r < 60
		}
	}
	eventually(t, 20*time.Second, "the stream's picture is red", func() bool {
		blueBy := time.Since(began) > 10*time.Second // a machine may be so slow that the first picture is a blue one
		return shows(poster, true)() || blueBy && shows(poster, false)()
	})
	eventually(t, 30*time.Second, "the recording's picture is blue", shows(folder+"/thumbnail.jpg", false))
	if err := publisher.wait(60 * time.Second); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
	var track []byte
	eventually(t, 20*time.Second, "the track is there", func() bool {
		var status int
		status, track, _ = fetch(server.url(folder+"/thumbnails.vtt"), nil)
		return status == http.StatusOK
	})
	checkTrack(t, server, folder, string(track))
	before := map[string][]byte{"thumbnails.vtt": track}
	for _, name := range []string{"thumbnail.jpg", "sprite-1.jpg"} {
		before[name], _ = os.ReadFile(filepath.Join(server.data, "recordings", folder, name))
	}
	server.waitState(id, "archived", 90*time.Second)
	if err := os.RemoveAll(filepath.Join(server.data, "recordings", folder)); err != nil {
		t.Fatal(err)
	}
	for name, want := range before {
		eventually(t, 90*time.Second, name+" is served from the archive", func() bool {
			status, got, header := fetch(server.url(folder+"/"+name), nil)
			return status == http.StatusOK && bytes.Equal(got, want) && header.Get("Cache-Control") == "public, max-age=86400"
		})
	}
	_, _, header := fetch(server.url(folder+"/thumbnail.jpg"), nil)
	again, _, _ := fetch(server.url(folder+"/thumbnail.jpg"), http.Header{"If-None-Match": {header.Get("Etag")}})
	if again != http.StatusNotModified {
		t.Errorf("with its tag: %d, want 304", again)
	}
	if cpu := server.metrics("oxbow_archiver_ffmpeg_cpu_seconds_total"); cpu <= 0 || cpu > 20 {
		t.Errorf("ffmpeg took %.1f s of processor time", cpu)
	} else {
		t.Logf("ffmpeg took %.2f s of processor time", cpu)
	}
	if status := server.api(http.MethodDelete, "/v1/recordings/"+id, nil, nil); status >= 300 {
		t.Fatalf("delete: %d", status)
	}
	eventually(t, 20*time.Second, "nothing is left", func() bool {
		left, err := filepath.Glob(filepath.Join(server.data, "archive", folder, "*"))
		return err == nil && len(left) == 0
	})
}

// checkTrack fails unless the cues follow each other from 0 to the end of the show, and their tiles are what it showed.
func checkTrack(t *testing.T, server *oxbow, folder, track string) {
	t.Helper()
	blocks := strings.Split(strings.TrimSpace(track), "\n\n")
	if blocks[0] != "WEBVTT" || len(blocks) != 5 {
		t.Fatalf("the track of 20 s is\n%s", track)
	}
	sheet, err := jpeg.Decode(bytes.NewReader(server.get(folder + "/sprite-1.jpg")))
	if err != nil {
		t.Fatal(err)
	}
	end := "00:00:00.000"
	for i, block := range blocks[1:] {
		var from, to string
		var x, y, w, h int
		n, err := fmt.Sscanf(block, "%s --> %s\nsprite-1.jpg#xywh=%d,%d,%d,%d", &from, &to, &x, &y, &w, &h)
		if err != nil || n != 6 || from != end || w != 160 || h != 90 {
			t.Fatalf("cue %d: %v\n%s", i, err, block)
		}
		end = to
		r, _, b, _ := sheet.At(x+w/2, y+h/2).RGBA()
		if red := i < 2; red != (r > b) {
			t.Errorf("cue %d is of another colour: red %d, blue %d", i, r>>8, b>>8)
		}
	}
	if end < "00:00:19" || end > "00:00:21" {
		t.Errorf("the track ends at %s", end)
	}
}

// TestWithoutFFmpeg says once that there are no thumbnails; all else goes on.
func TestWithoutFFmpeg(t *testing.T) {
	t.Parallel()
	server := newOxbow(t, "--ffmpeg=")
	server.env = append(server.env, "PATH="+t.TempDir())
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"archive_delay": "0s", "thumbnail_interval": "2s"})
	source := encodeSource(t, 6, "320x180", "300k")
	publisher := publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)
	awaitLive(t, server, "acme", "show")
	id := server.recordings("acme", "show")[0].ID
	if err := publisher.wait(30 * time.Second); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
	server.waitState(id, "archived", 60*time.Second)
	if status, _, _ := fetch(server.url("/acme/show/"+id+"/thumbnail.jpg"), nil); status != http.StatusNotFound {
		t.Errorf("its picture: %d, want 404", status)
	}
	if n := strings.Count(server.out.String(), "no ffmpeg in PATH"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	if on := server.metrics("oxbow_archiver_pictures_enabled"); on != 0 {
		t.Errorf("oxbow_archiver_pictures_enabled is %v", on)
	}
}
