package packager

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

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
		if want := []media.Caption{{ID: "CC1"}}; !slices.Equal(snap.Captions, want) {
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

// A text that comes late is moved to the open segment, so that the subtitles of the listed ones stay, and texts are in
// the order of time.
func TestSUB1_TextsNeverChangeListedSegments(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.tell(p, media.Text, 0, `{"text":"first"}`)
		s.play(p, src, 5*time.Second)
		at := media.Duration(s.show().renditions[0].open.dts, videoTimescale)
		s.tell(p, media.Text, 0, `{"text":"late"}`)
		s.tell(p, media.Text, 5500*time.Millisecond, `{"text":"ahead"}`)
		s.tell(p, media.Text, 5200*time.Millisecond, `{"text":"behind it"}`)
		s.tell(p, media.Text, 5*time.Minute, `{"text":"far ahead"}`)
		s.tell(p, media.Text, 6*time.Second, `{"no":"text"}`)
		s.tell(p, media.Text, 7*time.Second, `{"text":""}`)
		var got []string
		for _, m := range s.show().Metadata() {
			got = append(got, m.Time.String()+" "+string(m.Payload))
		}
		want := []string{
			`0s {"text":"first"}`, at.String() + ` {"text":"late"}`, `5.5s {"text":"ahead"}`, `5.5s {"text":"behind it"}`,
			`7s {"text":""}`,
		}
		if !slices.Equal(got, want) || at < 2*time.Second {
			t.Errorf("%q, want %q", got, want)
		}
		s.close(p, true)
	})
}

// The captions of the setting are told from the start, those in the pictures once they are seen, and for ever.
func TestCC1_CaptionsAreDeclaredAndSeen(t *testing.T) {
	onStage(t, func(s *stage) {
		p := s.publish(1, func(settings *media.Settings) { settings.Captions, settings.Subtitles = "SERVICE1=en CC3=es", "de" })
		s.tracks(p, videoTrack(), audioTrack())
		src := &source{fps: 30, gop: 30}
		s.play(p, src, 4*time.Second)
		show := s.show()
		check := func(want ...media.Caption) {
			t.Helper()
			if got, _ := show.Snapshot(); !slices.Equal(got.Captions, want) || got.Subtitles != "de" {
				t.Errorf("captions %v, want %v; subtitles %q", got.Captions, want, got.Subtitles)
			}
		}
		es, en := media.Caption{ID: "CC3", Language: "es"}, media.Caption{ID: "SERVICE1", Language: "en"}
		check(es, en)
		s.tell(p, media.Captions, 4*time.Second, "SERVICE1 CC1 bogus")
		check(media.Caption{ID: "CC1"}, es, en)
		s.tell(p, media.Captions, 4*time.Second, "CC1 CC3")
		s.play(p, src, 2*time.Second)
		check(media.Caption{ID: "CC1"}, es, en)
		s.close(p, true)
		check(media.Caption{ID: "CC1"}, es, en)
		rec := s.stored(show.ID())
		if got := media.CaptionsOf(rec.Settings.Captions, rec.Captions); !slices.Equal(got, []media.Caption{{ID: "CC1"}, es, en}) {
			t.Errorf("the recording says %v", got)
		}
	})
}

// A connection tells of a caption once. Several members of a group each tell of theirs, and the recording that follows
// in the same connection has them as the first had.
func TestCC1_TheNextRecordingHasTheCaptionsToo(t *testing.T) {
	onStage(t, func(s *stage) {
		p := s.publish(1, nil)
		s.tracks(p, videoTrack(), audioTrack())
		src := &source{fps: 30, gop: 30}
		s.tell(p, media.Captions, 0, "CC1 CC2")
		s.tell(p, media.Captions, 0, "CC1 SERVICE1")
		s.play(p, src, 4*time.Second)
		want := []media.Caption{{ID: "CC1"}, {ID: "CC2"}, {ID: "SERVICE1"}}
		if got := s.newest().Captions; !slices.Equal(got, want) {
			t.Errorf("captions %v, want %v", got, want)
		}
		first := s.show().ID()
		s.tracks(p, vp9Track(720), audioTrack())
		s.play(p, src, 4*time.Second)
		if got := s.newest().Captions; s.show().ID() == first || !slices.Equal(got, want) {
			t.Errorf("captions of the next recording %v, want %v", got, want)
		}
		next := s.show().ID()
		s.close(p, true)
		if got := s.stored(next).Captions; len(got) != len(want) {
			t.Errorf("the next recording says %v", got)
		}
	})
}

func TestSUB1_NoTrackIsCalledSubtitles(t *testing.T) {
	track := videoTrack()
	track.Name = media.SubtitlesName
	if _, err := newFormat(track); !errors.Is(err, media.ErrBadName) {
		t.Errorf("%v", err)
	}
}
