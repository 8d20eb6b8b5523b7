package packager

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// volume is a recording volume that can stall: every call to it then waits until it goes on. Or its writes fail.
type volume struct {
	mu    sync.Mutex
	going chan struct{} // nil: it works
	err   error
}

func (v *volume) stall() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.going == nil {
		v.going = make(chan struct{})
	}
}

// fail makes parts fail from now on.
func (v *volume) fail(err error) {
	v.goOn()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.err = err
}

func (v *volume) goOn() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.err = nil
	if v.going != nil {
		close(v.going)
		v.going = nil
	}
}

func (v *volume) wait() error {
	v.mu.Lock()
	going, err := v.going, v.err
	v.mu.Unlock()
	if going != nil {
		<-going
	}
	return err
}

// under puts the test stream's recordings on the volume; the other streams' stay beside it. takes says that recordings
// can be created nevertheless.
func (s *stage) under(v *volume, takes bool) {
	create := s.create
	s.create = func(m reclog.Manifest) (showLog, error) {
		if m.Path() != testPath {
			return create(m)
		}
		if !takes {
			_ = v.wait()
		}
		log, err := create(m)
		if err != nil {
			return nil, err
		}
		return volumeLog{log, v}, nil
	}
}

type volumeLog struct {
	showLog
	v *volume
}

func (l volumeLog) StartTake(take media.Take, inits [][]byte) (takeLog, error) {
	_ = l.v.wait()
	t, err := l.showLog.StartTake(take, inits)
	if err != nil {
		return nil, err
	}
	return volumeTake{t, l.v}, nil
}

func (l volumeLog) AppendGap(track int, seg media.Segment) error {
	_ = l.v.wait()
	return l.showLog.AppendGap(track, seg)
}

func (l volumeLog) AppendMetadata(m media.Metadata) error {
	_ = l.v.wait()
	return l.showLog.AppendMetadata(m)
}

func (l volumeLog) Update(change func(*reclog.Manifest)) error {
	_ = l.v.wait()
	return l.showLog.Update(change)
}

type volumeTake struct {
	takeLog
	v *volume
}

func (t volumeTake) AppendPart(track int, data []byte) (int64, error) {
	if err := t.v.wait(); err != nil {
		return 0, err
	}
	return t.takeLog.AppendPart(track, data)
}

func (t volumeTake) FinishSegment(track int, seg media.Segment) error {
	return t.takeLog.FinishSegment(track, seg) // reclog's never waits
}

func (t volumeTake) Seal() error {
	_ = t.v.wait()
	return t.takeLog.Seal()
}

// timedPlay is play, and gives the longest that a frame took, the number of frames that took any time, and the longest
// time between two versions of the playlists.
func (s *stage) timedPlay(p *Publication, src *source, d time.Duration) (longest time.Duration, late int, still time.Duration) {
	s.t.Helper()
	snap, _ := s.show().Snapshot()
	changed := time.Now()
	at := src.start + ms(time.Duration(src.video)*time.Second/time.Duration(src.fps))
	for end := at + d; at < end; {
		at += 20 * time.Millisecond
		begun := time.Now()
		src.until(at, func(f *media.Frame) {
			s.t.Helper()
			before := time.Now()
			if err := p.WriteFrame(f); err != nil {
				s.t.Fatal(err)
			}
			if took := time.Since(before); took > 0 {
				late++
				longest = max(longest, took)
			}
			s.look()
		})
		s.wait(max(0, 20*time.Millisecond-time.Since(begun)))
		if next, _ := s.show().Snapshot(); next != snap {
			still = max(still, time.Since(changed))
			snap, changed = next, time.Now()
		}
	}
	return longest, late, max(still, time.Since(changed))
}

func (s *stage) checkDegraded(want float64) {
	s.t.Helper()
	if got := testutil.ToFloat64(s.metrics.degraded); got != want {
		s.t.Errorf("%v shows are degraded, want %v", got, want)
	}
}

