package packager

import (
	"errors"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// finishGap lists the open segment of a rendition, which has no media, and opens the next.
func (s *Show) finishGap(index int, duration int64) {
	r := s.renditions[index]
	o := r.open
	seg := media.Segment{MSN: o.MSN, Take: o.Take, DTS: o.dts, Duration: duration, Date: o.Date, Gap: true}
	s.recorder.finishSegment(index, seg)
	r.segments = append(r.segments, seg)
	s.keepParts(r, s.gapParts(duration, o.timescale))
	s.memory.finish(index, media.Duration(duration, o.timescale), false, 0)
	s.metrics.segment(r.kind)
	s.open(index, seg.DTS+seg.Duration, false)
	s.listed(index)
}

// gapParts divides a gap (GAP-1); nil where no parts are listed. A low-latency player passes over a gap part by part,
// as it goes on. Without them hls.js 1.7 took the parts behind a gap for the next ones, and stood up to three seconds.
// With them hls.js 1.5 stands at the gap for good, so the setting for old players leaves them out.
func (s *Show) gapParts(duration, timescale int64) []media.Part {
	most := media.Ticks(s.constants.PartTarget, timescale)
	if most == 0 || duration <= 0 || s.settings.WholeAfterDiscontinuity {
		return nil
	}
	count := (duration + most - 1) / most
	parts := make([]media.Part, count)
	for i := range parts {
		from, to := duration*int64(i)/count, duration*int64(i+1)/count
		parts[i] = media.Part{Index: i, Duration: to - from, Offset: -1, Gap: true}
	}
	return parts
}

// addGaps lists a segment of absence in every rendition: from where each ends to d after the last's end.
func (s *Show) addGaps(d time.Duration) error {
	var errs []error
	end := s.end() + d
	msn := s.nextMSN()
	take := &s.takes[len(s.takes)-1]
	for i, r := range s.renditions {
		seg := media.Segment{MSN: msn, Take: take.Number, Gap: true, Filler: true}
		timescale := s.timescale(take.Number, r.name)
		if n := len(r.segments); n > 0 {
			seg.DTS = r.segments[n-1].DTS + r.segments[n-1].Duration
		}
		seg.Duration = min(media.Ticks(end, timescale)-seg.DTS, media.Ticks(s.constants.TargetDuration+overshoot, timescale))
		seg.Date = dateOf(take, seg.DTS, timescale)
		// Written before announced; what can't be written is listed all the same, for the live path depends on nothing.
		if err := s.recorder.appendGap(i, seg); err != nil {
			errs = append(errs, err)
		}
		r.segments = append(r.segments, seg)
		s.keepParts(r, s.gapParts(seg.Duration, timescale))
		s.memory.open(i, take.Number, msn)
		s.memory.finish(i, d, false, 0)
	}
	s.metrics.fillers.Inc()
	s.listed(s.lead)
	return errors.Join(errs...)
}
