package packager

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// stage is a studio in a synctest bubble, whose packager runs.
type stage struct {
	*studio
	t    *testing.T
	stop context.CancelFunc
	done chan error
	seen map[media.RecordingID]*hls.Snapshot
	// listed are the times at which segments were listed, of all shows.
	listed []time.Time
}

func onStage(t *testing.T, test func(*stage)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := mustStage(t, dir)
		defer s.end()
		test(s)
	})
}

func mustStage(t *testing.T, dir string) *stage {
	return running(t, mustStudio(t, dir))
}

// running is a studio whose packager runs.
func running(t *testing.T, st *studio) *stage {
	ctx, stop := context.WithCancel(context.Background())
	s := &stage{
		studio: st, t: t, stop: stop, done: make(chan error, 1), seen: make(map[media.RecordingID]*hls.Snapshot),
	}
	go func() { s.done <- s.Run(ctx) }()
	return s
}

// end stops the packager; it leaves no goroutine, or the bubble fails.
func (s *stage) end() {
	s.stop()
	if err := <-s.done; err != nil {
		s.t.Error(err)
	}
}

// look checks the newest version of every show.
func (s *stage) look() {
	s.t.Helper()
	st, _ := s.lookup(testPath, false)
	if st == nil {
		return
	}
	x := st.index.Load()
	if x == nil {
		return
	}
	for _, show := range x.all {
		snap, _ := show.Snapshot()
		old := s.seen[show.id]
		if snap == nil || snap == old {
			continue
		}
		checkSnapshot(s.t, snap)
		checkGrowth(s.t, old, snap)
		if old == nil || len(snap.Renditions[0].Segments) > len(old.Renditions[0].Segments) {
			s.listed = append(s.listed, time.Now())
		}
		s.seen[show.id] = snap
	}
}

// play feeds a source in real time.
func (s *stage) play(p *Publication, src *source, d time.Duration) {
	s.t.Helper()
	at := src.start + ms(time.Duration(src.video)*time.Second/time.Duration(src.fps))
	for end := at + d; at < end; {
		at += 20 * time.Millisecond
		src.until(at, func(f *media.Frame) {
			s.t.Helper()
			if err := p.WriteFrame(f); err != nil {
				s.t.Fatal(err)
			}
			s.look()
		})
		s.wait(20 * time.Millisecond)
	}
}

// wait lets time pass.
func (s *stage) wait(d time.Duration) {
	s.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(min(50*time.Millisecond, time.Until(end)))
		synctest.Wait()
		s.look()
	}
}

// newest gives the newest snapshot of the growing show.
func (s *stage) newest() *hls.Snapshot {
	s.t.Helper()
	snap, _ := s.show().Snapshot()
	if snap == nil {
		s.t.Fatal("no snapshot")
	}
	return snap
}

// checkSEQ6 says that no two listings were further apart than 1.5 target durations.
func (s *stage) checkSEQ6() {
	s.t.Helper()
	for i := 1; i < len(s.listed); i++ {
		if d := s.listed[i].Sub(s.listed[i-1]); d > 3*time.Second {
			s.t.Errorf("SEQ-6: segment %d was listed %v after the one before", i, d)
		}
	}
}

func (s *stage) open() (*Publication, *source) {
	s.t.Helper()
	p := s.publish(1, nil)
	s.tracks(p, videoTrack(), audioTrack())
	return p, &source{fps: 30, gop: 30}
}

func (s *stage) close(p *Publication, clean bool) {
	s.t.Helper()
	if err := p.Close(clean); err != nil {
		s.t.Fatal(err)
	}
	if err := p.Close(clean); err != nil {
		s.t.Errorf("second close: %v", err)
	}
	s.look()
}

func TestLIF1ReconnectContinuesTheRecording(t *testing.T) {
	t.Run("parts", func(t *testing.T) { reconnect(t, false) })
	t.Run("whole after the discontinuity", func(t *testing.T) { reconnect(t, true) })
}

