package packager

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/reclog"
)

// Whatever the volume does, and whatever the publisher does meanwhile, storage has in the end what viewers were told,
// byte for byte, or a gap in its place.
func TestStorageHasWhatWasAnnouncedOrAGap(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			onStage(t, func(s *stage) { s.sufferAVolume(rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func (s *stage) sufferAVolume(r *rand.Rand) {
	if r.IntN(2) == 0 {
		s.cfg.Memory = 80 << 10
	}
	var v volume
	s.under(&v, false)
	said := make(map[string][]byte)
	p, src := s.open()
	s.play(p, src, 5*time.Second)
	show, epoch := s.show(), uint64(1)
	for range 20 {
		switch r.IntN(6) {
		case 0, 1:
			v.stall()
		case 2, 3:
			v.goOn()
		case 4:
			v.fail(errors.New("input/output error"))
		case 5:
			s.close(p, false)
			s.wait(time.Duration(r.IntN(5000)) * time.Millisecond)
			epoch++
			p = s.publish(epoch, nil)
			s.tracks(p, videoTrack(), audioTrack())
			src = &source{fps: 30, gop: 30}
		}
		for range 1 + r.IntN(6) {
			s.play(p, src, time.Second)
			s.listen(show, said)
		}
	}
	v.goOn()
	s.play(p, src, 40*time.Second)
	s.listen(show, said)
	s.checkDegraded(0)
	s.close(p, true)
	s.wait(time.Second)
	s.listen(show, said)
	rec, gaps := s.checkStored(show)
	if len(rec.Damage) > 0 {
		s.t.Errorf("damage %v", rec.Damage)
	}
	var compared int
	for _, tr := range rec.Tracks {
		for i := range tr.Segments {
			seg := &tr.Segments[i]
			want, ok := said[fmt.Sprint(tr.Name, seg.MSN)]
			if seg.Gap || !ok {
				continue
			}
			compared++
			name := reclog.TrackName(testPath, show.ID(), seg.Take, tr.Name)
			f, err := s.root.Files().OpenRange(s.t.Context(), name, seg.Offset, seg.Size)
			if err != nil {
				s.t.Fatal(err)
			}
			got, err := io.ReadAll(f)
			if err = errors.Join(err, f.Close()); err != nil || !bytes.Equal(got, want) {
				s.t.Errorf("%s segment %d has other bytes on storage: %v", tr.Name, seg.MSN, err)
			}
		}
	}
	if compared < 10 {
		s.t.Errorf("only %d segments were compared", compared)
	}
	s.t.Logf("%d takes, %d gaps, %d segments compared", len(rec.Takes), gaps, compared)
}

// listen notes the bytes of the newest segments as viewers get them.
func (s *stage) listen(show *Show, said map[string][]byte) {
	snap, _ := show.Snapshot()
	for i := range snap.Renditions {
		r := &snap.Renditions[i]
		for j := max(0, len(r.Segments)-4); j < len(r.Segments); j++ {
			seg := &r.Segments[j]
			key := fmt.Sprint(r.Name, seg.MSN)
			if _, ok := said[key]; ok || seg.Gap {
				continue
			}
			var all []byte
			for k := 0; ; k++ {
				data, ok := show.Part(seg.Take, r.Name, seg.MSN, k)
				if !ok {
					break
				}
				all = append(all, data...)
			}
			if int64(len(all)) == seg.Size {
				said[key] = all
			}
		}
	}
}
