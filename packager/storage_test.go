package packager

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// failingLog is a take's log whose writes fail while err is set.
type failingLog struct {
	takeLog
	err error
}

func (l *failingLog) AppendPart(track int, data []byte) (int64, error) {
	if l.err != nil {
		return 0, l.err
	}
	return l.takeLog.AppendPart(track, data)
}

// breakLog puts a failing log under the running take.
func (s *stage) breakLog() *failingLog {
	st, _ := s.lookup(testPath, false)
	st.mu.Lock()
	defer st.mu.Unlock()
	l := &failingLog{}
	r := st.show.recorder
	r.call(job{kind: jobState, do: func() error {
		l.takeLog, r.tape.take = r.tape.take, l
		return nil
	}}, time.Second)
	return l
}

// stored loads the recording from storage once the show has ended.
func (s *stage) stored(id media.RecordingID) *reclog.Recording {
	s.t.Helper()
	rec, err := reclog.Load(s.t.Context(), s.root.Files(), testPath, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return rec
}

// checkLive says that viewers miss nothing: no segment is a gap, and the newest ones and what storage lacks are in
// memory, byte for byte the segment's size.
func (s *stage) checkLive(show *Show) {
	s.t.Helper()
	snap, _ := show.Snapshot()
	for _, r := range snap.Renditions {
		for i := range r.Segments {
			seg := &r.Segments[i]
			if seg.Gap {
				s.t.Errorf("%s segment %d is a gap for viewers", r.Name, seg.MSN)
			}
			if seg.Offset >= 0 && int(seg.MSN) < len(r.Segments)-3 {
				continue
			}
			var size int
			for k := 0; ; k++ {
				data, ok := show.Part(seg.Take, r.Name, seg.MSN, k)
				if !ok {
					break
				}
				size += len(data)
			}
			if int64(size) != seg.Size {
				s.t.Errorf("%s segment %d has %d bytes in memory, want %d", r.Name, seg.MSN, size, seg.Size)
			}
		}
	}
}

func TestGAP1_LiveGoesOnWhileStorageFails(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		show := s.show()
		log := s.breakLog()
		log.err = errors.New("no space left on device")
		s.play(p, src, 5*time.Second)
		if got := testutil.ToFloat64(s.metrics.degraded); got != 1 {
			t.Errorf("%v shows are degraded", got)
		}
		s.checkLive(show)
		log.err = nil
		s.play(p, src, 5*time.Second)
		if got := testutil.ToFloat64(s.metrics.degraded); got != 0 {
			t.Errorf("%v shows are degraded after the outage", got)
		}
		s.checkLive(show)
		snap := s.newest()
		if len(snap.Takes) != 1 {
			t.Errorf("%d takes", len(snap.Takes))
		}
		s.checkSEQ6()
		s.close(p, true)
		rec := s.stored(show.ID())
		for i, tr := range rec.Tracks {
			gaps := 0
			for j := range tr.Segments {
				live := snap.Renditions[i].Segments
				if j < len(live) && (live[j].DTS != tr.Segments[j].DTS || live[j].Duration != tr.Segments[j].Duration) {
					t.Errorf("SEQ-2: %s segment %d differs: %+v and %+v", tr.Name, j+1, live[j], tr.Segments[j])
				}
				if seg := &tr.Segments[j]; j > 0 {
					before := &tr.Segments[j-1]
					length := media.Duration(before.Duration, rec.Takes[0].Tracks[i].Timescale)
					if d := seg.Date.Sub(before.Date) - length; before.DTS+before.Duration != seg.DTS || d.Abs() > 2*time.Millisecond {
						t.Errorf("GAP-1: %s segment %d does not go on where %d ends: %v", tr.Name, j+1, j, d)
					}
				}
				if tr.Segments[j].Gap {
					gaps++
				}
				if tr.Segments[j].Filler {
					t.Errorf("%s segment %d is a filler", tr.Name, j+1)
				}
			}
			if gaps < 2 || gaps > 4 {
				t.Errorf("%s has %d gaps for 5 s without storage", tr.Name, gaps)
			}
		}
	})
}

func TestBrokenFilesGetAnotherTake(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		show := s.show()
		s.breakLog().err = fmt.Errorf("torn: %w", reclog.ErrBroken)
		s.play(p, src, 5*time.Second)
		snap := s.newest()
		if len(snap.Takes) != 2 || show != s.show() {
			t.Errorf("%d takes", len(snap.Takes))
		}
		s.checkLive(show)
		s.close(p, true)
		rec := s.stored(show.ID())
		last := rec.Tracks[0].Segments[len(rec.Tracks[0].Segments)-1]
		if last.Gap || last.Take != 2 {
			t.Errorf("the last segment %+v", last)
		}
	})
}

func TestTakeThatStorageRefusesIsServedFromMemory(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		show := s.show()
		s.close(p, false)
		// A file where the next take's directory would be.
		blocked := filepath.Join(s.dir, testPath.Publisher, testPath.Stream, string(show.ID()), "2")
		if err := os.WriteFile(blocked, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		q := s.publish(2, nil)
		s.tracks(q, videoTrack(), audioTrack())
		again := &source{fps: 30, gop: 30}
		s.play(q, again, 7*time.Second)
		snap := s.newest()
		if len(snap.Takes) != 2 || snap.State != media.Live {
			t.Fatalf("%d takes, %s", len(snap.Takes), snap.State)
		}
		s.checkLive(show)
		if data, ok := show.Part(2, "video", 0, 0); !ok || !bytes.Contains(data[:12], []byte("ftyp")) {
			t.Error("no init section in memory")
		}
		if err := os.Remove(blocked); err != nil {
			t.Fatal(err)
		}
		s.play(q, again, 30*time.Second)
		s.checkSEQ6()
		snap = s.newest()
		if got := testutil.ToFloat64(s.metrics.degraded); got != 0 || len(snap.Takes) != 3 {
			t.Errorf("%v degraded, %d takes after the outage", got, len(snap.Takes))
		}
		s.close(q, true)
		rec := s.stored(show.ID())
		if n := len(rec.Tracks[0].Segments); n < len(snap.Renditions[0].Segments) {
			t.Errorf("%d segments on storage, %d live", n, len(snap.Renditions[0].Segments))
		}
		last := rec.Tracks[0].Segments[len(rec.Tracks[0].Segments)-1]
		if last.Gap {
			t.Errorf("the last segment %+v", last)
		}
	})
}

func TestNoRecordingIsBegunWithoutStorage(t *testing.T) {
	onStage(t, func(s *stage) {
		if err := os.WriteFile(filepath.Join(s.dir, testPath.Publisher), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		p, src := s.open()
		var failed error
		src.until(3*time.Second, func(f *media.Frame) {
			if failed == nil {
				failed = p.WriteFrame(f)
			}
		})
		if !errors.Is(failed, media.ErrUnavailable) {
			t.Errorf("error %v", failed)
		}
		if err := p.Close(false); !errors.Is(err, media.ErrUnavailable) {
			t.Errorf("close: %v", err)
		}
	})
}