// checkStored says that storage has all that was live, by number and time, and gives the number of video's gaps.
func (s *stage) checkStored(show *Show) (rec *reclog.Recording, gaps int) {
	s.t.Helper()
	rec = s.stored(show.ID())
	snap, _ := show.Snapshot()
	for i, tr := range rec.Tracks {
		live := snap.Renditions[i].Segments
		if len(tr.Segments) != len(live) {
			s.t.Errorf("%s has %d segments on storage, %d live", tr.Name, len(tr.Segments), len(live))
			continue
		}
		for j := range tr.Segments {
			a, b := &live[j], &tr.Segments[j]
			// Gaps at the end of a take may be made up, by the neighbours' times.
			same := a.DTS == b.DTS && a.Duration == b.Duration || b.Gap && len(rec.Takes) > 1
			if !same || a.Take != b.Take {
				s.t.Errorf("SEQ-2: %s segment %d differs: live %+v, stored %+v", tr.Name, j+1, a, b)
			}
			if !b.Gap && a.Offset >= 0 && a.Offset != b.Offset {
				s.t.Errorf("%s segment %d is announced at %d and lies at %d", tr.Name, j+1, a.Offset, b.Offset)
			}
			if b.Gap != (a.Offset < 0 || a.Gap) {
				s.t.Errorf("%s segment %d: gap on storage %v, announced at %d", tr.Name, j+1, b.Gap, a.Offset)
			}
			if b.Gap && !b.Filler && i == 0 {
				gaps++
			}
		}
	}
	return rec, gaps
}

func TestStalledVolumeStallsNoStream(t *testing.T) {
	onStage(t, func(s *stage) {
		var v volume
		s.under(&v, false)
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		show := s.show()
		other := s.publishTo(media.StreamPath{Publisher: "acme", Stream: "other"})
		s.tracks(other, videoTrack(), audioTrack())
		beside := &source{fps: 30, gop: 30}
		beside.until(4*time.Second, s.write(other))

		v.stall()
		longest, late, still := s.timedPlay(p, src, 2*time.Second)
		if longest != storagePatience || late != 1 {
			t.Errorf("%d frames waited, up to %v", late, longest)
		}
		s.checkDegraded(1)
		before := time.Now()
		beside.until(10*time.Second, s.write(other))
		if took := time.Since(before); took != 0 {
			t.Errorf("the other stream waited %v", took)
		}
		_, late, next := s.timedPlay(p, src, 8*time.Second)
		if still = max(still, next); late != 0 || still > 700*time.Millisecond {
			t.Errorf("%d frames waited in the outage, playlists stood still for %v", late, still)
		}
		before = time.Now()
		s.Step(before)
		if took := time.Since(before); took > 0 {
			t.Errorf("a step took %v", took)
		}
		s.checkLive(show)

		v.goOn()
		s.play(p, src, 8*time.Second)
		s.checkDegraded(0)
		s.checkLive(show)
		if _, late, _ := s.timedPlay(p, src, 4*time.Second); late != 0 {
			t.Errorf("%d frames waited after the outage", late)
		}
		s.checkSEQ6()
		s.close(p, true)
		// The queue held all of it, so nothing is lost, and the playlists have learned where it is.
		rec, gaps := s.checkStored(show)
		if gaps != 0 || len(rec.Takes) != 1 {
			t.Errorf("%d gaps in %d takes", gaps, len(rec.Takes))
		}
		if got := testutil.ToFloat64(s.metrics.lost); got != 0 {
			t.Errorf("%v segments were counted as lost", got)
		}
	})
}

func TestStallBeyondTheQueueLeavesMarkedGaps(t *testing.T) {
	onStage(t, func(s *stage) {
		s.cfg.Memory = 80 << 10 // the queue takes some three seconds
		var v volume
		s.under(&v, false)
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		show := s.show()
		v.stall()
		if longest, late, still := s.timedPlay(p, src, 10*time.Second); longest != storagePatience || late != 1 ||
			still > 700*time.Millisecond {
			t.Errorf("%d frames waited, up to %v; playlists stood still for %v", late, longest, still)
		}
		show.recorder.mu.Lock()
		if q := &show.recorder.mu.queue; q.bytes > show.recorder.limit || q.bytes == 0 {
			t.Errorf("%d bytes wait, the limit is %d", q.bytes, show.recorder.limit)
		}
		show.recorder.mu.Unlock()
		s.checkDegraded(1)
		v.goOn()
		s.play(p, src, 8*time.Second)
		s.checkDegraded(0)
		s.close(p, true)
		rec, gaps := s.checkStored(show)
		if gaps < 2 || gaps > 5 || len(rec.Takes) != 1 || len(rec.Damage) != 0 {
			t.Errorf("%d gaps in %d takes, damage %v", gaps, len(rec.Takes), rec.Damage)
		}
		segments := rec.Tracks[0].Segments
		if last := segments[len(segments)-1]; last.Gap {
			t.Errorf("the last segment %+v", last)
		}
		var lost int
		for _, tr := range rec.Tracks {
			for i := range tr.Segments {
				if tr.Segments[i].Gap {
					lost++
				}
			}
		}
		if got := testutil.ToFloat64(s.metrics.lost); got != float64(lost) {
			t.Errorf("%v segments were counted as lost, %d are", got, lost)
		}
	})
}

