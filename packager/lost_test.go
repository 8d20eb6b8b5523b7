package packager

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// What a node brings that was fenced is no loss, or each take-over would raise the alert of recordings with gaps.
func TestFencedWriterCountsNoLoss(t *testing.T) {
	onCluster(t, func(c *cluster) {
		p, src := c.a.open()
		c.a.play(p, src, 5200*time.Millisecond)
		c.takeOver(2)
		q := c.b.publish(2, nil)
		c.b.tracks(q, videoTrack(), audioTrack())
		c.b.play(q, &source{fps: 30, gop: 30, start: time.Hour}, 3*time.Second)
		src.until(15*time.Second, func(f *media.Frame) { _ = p.WriteFrame(f) })
		_ = p.Close(false)
		c.a.wait(time.Second)
		c.b.close(q, true)
		c.b.wait(200 * time.Millisecond)
		if a, b := testutil.ToFloat64(c.a.metrics.lost), testutil.ToFloat64(c.b.metrics.lost); a != 0 || b != 0 {
			t.Errorf("%v lost segments are counted by the fenced node, %v by the other", a, b)
		}
		if n := c.storedGaps(); n != 0 {
			t.Errorf("the recording has %d gaps", n)
		}
	})
}

// storedGaps gives the number of gaps in the recording that both nodes wrote.
func (c *cluster) storedGaps() (gaps int) {
	c.t.Helper()
	for id := range c.b.seen {
		rec, err := reclog.Load(context.Background(), c.b.root.Files(), testPath, id)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, track := range rec.Tracks {
			for i := range track.Segments {
				if track.Segments[i].Gap {
					gaps++
				}
			}
		}
	}
	return gaps
}

// What a full volume cost before the fence was met stays counted.
func TestLossBeforeTheFenceStaysCounted(t *testing.T) {
	onCluster(t, func(c *cluster) {
		var v volume
		c.a.under(&v, false)
		p, src := c.a.open()
		c.a.play(p, src, 5*time.Second)
		v.fail(syscall.ENOSPC)
		c.a.play(p, src, 6*time.Second)
		v.goOn()
		c.a.play(p, src, 4*time.Second) // the segment that was open is lost, too
		before := testutil.ToFloat64(c.a.metrics.lost)
		if before < 4 {
			t.Fatalf("%v lost segments are counted of six seconds and two tracks", before)
		}
		c.takeOver(2)
		src.until(20*time.Second, func(f *media.Frame) { _ = p.WriteFrame(f) })
		_ = p.Close(false)
		c.a.wait(time.Second)
		if after := testutil.ToFloat64(c.a.metrics.lost); after != before {
			t.Errorf("%v lost segments are counted after the fence, %v before it", after, before)
		}
	})
}

// A volume that stalls has segments be shown from memory. If another node goes on meanwhile they are in no recording,
// whether this one learns of it from storage or from the registry.
func TestSegmentsShownFromMemoryAreLostWithTheLease(t *testing.T) {
	for name, lose := range map[string]func(*cluster, *volume){
		"storage tells":  func(_ *cluster, v *volume) { v.goOn() },
		"registry tells": func(c *cluster, v *volume) { c.a.Forget(testPath); v.goOn() },
	} {
		t.Run(name, func(t *testing.T) {
			onCluster(t, func(c *cluster) {
				var v volume
				c.a.under(&v, false)
				p, src := c.a.open()
				c.a.play(p, src, 5*time.Second)
				stored := len(c.a.newest().Renditions[0].Segments)
				v.stall()
				c.a.play(p, src, 8*time.Second)
				shown := len(c.a.newest().Renditions[0].Segments) - stored
				if n := testutil.ToFloat64(c.a.metrics.lost); n != 0 || shown < 3 {
					t.Fatalf("%d segments were shown from memory, %v lost ones are counted", shown, n)
				}
				c.takeOver(2)
				lose(c, &v)
				c.a.wait(time.Second)
				src.until(30*time.Second, func(f *media.Frame) { _ = p.WriteFrame(f) })
				_ = p.Close(false)
				c.a.wait(time.Second)
				// One of each track may have been on its way into the file.
				if n := testutil.ToFloat64(c.a.metrics.lost); n < float64(2*(shown-1)) || n > float64(2*(shown+1)) {
					t.Errorf("%v lost segments are counted, %d of each of two tracks were shown from memory", n, shown)
				}
			})
		})
	}
}
