package hls

import (
	"slices"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// AppendStatic writes the media playlist that stands beside a recording's files in a bucket: each segment is a byte
// range of {take}/{track}.mp4. A gap names a file that is not there, so that a player which does not know EXT-X-GAP
// gets a 404 and not a whole track.
func AppendStatic(dst []byte, s *Snapshot, r int) []byte {
	rend := &s.Renditions[r]
	dst = slices.Grow(dst, 128*len(rend.Segments)+512)
	dst = appendVODHeader(dst, s)
	take := 0
	for i := range rend.Segments {
		seg := &rend.Segments[i]
		if seg.Filler || (take == 0 && seg.Gap) {
			continue
		}
		if seg.Take != take {
			dst = appendDiscontinuity(dst, take)
			dst = s.appendStaticMap(dst, seg.Take, rend.Name)
			take = seg.Take
		}
		dst = appendDate(dst, seg.Date)
		timescale := s.timescale(seg.Take, rend.Name)
		if seg.Gap {
			dst = append(dst, "#EXT-X-GAP\n"...)
			dst = appendInf(dst, seg, timescale)
			dst = appendSegmentURI(dst, "", seg.Take, rend.Name, seg.MSN)
			dst = append(dst, '\n')
			continue
		}
		dst = appendInf(dst, seg, timescale)
		dst = append(dst, "#EXT-X-BYTERANGE:"...)
		dst = appendRange(dst, seg.Offset, seg.Size)
		dst = append(dst, '\n')
		dst = appendFile(dst, seg.Take, rend.Name)
		dst = append(dst, '\n')
	}
	return append(dst, "#EXT-X-ENDLIST\n"...)
}

func (s *Snapshot) appendStaticMap(dst []byte, take int, track string) []byte {
	dst = append(dst, `#EXT-X-MAP:URI="`...)
	dst = appendFile(dst, take, track)
	dst = append(dst, `",BYTERANGE="`...)
	dst = appendRange(dst, 0, s.initSize(take, track))
	return append(dst, "\"\n"...)
}

func (s *Snapshot) initSize(take int, track string) int64 {
	for i := range s.Takes {
		if s.Takes[i].Number == take {
			tr, _ := s.Takes[i].Track(track)
			return tr.InitSize
		}
	}
	return 0
}

func appendVODHeader(dst []byte, s *Snapshot) []byte {
	dst = appendInt(dst, "#EXTM3U\n#EXT-X-VERSION:", versionVOD)
	dst = appendTargetDuration(dst, s)
	dst = append(dst, "#EXT-X-PLAYLIST-TYPE:VOD\n"...)
	return append(dst, "#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n"...)
}

func appendDiscontinuity(dst []byte, previous int) []byte {
	if previous == 0 {
		return dst
	}
	return append(dst, "#EXT-X-DISCONTINUITY\n"...)
}

// appendFile writes {take}/{track}.mp4.
func appendFile(dst []byte, take int, track string) []byte {
	dst = strconv.AppendInt(dst, int64(take), 10)
	dst = append(dst, '/')
	dst = append(dst, track...)
	return append(dst, ".mp4"...)
}

// appendRange writes size@offset.
func appendRange(dst []byte, offset, size int64) []byte {
	dst = strconv.AppendInt(dst, size, 10)
	dst = append(dst, '@')
	return strconv.AppendInt(dst, offset, 10)
}

// Static gives the name and text of every playlist that stands beside a recording's files in a bucket: index.m3u8 and
// one per rendition, which it names.
func Static(s *Snapshot) map[string][]byte {
	files := map[string][]byte{"index.m3u8": AppendMultivariant(nil, s, "")}
	for i := range s.Renditions {
		files[s.Renditions[i].Name+".m3u8"] = AppendStatic(nil, s, i)
	}
	return files
}

// Stored makes the snapshot of a recording from what storage has of it: all segments whole. The renditions have Name
// and Segments set.
func Stored(
	state media.State, c media.Constants, window time.Duration, takes []media.Take, renditions []Rendition,
) *Snapshot {
	s := &Snapshot{
		State: state, Constants: c, Window: window, Takes: takes, Renditions: renditions, Independent: true,
	}
	for i := range renditions {
		for j := range renditions[i].Segments {
			seg := &renditions[i].Segments[j]
			s.Independent = s.Independent && (seg.Sync || seg.Gap)
		}
	}
	s.Measure()
	return s
}

// Measure sets the snapshot's bandwidths from its segments: the peak is the sum of the renditions' peaks, which no
// combination exceeds (MV-1, MV-6).
func (s *Snapshot) Measure() {
	s.Bandwidth, s.AverageBandwidth = 0, 0
	for i := range s.Renditions {
		peak, average := s.rates(&s.Renditions[i])
		s.Renditions[i].Bandwidth, s.Renditions[i].AverageBandwidth = peak, average
		s.Bandwidth += peak
		s.AverageBandwidth += average
	}
}

// rates gives the peak segment bit rate, over any run of segments that lasts 0.5 to 1.5 target durations (d§4.1), and
// the average, both rounded up. A run does not reach over a gap.
func (s *Snapshot) rates(r *Rendition) (peak, average int64) {
	low, high := s.Constants.TargetDuration/2, s.Constants.TargetDuration*3/2
	var bytes, runBytes, longest int64
	var total, run float64 // seconds
	begin := 0
	for i := range r.Segments {
		seg := &r.Segments[i]
		if seg.Gap {
			begin, runBytes, run = i+1, 0, 0
			continue
		}
		d := s.seconds(r, seg)
		bytes, total = bytes+seg.Size, total+d
		runBytes, run = runBytes+seg.Size, run+d
		for ; begin < i && run > high.Seconds(); begin++ {
			runBytes, run = runBytes-r.Segments[begin].Size, run-s.seconds(r, &r.Segments[begin])
		}
		// All runs that end here: the whole one, and its ends that are still long enough.
		b, t := runBytes, run
		for j := begin; j <= i && t >= low.Seconds(); j++ {
			peak = max(peak, bitRate(b, t))
			b, t = b-r.Segments[j].Size, t-s.seconds(r, &r.Segments[j])
		}
		longest = max(longest, bitRate(seg.Size, d))
	}
	if peak == 0 {
		peak = longest // a recording shorter than half a target duration
	}
	return peak, bitRate(bytes, total)
}

func (s *Snapshot) seconds(r *Rendition, seg *media.Segment) float64 {
	return media.Duration(seg.Duration, max(s.timescale(seg.Take, r.Name), 1)).Seconds()
}

func bitRate(bytes int64, seconds float64) int64 {
	if seconds <= 0 {
		return 0
	}
	return int64(float64(8*bytes)/seconds + 0.999)
}
