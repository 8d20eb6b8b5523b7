package hls

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// sim publishes snapshots as the packager does, so that rules can be checked over every version of a show's life.
type sim struct {
	snap     Snapshot
	versions []*Snapshot
	timeline []simTrack
	anchor   time.Time
}

// simTrack is one rendition's clock: a video part is 45,000 ticks of 90 kHz, an audio part 23 AAC frames.
type simTrack struct {
	partTicks int64
	perPart   int64 // bytes
	dts       int64
	offset    int64
}

func lowConstants() media.Constants {
	return media.Constants{
		TargetDuration: 2 * time.Second, SegmentDuration: 2 * time.Second, PartTarget: 500 * time.Millisecond,
		PartHoldBack: 1800 * time.Millisecond, HoldBack: 6 * time.Second, CanSkipUntil: 12 * time.Second,
	}
}

func standardConstants() media.Constants {
	return media.Constants{
		TargetDuration: 4 * time.Second, SegmentDuration: 4 * time.Second, HoldBack: 12 * time.Second,
		CanSkipUntil: 24 * time.Second,
	}
}

func videoTrack() media.Track {
	return media.Track{
		Name: "video", Kind: media.Video, Codec: media.H264, Timescale: 90000, CodecString: "avc1.64001f",
		Width: 1280, Height: 720, FrameRate: 30, InitSize: 712,
	}
}

func audioTrack() media.Track {
	return media.Track{
		Name: "audio", Kind: media.Audio, Codec: media.AAC, Timescale: 48000, CodecString: "mp4a.40.2",
		SampleRate: 48000, Channels: 2, InitSize: 623,
	}
}

func newSim(c media.Constants, tracks ...media.Track) *sim {
	s := &sim{anchor: time.Date(2026, 11, 20, 10, 38, 0, 823e6, time.UTC)}
	s.snap = Snapshot{
		State: media.Live, Constants: c, Window: 24 * time.Second, Independent: true,
		Bandwidth: 4_200_000, AverageBandwidth: 3_900_000,
	}
	s.snap.Takes = []media.Take{{Number: 1, Anchor: s.anchor, FirstMSN: 1, Tracks: tracks}}
	for _, tr := range tracks {
		r := Rendition{Name: tr.Name, Bandwidth: 4_100_000, AverageBandwidth: 3_800_000}
		if tr.Kind == media.Audio {
			r.Bandwidth, r.AverageBandwidth = 140_000, 130_000
		}
		s.snap.Renditions = append(s.snap.Renditions, r)
		st := simTrack{partTicks: 45000, perPart: 250_000, offset: tr.InitSize}
		if tr.Kind == media.Audio {
			st.partTicks, st.perPart = 23*1024, 8_000
		}
		s.timeline = append(s.timeline, st)
	}
	return s
}

func (s *sim) take() *media.Take { return &s.snap.Takes[len(s.snap.Takes)-1] }

// publish appends a copy of the state, as immutable as the packager's.
func (s *sim) publish() *Snapshot {
	c := s.snap
	c.Takes = slices.Clone(c.Takes)
	c.Renditions = slices.Clone(c.Renditions)
	c.Metadata = c.Metadata[:len(c.Metadata):len(c.Metadata)]
	for i := range c.Renditions {
		r := &c.Renditions[i]
		if r.Open != nil {
			open := *r.Open
			open.Parts = slices.Clone(open.Parts)
			r.Open = &open
		}
		r.Segments = r.Segments[:len(r.Segments):len(r.Segments)]
		r.Parts = slices.Clone(r.Parts[max(len(r.Parts)-8, 0):])
	}
	s.versions = append(s.versions, &c)
	return &c
}

func (s *sim) date(i int) time.Time {
	t := s.take().Tracks[i].Timescale
	return s.anchor.Add(media.Duration(s.timeline[i].dts, t)).Truncate(time.Millisecond)
}

// open begins the next segment of every rendition.
func (s *sim) open(whole bool) {
	for i := range s.snap.Renditions {
		r := &s.snap.Renditions[i]
		r.Open = &OpenSegment{MSN: r.Last() + 1, Take: s.take().Number, Date: s.date(i), Whole: whole}
	}
}

// part appends one part to every open segment.
func (s *sim) part() {
	for i := range s.snap.Renditions {
		open, st := s.snap.Renditions[i].Open, &s.timeline[i]
		first := len(open.Parts) == 0
		open.Parts = append(open.Parts, media.Part{
			Index: len(open.Parts), Duration: st.partTicks, Offset: st.offset, Size: st.perPart,
			Independent: first || s.take().Tracks[i].Kind == media.Audio,
		})
		st.dts += st.partTicks
		st.offset += st.perPart
	}
}

