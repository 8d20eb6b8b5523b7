package packager

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestFirstPlaylistComesWithTheFirstSegment(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st := mustStudio(t, dir)
		p := st.publish(1, nil)
		st.tracks(p, videoTrack(), audioTrack())
		src := &source{fps: 30, gop: 30}
		src.until(2*time.Second, st.write(p))
		if id, ok := st.Current(testPath); ok {
			t.Fatalf("recording %s before a segment's length was seen", id)
		}
		src.until(2100*time.Millisecond, st.write(p))
		snap, _ := st.show().Snapshot()
		if snap == nil {
			t.Fatal("no playlist after 2.1 s")
		}
		checkSnapshot(t, snap)
		if got := snap.Constants; got.SegmentDuration != 2*time.Second || got.TargetDuration != 2*time.Second ||
			got.PartTarget != 500*time.Millisecond || got.PartHoldBack != 1800*time.Millisecond {
			t.Errorf("constants %+v", got)
		}
		for elapsed := 2100 * time.Millisecond; elapsed < 12*time.Second; elapsed += 100 * time.Millisecond {
			src.until(elapsed, st.write(p))
			snap, _ = st.show().Snapshot()
			checkSnapshot(t, snap)
		}
		if err := p.Close(true); err != nil {
			t.Fatal(err)
		}
		if _, ok := st.Current(testPath); ok {
			t.Error("the show grows after a clean end")
		}
	})
}

// TestReadersMeetNoWriter is for the race detector: snapshots and bytes that were handed out are never written again.
func TestReadersMeetNoWriter(t *testing.T) {
	st := mustStudio(t, t.TempDir())
	p := st.publish(1, nil)
	st.tracks(p, videoTrack(), audioTrack())
	src := &source{fps: 30, gop: 30}
	src.until(3*time.Second, st.write(p))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			sum := 0
			for {
				select {
				case <-stop:
					return
				default:
				}
				id, _ := st.Current(testPath)
				show, ok := st.Show(testPath, id)
				if !ok {
					continue
				}
				snap, _ := show.Snapshot()
				checkSnapshot(t, snap)
				for i := range snap.Renditions {
					r := &snap.Renditions[i]
					for k := range r.Segments[len(r.Segments)-1].Size % 7 {
						data, _ := show.Part(1, r.Name, r.Last(), int(k))
						for _, b := range data {
							sum += int(b)
						}
					}
				}
			}
		})
	}
	src.until(30*time.Second, st.write(p))
	close(stop)
	wg.Wait()
}