func reconnect(t *testing.T, whole bool) {
	onStage(t, func(s *stage) {
		p := s.publish(1, func(settings *media.Settings) { settings.WholeAfterDiscontinuity = whole })
		s.tracks(p, videoTrack(), audioTrack())
		src := &source{fps: 30, gop: 30}
		s.play(p, src, 5300*time.Millisecond)
		id := s.show().ID()
		s.close(p, false)
		left := s.newest()
		if left.State != media.Interrupted || left.Renditions[0].Open != nil {
			t.Fatalf("after the loss: state %s, open %+v", left.State, left.Renditions[0].Open)
		}
		last := left.Renditions[0].Segments[len(left.Renditions[0].Segments)-1]
		if d := media.Duration(last.DTS+last.Duration, 90000); d < 5200*time.Millisecond {
			t.Errorf("the open segment was not listed: media ends at %v", d)
		}
		s.wait(1700 * time.Millisecond)

		p = s.publish(2, nil)
		s.tracks(p, videoTrack(), audioTrack())
		src = &source{fps: 30, gop: 30, start: 500 * time.Hour}
		s.play(p, src, 700*time.Millisecond)
		snap := s.newest()
		if open := snap.Renditions[0].Open; open == nil || open.Whole != whole || (len(open.Parts) == 0) != whole || open.Take != 2 {
			t.Fatalf("the next take's first segment: %+v", open)
		}
		s.play(p, src, 5*time.Second)
		snap = s.newest()
		if s.show().ID() != id || len(snap.Takes) != 2 || snap.State != media.Live {
			t.Fatalf("recording %s, %d takes, state %s", s.show().ID(), len(snap.Takes), snap.State)
		}
		for i := range snap.Renditions {
			r := &snap.Renditions[i]
			first := r.Segments[snap.Takes[1].FirstMSN-1]
			if first.Take != 2 || r.Segments[first.MSN-2].Take != 1 {
				t.Errorf("DSC-4: %s: take 2 does not begin at %d", r.Name, first.MSN)
			}
			at := media.Duration(first.DTS, timescaleOf(snap, 2, r.Name))
			before := r.Segments[first.MSN-2]
			end := media.Duration(before.DTS+before.Duration, timescaleOf(snap, 1, r.Name))
			if at < end || at > end+25*time.Millisecond {
				t.Errorf("%s: take 2 begins at media time %v, take 1 ends at %v", r.Name, at, end)
			}
			if parts := r.SegmentParts(first.MSN); (len(parts) == 0) != whole {
				t.Errorf("%s: the first segment of take 2 has %d parts", r.Name, len(parts))
			}
		}
		if snap.Takes[1].Epoch != 2 || !snap.Independent {
			t.Errorf("take %+v, independent %v", snap.Takes[1], snap.Independent)
		}
		s.checkSEQ6()
		s.close(p, true)
		s.wait(time.Second)
		want := []string{media.EventLive, media.EventInterrupted, media.EventLive, media.EventEnded}
		if got := s.sink.eventTypes(); !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
		if row := s.sink.rows[id]; row.State != media.Ended || row.EndedAt.IsZero() || row.Bytes == 0 ||
			row.Duration < 10*time.Second || row.Duration > 11100*time.Millisecond {
			t.Errorf("row %+v", row)
		}
	})
}