func TestStopGivesAStalledVolumeUp(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := mustStage(t, dir)
		var v volume
		s.under(&v, false)
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		v.stall()
		s.play(p, src, 2*time.Second)
		before := time.Now()
		s.end()
		if took := time.Since(before); took < time.Second || took > stopTimeout+time.Second {
			t.Errorf("the stop took %v", took)
		}
		if err := p.WriteFrame(videoFrame(time.Minute, true)); !errors.Is(err, media.ErrUnavailable) {
			t.Errorf("write after the stop: %v", err)
		}
		v.goOn() // else the bubble would not end
		synctest.Wait()
	})
}

func TestShowOnAStalledVolumeIsRefused(t *testing.T) {
	for name, takes := range map[string]bool{"recording": false, "first take": true} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				var v volume
				s.under(&v, takes)
				v.stall()
				p, src := s.open()
				try := func() (took time.Duration, err error) {
					src.until(src.start+time.Duration(src.video)*time.Second/30+3*time.Second, func(f *media.Frame) {
						before := time.Now()
						if err == nil {
							err = p.WriteFrame(f)
						}
						took = max(took, time.Since(before))
					})
					return took, err
				}
				took, err := try()
				if !errors.Is(err, media.ErrUnavailable) || took != beginPatience {
					t.Errorf("error %v after %v", err, took)
				}
				before := time.Now()
				s.Step(before)
				if took := time.Since(before); took > s.cfg.Tick {
					t.Errorf("a step took %v", took)
				}
				if err := p.Close(false); err != nil && !errors.Is(err, media.ErrUnavailable) {
					t.Errorf("close: %v", err)
				}
				v.goOn()
				s.wait(5 * time.Minute)
				if n := len(s.all()); n != 0 {
					t.Errorf("%d streams stay", n)
				}
				rec := s.stored(media.RecordingID("01k00000000000000000000001"))
				if rec.State != media.Ended || len(rec.Takes) != 0 {
					t.Errorf("what was begun late is %s with %d takes", rec.State, len(rec.Takes))
				}
				p = s.publish(2, nil)
				s.tracks(p, videoTrack(), audioTrack())
				s.play(p, &source{fps: 30, gop: 30}, 5*time.Second)
				s.close(p, true)
			})
		})
	}
}

func TestTakesBegunInAStallAreRecordedAfterIt(t *testing.T) {
	onStage(t, func(s *stage) {
		var v volume
		s.under(&v, false)
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		show := s.show()
		v.stall()
		s.play(p, src, time.Second)
		before := time.Now()
		s.close(p, false)
		if took := time.Since(before); took > storagePatience {
			t.Errorf("close took %v", took)
		}
		s.wait(6 * time.Second) // fillers
		q := s.publish(2, nil)
		s.tracks(q, videoTrack(), audioTrack())
		again := &source{fps: 30, gop: 30}
		s.play(q, again, 5*time.Second)
		s.checkDegraded(1)
		s.checkSEQ6()
		v.goOn()
		s.play(q, again, 8*time.Second)
		s.checkDegraded(0)
		s.close(q, true)
		rec, gaps := s.checkStored(show)
		if gaps != 0 || len(rec.Takes) != 2 {
			t.Errorf("%d gaps in %d takes", gaps, len(rec.Takes))
		}
	})
}

