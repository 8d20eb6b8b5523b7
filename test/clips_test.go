package test

import (
	"bytes"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// clipRow is what the tests read of a clip's row.
type clipRow struct {
	ID        string `json:"id"`
	State     string `json:"state"`
	LastError string `json:"last_error"`
	URL       string `json:"url"`
	Clip      struct {
		Of      string `json:"of"`
		StartMS int64  `json:"start_ms"`
		EndMS   int64  `json:"end_ms"`
	} `json:"clip"`
}

// makeClip asks for a clip and waits until it plays.
func (o *oxbow) makeClip(source string, start, end any) clipRow {
	o.tb.Helper()
	var row clipRow
	begin := time.Now()
	status := o.api(http.MethodPost, "/v1/recordings/"+source+"/clips", map[string]any{"start": start, "end": end}, &row)
	if status != http.StatusCreated || row.Clip.Of != source {
		o.tb.Fatalf("clip of %s: %d %+v", source, status, row)
	}
	eventually(o.tb, 15*time.Second, "the clip plays", func() bool {
		status, _ := o.try(o.url("/acme/show/" + row.ID + "/index.m3u8"))
		return status == http.StatusOK
	})
	o.tb.Logf("clip %s plays %s after it was asked for", row.ID, time.Since(begin).Round(time.Millisecond))
	return row
}

// TestClipRecordings makes recordings of pieces of a show: while it is live, when it has ended, and when only the
// archive has it. They play at once, in the bucket too, and with the same bytes after the show is deleted.
func TestClipRecordings(t *testing.T) {
	t.Parallel()
	const gop = 60 // and so a segment's pictures
	source := encodeSource(t, 12, "320x180", "300k")
	all := frameHashes(t, source)
	server := newOxbow(t, "--archive-grace", "1s")
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"archive_delay": "4s"})
	publisher := publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)
	stream := awaitLive(t, server, "acme", "show")
	id := server.recordings("acme", "show")[0].ID
	folder := "/acme/show/" + id
	checked := func(what, input string, from, to int) {
		t.Helper()
		if got, want := frameHashes(t, input), all[from*gop:to*gop]; !slices.Equal(got, want) {
			t.Errorf("%s: %d pictures, want %d; the first is %d of the show, want %d", what, len(got), len(want),
				slices.Index(all, append(got, "")[0]), from*gop)
		}
	}
	index := func(clip clipRow) string { return server.url("/acme/show/" + clip.ID + "/index.m3u8") }

	eventually(t, 20*time.Second, "four segments are listed", func() bool {
		return strings.Count(string(server.get(folder+"/video.m3u8")), "#EXTINF") >= 4
	})
	live := server.makeClip(id, 3, "5")
	checked("of the live show", index(live), 1, 3)
	if status, text := server.try(server.url(stream)); status != http.StatusOK || !strings.Contains(string(text), id) {
		t.Errorf("the stream's URL leads elsewhere while it is live: %d\n%s", status, text)
	}
	if err := publisher.wait(30 * time.Second); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
	server.waitState(id, "ended", 20*time.Second)
	date := firstDate(t, string(server.get(folder+"/video.m3u8")))
	at := func(seconds int) string {
		return date.Add(time.Duration(seconds) * time.Second).Format(time.RFC3339Nano)
	}
	ended := server.makeClip(id, at(4), at(7))
	checked("of the ended show", index(ended), 2, 4)
	server.waitState(id, "archived", 60*time.Second)
	archived := server.makeClip(id, 8, 11.5)
	checked("of the archived show", index(archived), 4, 6)
	eventually(t, 10*time.Second, "the stream's URL leads to the show", func() bool {
		_, text := server.try(server.url(stream))
		return strings.Contains(string(text), id)
	})

	before := make(map[string]map[string]string)
	files := make(map[string]string)
	download := func(clip clipRow) string {
		status, body := server.try(server.url("/acme/show/" + clip.ID + "/recording.mp4"))
		if status != http.StatusOK || !bytes.HasPrefix(body[4:], []byte("ftyp")) {
			t.Fatalf("download of clip %s: %d", clip.ID, status)
		}
		return string(body)
	}
	bucket := func(clip clipRow) string {
		return filepath.Join(server.data, "archive", "acme", "show", clip.ID, "index.m3u8")
	}
	parts := map[*clipRow][2]int{&live: {1, 3}, &ended: {2, 4}, &archived: {4, 6}}
	for clip, part := range parts {
		server.waitState(clip.ID, "archived", 90*time.Second)
		watch := newSegmentWatch(server, "/acme/show/"+clip.ID)
		watch.look(t)
		before[clip.ID] = watch.digests()
		files[clip.ID] = download(*clip)
		checked("the bucket's playlist", bucket(*clip), part[0], part[1])
		checked("the MP4", server.url("/acme/show/"+clip.ID+"/recording.mp4"), part[0], part[1])
	}
	if status := server.api(http.MethodDelete, "/v1/recordings/"+id, nil, nil); status >= 300 {
		t.Fatalf("delete: %d", status)
	}
	server.stop(syscall.SIGKILL) // in the middle of the copying, or before, or behind it
	server.start("serve")
	server.waitGone(id, 60*time.Second)
	for clip, part := range parts {
		watch := newSegmentWatch(server, "/acme/show/"+clip.ID)
		watch.look(t)
		sameBytes(t, "after the show is deleted", before[clip.ID], watch.digests())
		if download(*clip) != files[clip.ID] {
			t.Error("the clip's download is another file after the show is deleted")
		}
		checked("after the show is deleted", index(*clip), part[0], part[1])
		checked("the bucket's playlist, after the show is deleted", bucket(*clip), part[0], part[1])
	}
	if left, err := filepath.Glob(filepath.Join(server.data, "*", "acme", "show", id)); err != nil || len(left) > 0 {
		t.Errorf("left of the show: %v, %v", left, err)
	}
}