func TestSEQ6FillersKeepPlaylistsMovingUntilTheWindowCloses(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		s.close(p, false)
		show := s.show()
		s.wait(59 * time.Second)
		snap := s.newest()
		for _, r := range snap.Renditions {
			var fillers int
			for i := range r.Segments {
				seg := &r.Segments[i]
				if !seg.Filler {
					continue
				}
				fillers++
				before := &r.Segments[i-1]
				timescale := timescaleOf(snap, 1, r.Name)
				if d := seg.Date.Sub(before.Date.Add(media.Duration(before.Duration, timescale))).Abs(); d > 20*time.Millisecond {
					t.Errorf("PDT-3: %s filler %d is %v off", r.Name, seg.MSN, d)
				}
				if !seg.Gap || seg.Size != 0 {
					t.Errorf("GAP-1: filler %+v", seg)
				}
			}
			if fillers < 27 || fillers > 30 {
				t.Errorf("%s has %d fillers for 59 s", r.Name, fillers)
			}
		}
		s.checkSEQ6()
		s.wait(2 * time.Second)
		if _, ok := s.Current(testPath); ok {
			t.Error("the show outlived its reconnect window")
		}
		last, _ := show.Snapshot()
		if last.State != media.Ended {
			t.Errorf("state %s", last.State)
		}
		if _, ok := s.Show(testPath, show.ID()); !ok {
			t.Error("LIF-3: the show went with its end")
		}
		s.wait(3 * time.Minute)
		if _, ok := s.Show(testPath, show.ID()); ok {
			t.Error("the show stays for ever")
		}
		if len(s.all()) != 0 {
			t.Error("the stream's state stays for ever")
		}
	})
}

func TestInterruptionHoldListsNoFillers(t *testing.T) {
	onStage(t, func(s *stage) {
		p := s.publish(1, func(x *media.Settings) { x.Interruption = media.InterruptionHold })
		s.tracks(p, videoTrack())
		src := &source{fps: 30, gop: 30, audio: -1}
		s.play(p, src, 5*time.Second)
		s.close(p, false)
		n := len(s.newest().Renditions[0].Segments)
		s.wait(30 * time.Second)
		if got := len(s.newest().Renditions[0].Segments); got != n {
			t.Errorf("%d segments became %d", n, got)
		}
	})
}

func TestLIF4SilentPublisherGetsFillers(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		s.wait(20 * time.Second)
		snap := s.newest()
		r := snap.Renditions[0]
		if last := r.Segments[len(r.Segments)-1]; !last.Filler || snap.State != media.Live {
			t.Fatalf("after 20 s of silence: state %s, last segment %+v", snap.State, last)
		}
		s.checkSEQ6()
		src.start += 20 * time.Second
		s.play(p, src, 5*time.Second)
		s.checkSEQ6()
		snap = s.newest()
		if len(snap.Takes) != 2 || snap.Renditions[0].Open == nil {
			t.Fatalf("%d takes after the silence", len(snap.Takes))
		}
	})
}

func TestHiccupOfTheNetworkCostsNoTake(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 5500*time.Millisecond)
		s.wait(2500 * time.Millisecond)
		src.until(8*time.Second, s.write(p)) // all at once, nothing lost
		s.look()
		s.play(p, src, 4*time.Second)
		snap := s.newest()
		if len(snap.Takes) != 1 {
			t.Errorf("%d takes", len(snap.Takes))
		}
		s.checkSEQ6()
	})
}

// TestStandstillOfTheServerIsNoSilence: what came while the process stood still is read before anything is filled in for
// it. A publisher that is silent all the same is found at the next tick, be that as late.
func TestStandstillOfTheServerIsNoSilence(t *testing.T) {
	for _, sent := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			st := mustStudio(t, t.TempDir())
			defer func() {
				over, stop := context.WithCancel(context.Background())
				stop()
				if err := st.Run(over); err != nil {
					t.Error(err)
				}
			}()
			p := st.publish(1, nil)
			st.tracks(p, videoTrack(), audioTrack())
			src := &source{fps: 30, gop: 30}
			for at := range 55 { // ticks for 5.5 s
				src.until(time.Duration(at)*100*time.Millisecond, st.write(p))
				time.Sleep(100 * time.Millisecond)
				st.Step(time.Now())
			}
			segments := func() []media.Segment {
				snap, _ := st.show().Snapshot()
				return snap.Renditions[0].Segments
			}
			before := len(segments())
			time.Sleep(2500 * time.Millisecond)
			st.Step(time.Now())
			if n := len(segments()); n != before {
				t.Errorf("%d segments became %d at the first tick", before, n)
			}
			if sent {
				src.until(8*time.Second, st.write(p))
				time.Sleep(100 * time.Millisecond)
				st.Step(time.Now())
				for _, seg := range segments() {
					if seg.DTS%(2*videoTimescale) != 0 {
						t.Errorf("segment %d begins at tick %d", seg.MSN, seg.DTS)
					}
				}
				return
			}
			time.Sleep(time.Second) // late again
			st.Step(time.Now())
			if n := len(segments()); n != before+1 {
				t.Errorf("%d segments became %d though nothing was sent", before, n)
			}
		})
	}
}

