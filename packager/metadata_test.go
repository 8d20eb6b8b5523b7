package packager

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// tell writes a piece of timed metadata.
func (s *stage) tell(p *Publication, kind media.MetadataKind, pts time.Duration, payload string) {
	s.t.Helper()
	borrowed := []byte(payload)
	if err := p.WriteMetadata(&media.TimedMetadata{Kind: kind, PTS: pts, Payload: borrowed}); err != nil {
		s.t.Fatal(err)
	}
	clear(borrowed)
}

func TestMetadataIsPlacedOnMediaTime(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		src.start = time.Hour
		s.tell(p, media.CuePoint, 0, "before")
		s.tell(p, media.Captions, 0, "CC1")
		s.play(p, src, 5*time.Second)
		s.tell(p, media.SCTE35, time.Hour+4*time.Second, "at four")
		s.tell(p, media.SCTE35, 9*time.Hour, "of another clock")
		s.close(p, false)
		p = s.publish(2, nil)
		s.tracks(p, videoTrack(), audioTrack())
		again := &source{fps: 30, gop: 30, start: 3 * time.Hour}
		s.play(p, again, 4*time.Second)
		s.tell(p, media.ID3, 3*time.Hour+time.Second, "second take")
		s.play(p, again, 3*time.Second)

		show := s.show()
		list := show.Metadata()
		var said []string
		for _, m := range list {
			said = append(said, string(m.Payload))
		}
		if got := strings.Join(said, ","); got != "before,at four,second take" {
			t.Fatalf("%s", got)
		}
		snap := s.newest()
		if list[0].Time != 0 || list[1].Time != 4*time.Second || len(snap.Metadata) != 3 {
			t.Errorf("%+v, %d in the snapshot", list, len(snap.Metadata))
		}
		last := snap.Takes[1]
		begin, _ := snap.Renditions[0].Segment(last.FirstMSN)
		if want := media.Duration(begin.DTS, videoTimescale) + time.Second; list[2].Time != want {
			t.Errorf("second take's is at %v, want %v", list[2].Time, want)
		}
		if want := begin.Date.Add(time.Second); list[2].Date.Sub(want).Abs() > time.Millisecond {
			t.Errorf("its date is %v, want %v", list[2].Date, want)
		}
		if want := []hls.Caption{{ID: "CC1"}}; !slices.Equal(snap.Captions, want) {
			t.Errorf("CC-1: captions %v", snap.Captions)
		}
		s.close(p, true)
	})
}

func TestMetadataIsBounded(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		big := strings.Repeat("x", media.MaxMetadata)
		for range 2 * maxHeldBytes / media.MaxMetadata {
			s.tell(p, media.ID3, 0, big)
		}
		s.tell(p, media.ID3, 0, big+"x")
		if n := p.metadata.bytes; n > maxHeldBytes {
			t.Errorf("%d bytes wait", n)
		}
		s.play(p, src, 3*time.Second)
		held := s.show().Metadata()
		for range maxMetadata + 1 {
			s.tell(p, media.ID3, 2*time.Second, "small")
		}
		if n := len(s.show().Metadata()); n != maxMetadata {
			t.Errorf("%d pieces", n)
		}
		if len(held) == 0 || !bytes.Equal(held[0].Payload, []byte(big)) {
			t.Error("a slice that was given out changed")
		}
		s.close(p, true)
		if err := p.WriteMetadata(&media.TimedMetadata{}); !errors.Is(err, errClosed) {
			t.Errorf("after the close: %v", err)
		}
	})
}

func TestRepairsAreCountedPerTrack(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 5*time.Second)
		if got := p.Repairs(); len(got) != 0 {
			t.Errorf("a clean stream had repairs: %v", got)
		}
		src.audio += 24 // half a second is missing
		s.play(p, src, 3*time.Second)
		stuck := videoFrame(7*time.Second, false)
		s.write(p)(stuck)
		got := p.Repairs()
		if n := got["audio"]["silence"]; n < 20 || n > 30 {
			t.Errorf("%d units of silence", n)
		}
		if got["video"]["clamp"] != 1 {
			t.Errorf("%v", got)
		}
		s.close(p, true)
	})
}
