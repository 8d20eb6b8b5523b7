package reclog

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/oxbow-video/oxbow/internal/media"
)

// appendIFrame notes an I-frame of a segment: its time from the segment's begin, where its part begins in the segment,
// and the bytes to its end; zero says that they are not known. One that has no room is left out.
func appendIFrame(list []media.IFrame, at, offset, size int64) []media.IFrame {
	if n := len(list); n > 0 && at <= int64(list[n-1].Time) {
		return list // samples without length: no packager's
	}
	if len(list) >= MaxIFrames || size <= 0 || max(at, offset, size) > math.MaxUint32 {
		return list
	}
	return append(list, media.IFrame{Time: uint32(at), Offset: uint32(offset), Size: uint32(size)})
}

// appendIFrames writes the field of an index line, with the comma in front; nothing for none.
func appendIFrames(b []byte, list []media.IFrame) []byte {
	for i, f := range list {
		mark := ",["
		if i == 0 {
			mark = `,"iframes":[[`
		}
		b = append(b, mark...)
		b = append(strconv.AppendUint(b, uint64(f.Time), 10), ',')
		b = append(strconv.AppendUint(b, uint64(f.Offset), 10), ',')
		b = append(strconv.AppendUint(b, uint64(f.Size), 10), ']')
	}
	if len(list) > 0 {
		b = append(b, ']')
	}
	return b
}

// cutIFrames reads the field as appendIFrames writes it; what it can't read is left.
func cutIFrames(b []byte) ([]media.IFrame, []byte) {
	var list [MaxIFrames]media.IFrame
	rest, ok := cutPrefix(b, `,"iframes":[`)
	for n := 0; ok && n < MaxIFrames; n++ {
		var triple [3]int64
		mark := "["
		for i := range triple {
			if rest, ok = cutPrefix(rest, mark); ok {
				triple[i], rest, ok = cutInt(rest)
			}
			if !ok || triple[i] < 0 || triple[i] > math.MaxUint32 {
				return nil, b
			}
			mark = ","
		}
		if rest, ok = cutPrefix(rest, "]"); !ok {
			break
		}
		list[n] = media.IFrame{Time: uint32(triple[0]), Offset: uint32(triple[1]), Size: uint32(triple[2])}
		if len(rest) > 0 && rest[0] == ']' {
			return slices.Clone(list[:n+1]), rest[1:]
		}
		rest, ok = cutPrefix(rest, ",")
	}
	return nil, b
}

// iframesOf takes the field as encoding/json reads it.
func iframesOf(triples [][]uint32) ([]media.IFrame, error) {
	if len(triples) > MaxIFrames {
		return nil, fmt.Errorf("%d I-frames", len(triples))
	}
	var list []media.IFrame
	for _, t := range triples {
		if len(t) != 3 {
			return nil, fmt.Errorf("an I-frame of %d numbers", len(t))
		}
		list = append(list, media.IFrame{Time: t[0], Offset: t[1], Size: t[2]})
	}
	return list, nil
}

// checkIFrames says which rule a segment's I-frames break: they lie in it, in order, each behind the one before.
func checkIFrames(seg *media.Segment) error {
	if len(seg.IFrames) > MaxIFrames || (seg.Gap && len(seg.IFrames) > 0) {
		return fmt.Errorf("%d I-frames", len(seg.IFrames))
	}
	var end, last int64 = 0, -1
	for _, f := range seg.IFrames {
		if int64(f.Offset) < end || f.Size == 0 || int64(f.Offset)+int64(f.Size) > seg.Size {
			return fmt.Errorf("an I-frame at %d of %d bytes, the segment has %d", f.Offset, f.Size, seg.Size)
		}
		if int64(f.Time) <= last || int64(f.Time) >= max(seg.Duration, 1) {
			return fmt.Errorf("an I-frame at time %d, the segment lasts %d", f.Time, seg.Duration)
		}
		end, last = int64(f.Offset)+int64(f.Size), int64(f.Time)
	}
	return nil
}
