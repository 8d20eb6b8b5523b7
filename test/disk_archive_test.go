package test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// archiveSegments writes an archived recording of one track whose segments are the origin's bodies.
func archiveSegments(tb testing.TB, dir string, o *diskOrigin, segments int) {
	tb.Helper()
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	root := openRecordings(tb, dir)
	settings, began := media.DefaultSettings(), time.Now().UTC().Truncate(time.Millisecond)
	writer, err := root.Create(reclog.Manifest{
		ID: diskRecording, Publisher: "acme", Stream: "show", StartedAt: began, Settings: settings,
		Constants: media.Constants{
			TargetDuration: 2 * time.Second, SegmentDuration: 2 * time.Second, PartTarget: time.Second,
			PartHoldBack: 3 * time.Second, HoldBack: 6 * time.Second, CanSkipUntil: 12 * time.Second,
		},
	})
	must(err)
	w, err := writer.StartTake(media.Take{
		Number: 1, Epoch: 1, StartedAt: began, Anchor: began, FirstMSN: 1, Tracks: []media.Track{{
			Name: "video", Kind: media.Video, Codec: media.H264, Timescale: 90000, CodecString: "avc1.64001f", Width: 640,
			Height: 360, FrameRate: 30,
		}},
	}, [][]byte{[]byte("init")})
	must(err)
	for n := 1; n <= segments; n++ {
		offset, err := w.AppendPart(0, o.body(n))
		must(err)
		must(w.FinishSegment(0, media.Segment{
			MSN: media.MSN(n), Take: 1, DTS: int64(n-1) * 180000, Duration: 180000, Offset: offset, Size: int64(o.size), Sync: true,
		}))
	}
	must(w.Seal())
	must(writer.Update(func(m *reclog.Manifest) {
		m.State, m.EndedAt = media.Archived, began.Add(time.Duration(segments)*2*time.Second)
	}))
}

// TestDiskCacheOfAnArchivedRecording watches a recording, and takes the media out of the archive while the edge is down:
// what comes then is from disk. With its bytes damaged nothing wrong comes, and deleted meanwhile it is gone.
func TestDiskCacheOfAnArchivedRecording(t *testing.T) {
	t.Parallel()
	const segments = 8
	o := newDiskOrigin(t, 1<<20)
	o.moved.Store(true)
	e := newDiskEdge(t, o)
	archiveSegments(t, e.archive, o, segments)
	e.start()
	e.fill(segments)
	if n := e.metric("writes_total"); n < segments {
		t.Fatalf("%v entries were written", n)
	}
	e.stop(syscall.SIGTERM)

	blocks := func(name string) int {
		_, text, _ := fetch("http://"+e.admin+"/metrics", nil)
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "oxbow_blocks_"+name+" "); ok {
				v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
				if err != nil {
					t.Fatal(err)
				}
				return int(v)
			}
		}
		t.Fatalf("no metric %s", name)
		return 0
	}
	e.start()
	if _, answered := e.read(segments); answered != segments {
		t.Errorf("%d answers", answered)
	}
	if tier, upstream := blocks("tier_hits_total"), blocks("upstream_bytes_total"); tier < segments || upstream != 0 {
		t.Errorf("%d blocks from disk, %d bytes of media from the archive", tier, upstream)
	}
	e.stop(syscall.SIGKILL)

	files, err := filepath.Glob(filepath.Join(e.cache, "*.segment"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := 300_000; at < len(b); at += 2 << 20 {
			b[at] ^= 1
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e.start()
	if _, answered := e.read(segments); answered != segments {
		t.Errorf("%d answers", answered)
	}
	if tier, upstream := blocks("tier_hits_total"), blocks("upstream_bytes_total"); tier == 0 || upstream == 0 {
		t.Errorf("damaged: %d blocks from disk, %d bytes of media from the archive", tier, upstream)
	}
	e.stop(syscall.SIGTERM)

	o.gone.Store(true)
	e.start()
	resp, err := http.Get("http://" + e.http + "/acme/show/" + diskRecording + "/1/video/1.m4s")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusGone || bytes.Contains(o.body(1), body[:min(len(body), 64)]) {
		t.Errorf("deleted while the edge was down: %d, %d bytes", resp.StatusCode, len(body))
	}
}