func TestTakeoverFencesTheOlderPublication(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		id := s.show().ID()
		q := s.publish(2, nil)
		if err := p.WriteFrame(videoFrame(time.Minute, true)); !errors.Is(err, media.ErrTakenOver) {
			t.Errorf("write of the older: %v", err)
		}
		if err := p.SetTracks([]media.Track{videoTrack()}); !errors.Is(err, media.ErrTakenOver) {
			t.Errorf("tracks of the older: %v", err)
		}
		if err := p.Close(true); err != nil {
			t.Errorf("close of the older: %v", err)
		}
		if _, err := s.Publish(t.Context(), media.Stream{Path: testPath}, 1); !errors.Is(err, media.ErrFenced) {
			t.Errorf("an older epoch: %v", err)
		}
		s.tracks(q, videoTrack(), audioTrack())
		s.play(q, &source{fps: 25, gop: 50}, 5*time.Second)
		if snap := s.newest(); s.show().ID() != id || len(snap.Takes) != 2 {
			t.Errorf("recording %s, %d takes", s.show().ID(), len(snap.Takes))
		}
	})
}

func TestLIF2ChangedParameterSetsBeginATake(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		sps := slices.Clone(testSPS)
		sps[3] = 31 // another level
		told := false
		changed := func(f *media.Frame) {
			if f.Track == 0 && f.Sync && !told {
				told = true
				s.tracks(p, videoTrackOf(sps), audioTrack())
			}
			s.write(p)(f)
			s.look()
		}
		src.until(12*time.Second, changed)
		snap := s.newest()
		if len(snap.Takes) != 2 {
			t.Fatalf("%d takes", len(snap.Takes))
		}
		a, b := snap.Takes[0].Tracks[0], snap.Takes[1].Tracks[0]
		if a.CodecString != "avc1.64001e" || b.CodecString != "avc1.64001f" {
			t.Errorf("codecs %s and %s", a.CodecString, b.CodecString)
		}
		if !snap.Independent || snap.State != media.Live {
			t.Errorf("independent %v, state %s", snap.Independent, snap.State)
		}
	})
}

func TestOtherSetOfTracksContinuesInAnotherRecording(t *testing.T) {
	onStage(t, func(s *stage) {
		p := s.publish(1, nil)
		s.tracks(p, videoTrack())
		src := &source{fps: 30, gop: 30, audio: -1}
		s.play(p, src, 5*time.Second)
		first := s.show()
		s.tracks(p, videoTrack(), audioTrack())
		src.audio = src.video * 48000 / 1024 / 30
		s.play(p, src, 5*time.Second)
		second := s.show()
		if second.ID() == first.ID() {
			t.Fatal("the same recording")
		}
		if snap, _ := first.Snapshot(); snap.State != media.Ended {
			t.Errorf("the first is %s", snap.State)
		}
		s.wait(time.Second)
		if row := s.sink.rows[second.ID()]; row.Continues != first.ID() {
			t.Errorf("row %+v", row)
		}
		if snap := s.newest(); len(snap.Renditions) != 2 {
			t.Errorf("%d renditions", len(snap.Renditions))
		}
	})
}

// TestAudioThatComesLateJoinsTheRecording: configured audio of which nothing has come begins with silence, for as long
// as nothing comes.
func TestAudioThatComesLateJoinsTheRecording(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		src.audio = -1
		s.play(p, src, 2100*time.Millisecond)
		if snap := s.newest(); len(snap.Renditions) != 2 {
			t.Fatalf("%d renditions", len(snap.Renditions))
		}
		first := s.show().ID()
		s.play(p, src, 3*time.Second)
		src.audio = src.video * 48000 / 1024 / 30 // it comes after all
		s.play(p, src, 5*time.Second)
		if snap := s.newest(); len(snap.Takes) != 1 || s.show().ID() != first {
			t.Errorf("%d takes of %s, the first was %s", len(snap.Takes), s.show().ID(), first)
		}
		if silent := p.Repairs()["audio"]["silence"]; silent < 230 || silent > 250 {
			t.Errorf("%d units of silence in 5.1 s", silent)
		}
	})
}

