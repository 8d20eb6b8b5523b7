package hls

import (
	"slices"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// subtitleTrack is the folder of a take's subtitles.
const subtitleTrack = "subtitles"

// item is an entry, what a playlist of some form lists by one URI: a segment, a random access point of it, or its
// subtitles.
type item struct {
	date time.Time
	inf  int64 // microseconds
	// end is the entry's, from the begin of its segment.
	end time.Duration
	// gap says that there is nothing to play.
	gap bool
	// offset and size are a byte range of the segment; size zero is all of it.
	offset, size int64
}

// appendItems gives the entries that a finished segment makes.
//
// A segment makes one, but for I-frames: one for each of its random access points, up to the next one or the segment's
// end. What is listed never changes, so the time that none covers, at the begin of a segment that was cut by force or
// in one whose index knows of none, can't be added to the entry before: it is a gap.
func (f Form) appendItems(dst []item, seg *media.Segment, timescale int64) []item {
	all := item{
		date: seg.Date, inf: micros(seg.DTS+seg.Duration, timescale) - micros(seg.DTS, timescale),
		end: media.Duration(seg.Duration, timescale), gap: seg.Gap,
	}
	if f != IFrames || seg.Gap {
		return append(dst, all)
	}
	begin := len(dst)
	last, until := all.end, seg.DTS+seg.Duration
	// Backwards, since an entry lasts until the next one.
	for i := len(seg.IFrames) - 1; i >= 0; i-- {
		frame := &seg.IFrames[i]
		at := seg.DTS + int64(frame.Time)
		if at >= until || frame.Size == 0 || int64(frame.Offset)+int64(frame.Size) > seg.Size {
			continue // no such frame
		}
		from := media.Duration(int64(frame.Time), timescale)
		dst = append(dst, item{
			date: seg.Date.Add(from), inf: micros(until, timescale) - micros(at, timescale), end: last,
			offset: int64(frame.Offset), size: int64(frame.Size),
		})
		last, until = from, at
	}
	if until > seg.DTS {
		all.inf, all.end, all.gap = micros(until, timescale)-micros(seg.DTS, timescale), last, true
		dst = append(dst, all)
	}
	slices.Reverse(dst[begin:])
	return dst
}

// writer formats the entries of one rendition in one form.
type writer struct {
	base   string
	track  string // the rendition's
	form   Form
	bucket *bucket // whose files are listed; nil lists our URLs
}

func newWriter(track string, kind Kind, form Form) writer {
	return writer{base: kind.base(), track: track, form: form}
}

// appendTake writes what stands where a take begins: DISCONTINUITY, unless it is the playlist's first entry, and MAP.
func (w *writer) appendTake(dst []byte, take int, first bool) []byte {
	if !first {
		dst = append(dst, "#EXT-X-DISCONTINUITY\n"...)
	}
	return w.appendMap(dst, take)
}

func (w *writer) appendMap(dst []byte, take int) []byte {
	switch {
	case w.form == Subtitles:
		return dst
	case w.bucket != nil:
		return w.bucket.appendMap(dst, take, w.track)
	}
	return appendMap(dst, w.base, take, w.track)
}

// appendHead writes the lines before an entry's parts, appendTail those behind them. Subtitles are never a gap: a file
// with nothing in it is as good.
func (w *writer) appendHead(dst []byte, e *item) []byte {
	dst = appendDate(dst, e.date)
	if e.gap && w.form != Subtitles {
		dst = append(dst, "#EXT-X-GAP\n"...)
	}
	return dst
}

func (w *writer) appendTail(dst []byte, e *item, seg *media.Segment) []byte {
	dst = append(dst, "#EXTINF:"...)
	dst = appendMicros(dst, e.inf)
	dst = append(dst, ",\n"...)
	if w.bucket != nil {
		return w.bucket.appendEntry(dst, w, e, seg)
	}
	if w.form == Subtitles {
		dst = appendDir(dst, w.base, seg.Take, subtitleTrack)
		dst = strconv.AppendInt(dst, int64(seg.MSN), 10)
		return append(dst, ".vtt\n"...)
	}
	if e.size > 0 {
		dst = appendByteRange(dst, e.offset, e.size)
	}
	return append(appendSegmentURI(dst, w.base, seg.Take, w.track, seg.MSN), '\n')
}
