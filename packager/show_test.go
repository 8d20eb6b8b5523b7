package packager

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
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
			got.PartTarget != 512*time.Millisecond || got.PartHoldBack != 1836*time.Millisecond {
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

// hls.js takes a fragment that lacks less than 0.2 s for loaded and never asks for its last part: no segment may end in
// an audio part that is as short, whatever GOPs and parts make of it.
func TestAudioPartsEndWithVideos(t *testing.T) {
	for _, c := range []struct {
		fps, gop int64
		part     time.Duration
	}{{30, 30, 500}, {25, 50, 500}, {25, 25, 500}, {24, 48, 500}, {30, 63, 500}, {60, 60, 300}, {30, 30, 1000}} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			st := mustStudio(t, dir)
			p := st.publish(1, func(s *media.Settings) { s.PartDuration = media.Span(c.part * time.Millisecond) })
			st.tracks(p, videoTrack(), audioTrack())
			src := &source{fps: c.fps, gop: c.gop}
			src.until(15*time.Second, st.write(p))
			snap, _ := st.show().Snapshot()
			video, audio := snap.Renditions[0], snap.Renditions[1]
			for i, parts := range audio.Parts {
				msn := audio.Segments[len(audio.Segments)-len(audio.Parts)+i].MSN
				if len(parts) == 0 {
					continue
				}
				if last := media.Duration(parts[len(parts)-1].Duration, 48000); last < 250*time.Millisecond {
					t.Errorf("%+v: segment %d ends in an audio part of %v", c, msn, last)
				}
				at := int(msn-video.Segments[len(video.Segments)-1].MSN) + len(video.Parts) - 1
				if at < 0 || at >= len(video.Parts) {
					continue
				}
				if n := len(video.Parts[at]); n != len(parts) {
					t.Errorf("%+v: segment %d has %d parts of video and %d of audio", c, msn, n, len(parts))
				}
			}
			if err := p.Close(true); err != nil {
				t.Fatal(err)
			}
		})
	}
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