// TestMV2AnnouncedAudioThatNeverComesIsAbsent where no silence can be made.
func TestMV2AnnouncedAudioThatNeverComesIsAbsent(t *testing.T) {
	onStage(t, func(s *stage) {
		p := s.publish(1, nil)
		s.tracks(p, videoTrack(),
			media.Track{Name: "audio", Kind: media.Audio, Codec: media.AC3, Config: []byte{0x10, 0x3d, 0xe0}})
		src := &source{fps: 30, gop: 30, audio: -1}
		s.play(p, src, 2100*time.Millisecond)
		if snap := s.newest(); len(snap.Renditions) != 1 {
			t.Fatalf("%d renditions", len(snap.Renditions))
		}
		first := s.show().ID()
		s.play(p, src, 3*time.Second)
		src.audio = src.video * 48000 / 1024 / 30 // it comes after all
		s.play(p, src, 5*time.Second)
		if snap := s.newest(); len(snap.Renditions) != 2 || s.show().ID() == first {
			t.Errorf("%d renditions in %s", len(snap.Renditions), s.show().ID())
		}
	})
}

// TestFirstStampsOfAudioThatAreWrongMoveNoOther is what GStreamer's flvmux sends, at rest and under load.
func TestFirstStampsOfAudioThatAreWrongMoveNoOther(t *testing.T) {
	for _, first := range [][]time.Duration{
		{0, 0}, {0, 0, 33}, {0, 0, 21, 200, 200, 266, 266, 266, 266, 300, 300, 300, 300, 300, 300},
	} {
		onStage(t, func(s *stage) {
			p := s.publish(1, nil)
			s.tracks(p, videoTrack(), audioTrack())
			video := &source{fps: 30, gop: 30, audio: -1}
			for i := range 300 {
				at := max(0, ms(media.Duration(int64(i-1)*1024, 48000)))
				stamp := at
				if i < len(first) {
					stamp = first[i] * time.Millisecond
				}
				f := audioFrame(1, stamp)
				f.Payload = append(f.Payload[:len(f.Payload):len(f.Payload)], make([]byte, i)...)
				s.write(p)(f)
				video.until(at, s.write(p))
				s.wait(21333 * time.Microsecond)
			}
			show := s.show()
			s.close(p, true)
			for n, sample := range readSamples(t, s.file(show, 1, "audio"))[:290] {
				// The first lies before the first picture.
				if want := int64(n) * 1024; sample.dts != want || int(sample.size) != 6+n+1 {
					t.Fatalf("unit %d is at %d, want %d; %d bytes", n, sample.dts, want, sample.size)
				}
			}
		})
	}
}

func TestAudioOnlyShow(t *testing.T) {
	onStage(t, func(s *stage) {
		p := s.publish(1, nil)
		audio := audioTrack()
		s.tracks(p, audio)
		start := time.Now()
		for i := int64(0); i < 48000*10/1024; i++ {
			at := media.Duration(i*1024, 48000)
			time.Sleep(at - time.Since(start))
			if err := p.WriteFrame(audioFrame(0, ms(at))); err != nil {
				t.Fatal(err)
			}
			s.look()
		}
		snap := s.newest()
		if n := len(snap.Renditions[0].Segments); n < 4 || n > 5 {
			t.Errorf("%d segments in 10 s", n)
		}
		s.checkSEQ6()
		s.close(p, true)
	})
}