// closeSegment finishes the open segments; those of no part vanish.
func (s *sim) closeSegment() {
	for i := range s.snap.Renditions {
		r := &s.snap.Renditions[i]
		open := r.Open
		r.Open = nil
		if open == nil || len(open.Parts) == 0 {
			continue
		}
		seg := media.Segment{MSN: open.MSN, Take: open.Take, Date: open.Date, Sync: true, Offset: open.Parts[0].Offset}
		for _, p := range open.Parts {
			seg.Duration += p.Duration
			seg.Size += p.Size
		}
		seg.DTS = s.timeline[i].dts - seg.Duration
		if s.take().Tracks[i].Kind == media.Video {
			// A random access point each second.
			for at := int64(0); at < seg.Duration; at += 90000 {
				seg.IFrames = append(seg.IFrames, media.IFrame{
					Time: uint32(at), Offset: uint32(at * seg.Size / seg.Duration), Size: 90_000,
				})
			}
		}
		r.Segments = append(r.Segments, seg)
		parts := open.Parts
		if open.Whole || s.snap.Constants.PartTarget == 0 {
			parts = nil
		}
		r.Parts = append(r.Parts, parts)
	}
}

// run publishes whole segments of four parts, a version per part.
func (s *sim) run(segments int, whole bool) {
	for range segments {
		s.open(whole)
		whole = false
		s.publish()
		for range 3 {
			s.part()
			s.publish()
		}
		s.part()
		s.closeSegment()
		s.open(false)
		s.publish()
	}
}

// tell adds an event to the metadata.
func (s *sim) tell(date time.Time) {
	e := instant(len(s.snap.Metadata)+1, date)
	e.Take = s.take().Number
	s.snap.Metadata = append(s.snap.Metadata, e)
}

// instant gives an event without length.
func instant(number int, date time.Time) media.Metadata {
	return media.Metadata{
		Number: int64(number), Kind: media.DateRange, Date: date, Payload: fmt.Appendf(nil,
			`{"id":"event-%d","class":"com.example.test","start_date":%q,"duration_s":0}`, number, date.Format(time.RFC3339Nano)),
	}
}

// gap appends a gap segment to every rendition.
func (s *sim) gap(filler bool) {
	for i := range s.snap.Renditions {
		r, st := &s.snap.Renditions[i], &s.timeline[i]
		r.Open = nil
		r.Segments = append(r.Segments, media.Segment{
			MSN: r.Last() + 1, Take: s.take().Number, DTS: st.dts, Duration: 4 * st.partTicks, Offset: st.offset,
			Date: s.date(i), Gap: true, Filler: filler,
		})
		parts := make([]media.Part, 4)
		for k := range parts {
			parts[k] = media.Part{Index: k, Duration: st.partTicks, Offset: -1, Gap: true}
		}
		if s.snap.Constants.PartTarget == 0 {
			parts = nil
		}
		r.Parts = append(r.Parts, parts)
		st.dts += 4 * st.partTicks
	}
	s.publish()
}

// hold appends filler segments that have media.
func (s *sim) hold(segments int) {
	for range segments {
		s.open(false)
		for range 4 {
			s.part()
		}
		s.closeSegment()
		for i := range s.snap.Renditions {
			r := &s.snap.Renditions[i]
			r.Segments[len(r.Segments)-1].Filler = true
		}
	}
}

// interrupt loses the publisher in mid-segment.
func (s *sim) interrupt() {
	s.part()
	s.closeSegment()
	s.snap.State = media.Interrupted
	s.publish()
}

// resume begins the next take.
func (s *sim) resume() {
	t := *s.take()
	t.Number++
	t.FirstMSN = s.snap.Renditions[0].Last() + 1
	s.snap.Takes = append(s.snap.Takes, t)
	for i := range s.timeline {
		s.timeline[i].offset = t.Tracks[i].InitSize
	}
	s.snap.State = media.Live
}

func (s *sim) end() {
	s.closeSegment()
	s.snap.State = media.Ended
	s.publish()
}

// life plays everything that happens to shows: media, loss, two interruptions with and without fillers, and the end.
func life(c media.Constants, tracks ...media.Track) *sim {
	s := newSim(c, tracks...)
	s.run(9, true)
	s.gap(false)
	s.run(15, false)
	s.open(false)
	s.interrupt()
	for range 5 {
		s.gap(true)
	}
	s.resume()
	s.run(13, true)
	s.open(false)
	s.part()
	s.interrupt()
	s.resume()
	s.run(15, false)
	s.end()
	return s
}

// forEachLife runs the check on the lives of all sets of tracks.
func forEachLife(t *testing.T, check func(t *testing.T, s *sim)) {
	t.Helper()
	lives := []struct {
		name   string
		c      media.Constants
		tracks []media.Track
	}{
		{"low", lowConstants(), []media.Track{videoTrack(), audioTrack()}},
		{"standard", standardConstants(), []media.Track{videoTrack(), audioTrack()}},
		{"audio only", lowConstants(), []media.Track{audioTrack()}},
		{"video only", lowConstants(), []media.Track{videoTrack()}},
	}
	for _, l := range lives {
		t.Run(l.name, func(t *testing.T) {
			s := life(l.c, l.tracks...)
			for _, v := range s.versions {
				if err := v.Check(); err != nil {
					t.Fatal(err)
				}
			}
			check(t, s)
		})
	}
}
