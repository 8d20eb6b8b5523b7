package reclog

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// dateOf gives the date of a decode time of the take.
func dateOf(take *media.Take, dts, timescale int64) time.Time {
	return take.Anchor.Add(media.Duration(dts, timescale)).UTC().Truncate(time.Millisecond)
}

// complete gives every track of a take one segment for each MSN from the take's first to last: those that are missing
// become gaps, timed by the track's neighbours and by the other tracks. Lines are in order of MSN; ends are the decode
// times at which the take before ends, or nil.
func complete(
	take *media.Take, tracks [][]media.Segment, last media.MSN, constants media.Constants, ends []int64,
) error {
	count := int(last - take.FirstMSN + 1)
	whole := make([][]media.Segment, len(tracks))
	for i, lines := range tracks {
		if len(lines) == count {
			whole[i] = lines
			continue
		}
		if count-len(lines) > maxFill {
			return fmt.Errorf("take %d: %w: %d of %d segments of %q are missing",
				take.Number, media.ErrCorrupt, count-len(lines), count, take.Tracks[i].Name)
		}
		f := filler{take: take, tracks: tracks, track: i, constants: constants, end: -1}
		if ends != nil {
			f.floor = ends[i]
		}
		whole[i] = f.fill(last, make([]media.Segment, 0, count))
	}
	copy(tracks, whole)
	return nil
}

// endsOf gives the decode times at which tracks end; one without segments ends where the take before did.
func endsOf(tracks [][]media.Segment, before []int64) []int64 {
	ends := make([]int64, len(tracks))
	copy(ends, before)
	for i, lines := range tracks {
		if n := len(lines); n > 0 {
			ends[i] = lines[n-1].DTS + lines[n-1].Duration
		}
	}
	return ends
}

// filler completes one track.
type filler struct {
	take      *media.Take
	tracks    [][]media.Segment // as they were read
	track     int
	constants media.Constants
	floor     int64 // the least decode time of the take
	end       int64 // decode time behind the segment before; negative is none
	offset    int64 // in the file, likewise
}

func (f *filler) fill(last media.MSN, out []media.Segment) []media.Segment {
	f.offset = f.take.Tracks[f.track].InitSize
	lines := f.tracks[f.track]
	for msn := f.take.FirstMSN; msn <= last; msn++ {
		if len(lines) > 0 && lines[0].MSN == msn {
			f.end, f.offset = lines[0].DTS+lines[0].Duration, lines[0].Offset+lines[0].Size
			out, lines = append(out, lines[0]), lines[1:]
			continue
		}
		var next *media.Segment
		if len(lines) > 0 {
			next = &lines[0]
		}
		out = append(out, f.gap(msn, next))
	}
	return out
}

// gap makes up a segment; next is the next that the track has.
func (f *filler) gap(msn media.MSN, next *media.Segment) media.Segment {
	scale := f.take.Tracks[f.track].Timescale
	seg := media.Segment{MSN: msn, Take: f.take.Number, Gap: true, Offset: f.offset}
	start, length := f.end, media.Ticks(f.constants.SegmentDuration, scale)
	if peer, peerScale := f.peer(msn); peer != nil {
		from := media.Ticks(media.Duration(peer.DTS, peerScale), scale)
		to := media.Ticks(media.Duration(peer.DTS+peer.Duration, peerScale), scale)
		if start < 0 {
			start = max(from, f.floor)
		}
		length = to - start
		seg.Filler = peer.Gap && peer.Filler
	} else if next != nil && start >= 0 {
		length = (next.DTS - start) / int64(next.MSN-msn)
	} else if start < 0 {
		start = max(f.floor, min(media.Ticks(f.take.StartedAt.Sub(f.take.Anchor), scale), maxTicks/2))
	}
	if next != nil {
		start = min(start, next.DTS)
		length = min(length, next.DTS-start)
	}
	seg.DTS, seg.Duration = start, atMost(max(length, 0), f.constants.TargetDuration, scale)
	seg.Date = dateOf(f.take, seg.DTS, scale)
	f.end = seg.DTS + seg.Duration
	return seg
}

// atMost keeps the length of a gap to the target duration, which no segment may exceed (RFC 8216bis 4.4.3.1), whatever
// damaged times say.
func atMost(ticks int64, target time.Duration, timescale int64) int64 {
	if target <= 0 {
		return ticks
	}
	return min(ticks, media.Ticks(target, timescale))
}

// peer finds the MSN in another track.
func (f *filler) peer(msn media.MSN) (*media.Segment, int64) {
	for i, lines := range f.tracks {
		if i == f.track {
			continue
		}
		at, ok := slices.BinarySearchFunc(lines, msn, func(s media.Segment, m media.MSN) int { return cmp.Compare(s.MSN, m) })
		if ok {
			return &lines[at], f.take.Tracks[i].Timescale
		}
	}
	return nil, 0
}