func TestAudioThatStopsIsFilledWithSilence(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		quiet := src.audio
		src.audio = -1
		s.play(p, src, 10*time.Second)
		snap := s.newest()
		v, a := snap.Renditions[0].Last(), snap.Renditions[1].Last()
		if len(snap.Takes) != 1 || v-a > 1 {
			t.Errorf("%d takes, video at %d, audio at %d", len(snap.Takes), v, a)
		}
		src.audio = quiet + 10*48000/1024
		s.play(p, src, 5*time.Second)
		s.checkSEQ6()
		s.close(p, true)
	})
}

func TestLateAudioIsHeardInTheEnd(t *testing.T) {
	onStage(t, func(s *stage) {
		p := s.publish(1, nil)
		s.tracks(p, videoTrack(), audioTrack())
		video := &source{fps: 30, gop: 30, audio: -1}
		units, late := int64(0), 1300*time.Millisecond
		for at := time.Duration(0); at < 20*time.Second; at += 20 * time.Millisecond {
			video.until(at, s.write(p))
			for ; media.Duration(units*1024, 48000) < at-late; units++ {
				s.write(p)(audioFrame(1, ms(media.Duration(units*1024, 48000))))
			}
			s.wait(20 * time.Millisecond)
		}
		silent := testutil.ToFloat64(s.metrics.repairs.WithLabelValues("audio", "silence"))
		if silent > 200 || len(s.newest().Takes) != 1 {
			t.Errorf("%v of %d units are silence, %d takes", silent, units, len(s.newest().Takes))
		}
	})
}

func TestVideoThatStopsWhileAudioGoesOn(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		first := s.show().ID()
		for range 150 { // 30 s
			for range 10 {
				s.write(p)(audioFrame(1, ms(media.Duration(src.audio*1024, 48000))))
				src.audio++
			}
			s.wait(media.Duration(10*1024, 48000))
		}
		s.checkSEQ6()
		src.video = src.audio * 1024 * 30 / 48000 / 30 * 30
		s.play(p, src, 5*time.Second)
		s.checkSEQ6()
		if snap := s.newest(); len(snap.Takes) != 2 || s.show().ID() != first {
			t.Errorf("%d takes", len(snap.Takes))
		}
	})
}

func TestIntraRefreshWithoutIDRStarts(t *testing.T) {
	onStage(t, func(s *stage) {
		p := s.publish(1, nil)
		s.tracks(p, videoTrack())
		for i := range 300 {
			at := ms(time.Duration(i) * time.Second / 30)
			f := videoFrame(at, false)
			f.Recovery = i%30 == 0
			s.write(p)(f)
			s.wait(33 * time.Millisecond)
		}
		snap := s.newest()
		if snap.Independent || len(snap.Renditions[0].Segments) < 2 {
			t.Errorf("independent %v, %d segments", snap.Independent, len(snap.Renditions[0].Segments))
		}
	})
}

// TestIntraRefreshBehindOneIDRStartsAtOnce is what x264 sends with intra-refresh=1: the first playlist comes with the
// first segment, and segments end at recovery points.
func TestIntraRefreshBehindOneIDRStartsAtOnce(t *testing.T) {
	onStage(t, func(s *stage) {
		p := s.publish(1, nil)
		s.tracks(p, videoTrack())
		for i := range 240 {
			f := videoFrame(ms(time.Duration(i)*time.Second/30), i == 0)
			f.Recovery = i > 0 && i%60 == 0
			s.write(p)(f)
			s.wait(33 * time.Millisecond)
			if i == 70 && s.newest() == nil {
				t.Fatal("no playlist after 2.3 s")
			}
		}
		segments := s.newest().Renditions[0].Segments
		for _, seg := range segments {
			if d := media.Duration(seg.Duration, 90000); (d - 2*time.Second).Abs() > 40*time.Millisecond {
				t.Errorf("segment %d lasts %v", seg.MSN, d)
			}
		}
		if len(segments) != 3 {
			t.Errorf("%d segments", len(segments))
		}
		s.close(p, true)
	})
}