func TestEndInAStallIsToldAfterIt(t *testing.T) {
	onStage(t, func(s *stage) {
		var v volume
		s.under(&v, false)
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		show := s.show()
		v.stall()
		s.play(p, src, time.Second)
		s.close(p, true)
		s.wait(10 * time.Second)
		if snap, _ := show.Snapshot(); snap.State != media.Ended {
			t.Errorf("players see %s", snap.State)
		}
		if row := s.sink.rows[show.ID()]; row.State != media.Live {
			t.Errorf("the catalog has %s before storage", row.State)
		}
		v.goOn()
		s.wait(time.Second)
		row := s.sink.rows[show.ID()]
		if row.State != media.Ended || row.Bytes == 0 {
			t.Errorf("row %+v", row)
		}
		rec, gaps := s.checkStored(show)
		if rec.State != media.Ended || gaps != 0 {
			t.Errorf("stored as %s with %d gaps", rec.State, gaps)
		}
		s.checkDegraded(0)
	})
}

func TestEndlessStallIsBoundedAndCostsATake(t *testing.T) {
	onStage(t, func(s *stage) {
		var v volume
		s.under(&v, false)
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		show := s.show()
		v.stall()
		s.play(p, src, 5*time.Second)
		for range maxJobs { // hours of it
			show.recorder.post(job{})
		}
		s.play(p, src, 20*time.Second)
		show.recorder.mu.Lock()
		if n := show.recorder.mu.queue.len(); n > maxJobs/2 {
			t.Errorf("%d jobs wait", n)
		}
		show.recorder.mu.Unlock()
		if n := len(s.newest().Takes); n != 1 {
			t.Errorf("%d takes while the volume stalls", n)
		}
		v.goOn()
		s.play(p, src, 30*time.Second)
		s.checkDegraded(0)
		s.checkSEQ6()
		s.close(p, true)
		rec, gaps := s.checkStored(show)
		if gaps < 10 || gaps > 18 || len(rec.Takes) != 2 {
			t.Errorf("%d gaps in %d takes", gaps, len(rec.Takes))
		}
		segments := rec.Tracks[0].Segments
		if last := segments[len(segments)-1]; last.Gap || last.Take != 2 {
			t.Errorf("the last segment %+v", last)
		}
	})
}

// A volume that is late again and again must not make the live path wait again and again.
func TestSlowVolumeIsWaitedForSeldom(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		show := s.show()
		var slow slowTake
		show.recorder.call(job{kind: jobState, do: func() error {
			slow.takeLog, show.recorder.tape.take = show.recorder.tape.take, &slow
			return nil
		}}, time.Second)
		_, late, still := s.timedPlay(p, src, 30*time.Second)
		if late != 1 || still > 800*time.Millisecond {
			t.Errorf("%d frames waited, playlists stood still for %v", late, still)
		}
		s.checkDegraded(1)
		s.close(p, true)
		s.wait(5 * time.Second)
		if _, gaps := s.checkStored(show); gaps != 0 {
			t.Errorf("%d gaps", gaps)
		}
	})
}

// slowTake takes 250 ms for every third part.
type slowTake struct {
	takeLog
	parts int
}

func (t *slowTake) AppendPart(track int, data []byte) (int64, error) {
	if t.parts++; t.parts%3 == 0 {
		time.Sleep(250 * time.Millisecond)
	}
	return t.takeLog.AppendPart(track, data)
}

func TestPartIsOnStorageBeforeItIsAnnounced(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		check := func(f *media.Frame) {
			s.write(p)(f)
			if _, ok := s.Current(testPath); !ok {
				return
			}
			show := s.show()
			snap, _ := show.Snapshot()
			if snap == nil {
				return
			}
			for i := range snap.Renditions {
				r := &snap.Renditions[i]
				for _, part := range r.Open.Parts {
					if size := s.sizeOf(show, r.Open.Take, r.Name); part.Offset < 0 || part.Offset+part.Size > size {
						t.Fatalf("%s part %d.%d is announced at %d+%d, the file has %d", r.Name, r.Open.MSN, part.Index,
							part.Offset, part.Size, size)
					}
				}
			}
		}
		src.until(12*time.Second, check)
		s.close(p, true)
	})
}

func (s *stage) sizeOf(show *Show, take int, track string) int64 {
	s.t.Helper()
	rel, err := filepath.Rel(s.dir, s.file(show, take, track))
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := s.root.Open(s.t.Context(), filepath.ToSlash(rel))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	return f.Size()
}