func TestClockJumpBeginsATake(t *testing.T) {
	for _, jump := range []time.Duration{-time.Hour, time.Hour} {
		onStage(t, func(s *stage) {
			p, src := s.open()
			src.start = 2 * time.Hour
			s.play(p, src, 5*time.Second)
			src.start += jump
			s.play(p, src, 6*time.Second)
			snap := s.newest()
			if len(snap.Takes) != 2 {
				t.Fatalf("%d takes", len(snap.Takes))
			}
			r := snap.Renditions[0]
			if last := r.Segments[len(r.Segments)-1]; media.Duration(last.DTS, 90000) > 15*time.Second {
				t.Errorf("media time jumped to %v", media.Duration(last.DTS, 90000))
			}
			s.close(p, true)
		})
	}
}

func TestShortShowIsRecorded(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 700*time.Millisecond)
		s.close(p, true)
		s.wait(time.Second)
		if len(s.sink.order) != 1 {
			t.Fatalf("%d recordings", len(s.sink.order))
		}
		if row := s.sink.rows[s.sink.order[0]]; row.State != media.Ended || row.Duration < 600*time.Millisecond {
			t.Errorf("row %+v", row)
		}
	})
}

func TestSEQ1_LIF6_StoppedShowIsResumed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := mustStage(t, dir)
		p, src := s.open()
		s.play(p, src, 4*time.Second)
		s.tell(p, media.ID3, 4100*time.Millisecond, "ID3 in time")
		s.tell(p, media.ID3, 2*time.Second, "ID3 too late")
		s.tell(p, media.CuePoint, 4500*time.Millisecond, `{"name":"cue"}`)
		s.play(p, src, 1300*time.Millisecond)
		id := s.show().ID()
		s.end()
		if err := p.WriteFrame(videoFrame(time.Minute, true)); !errors.Is(err, media.ErrUnavailable) {
			t.Errorf("write after the stop: %v", err)
		}
		before := s.seen[id]
		if _, err := s.Publish(context.Background(), media.Stream{Path: testPath}, 3); !errors.Is(err, media.ErrUnavailable) {
			t.Errorf("publish after the stop: %v", err)
		}
		if err := s.root.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)

		again := mustStage(t, dir)
		refs, err := again.root.Unfinished(t.Context())
		if err != nil || len(refs) != 1 || refs[0].ID != id {
			t.Fatalf("unfinished %v, %v", refs, err)
		}
		rec, w, err := again.root.Reopen(t.Context(), testPath, id)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Resume(t.Context(), rec, w); err != nil {
			t.Fatal(err)
		}
		snap := again.newest()
		if snap.State != media.Interrupted {
			t.Errorf("state %s", snap.State)
		}
		for i := range before.Renditions {
			if a, b := before.Renditions[i].Segments, snap.Renditions[i].Segments; !slices.EqualFunc(a, b[:len(a)], sameSegment) {
				t.Errorf("SEQ-2: %s: before %+v\nafter %+v", before.Renditions[i].Name, a, b)
			}
		}
		told := before.Metadata
		if diff := cmp.Diff(told, snap.Metadata); diff != "" || len(told) != 3 {
			t.Errorf("metadata: %s", diff)
		}
		again.wait(10 * time.Second)
		q := again.publish(7, nil)
		again.tracks(q, videoTrack(), audioTrack())
		again.play(q, &source{fps: 30, gop: 30}, 5*time.Second)
		snap = again.newest()
		if again.show().ID() != id || len(snap.Takes) != 2 {
			t.Fatalf("recording %s, %d takes", again.show().ID(), len(snap.Takes))
		}
		again.checkSEQ6()
		again.tell(q, media.SCTE35, 4*time.Second, "\xfc")
		again.close(q, true)
		list := again.stored(id).Metadata
		if len(list) != 4 || list[3].Take != 2 || list[3].Number <= maxMetadata || string(list[3].Payload) != "\xfc" {
			t.Errorf("metadata in the end: %+v", list)
		}
		again.end()
	})
}

func sameSegment(a, b media.Segment) bool {
	dates := a.Date.Equal(b.Date)
	a.Date, b.Date = time.Time{}, time.Time{}
	return dates && reflect.DeepEqual(a, b)
}
