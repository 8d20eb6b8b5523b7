package hls

import (
	"slices"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// subtitlesFile is the one file that has all of a recording's subtitles in a bucket: the WebVTT segments one behind
// the other.
const subtitlesFile = "subtitles.vtt"

// Static gives the name and text of every playlist that stands beside a recording's files in a bucket: index.m3u8 and
// those that it names, per rendition and, for video, of its I-frames; with subtitles, subtitles.m3u8 and the file that
// its byte ranges are of.
func Static(s *Snapshot) map[string][]byte {
	files := map[string][]byte{"index.m3u8": AppendMultivariant(nil, s, "")}
	for i := range s.Renditions {
		name := s.Renditions[i].Name
		files[name+".m3u8"] = AppendStatic(nil, s, i)
		if s.offersIFrames(i) {
			files[name+".iframes.m3u8"] = appendStaticIFrames(nil, s, i)
		}
	}
	if s.HasSubtitles() {
		files["subtitles.m3u8"], files[subtitlesFile] = staticSubtitles(s)
	}
	return files
}

// AppendStatic writes the media playlist that stands beside a recording's files in a bucket: each segment is a byte
// range of {take}/{track}.mp4. A gap names a file that is not there, so that a player which does not know EXT-X-GAP
// gets a 404 and not a whole track.
func AppendStatic(dst []byte, s *Snapshot, r int) []byte {
	rend := &s.Renditions[r]
	dst = slices.Grow(dst, 128*len(rend.Segments)+512)
	dst = appendVODHeader(dst, s, &Playlist{})
	dst = s.appendStaticRanges(dst)
	for seg, previous := range rend.shown() {
		if seg.Take != previous {
			dst = appendDiscontinuity(dst, previous)
			dst = s.appendStaticMap(dst, seg.Take, rend.Name)
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
		dst = appendStaticRange(dst, seg.Offset, seg.Size)
		dst = appendFile(dst, seg.Take, rend.Name)
		dst = append(dst, '\n')
	}
	return append(dst, "#EXT-X-ENDLIST\n"...)
}

// shown gives the segments that a finished playlist lists, each with the take of the one before it, zero at first: no
// fillers, and no gap at the begin (GAP-1).
func (r *Rendition) shown() func(yield func(*media.Segment, int) bool) {
	return func(yield func(*media.Segment, int) bool) {
		take := 0
		for i := range r.Segments {
			seg := &r.Segments[i]
			if seg.Filler || (take == 0 && seg.Gap) {
				continue
			}
			if !yield(seg, take) {
				return
			}
			take = seg.Take
		}
	}
}

// appendStaticRanges writes the recording's date ranges: a finished playlist has them all (DR-1).
func (s *Snapshot) appendStaticRanges(dst []byte) []byte {
	var ranges dateRanges
	for i := range s.Metadata {
		for _, tag := range ranges.add(&s.Metadata[i]) {
			dst = append(dst, tag.text...)
		}
	}
	return dst
}

// listedFrame is one entry of an I-frame playlist.
type listedFrame struct {
	seg    *media.Segment
	breaks bool // it is the first of its take
	frame  media.IFrame
	end    int64 // where the next one, or the take's end, is, in ticks
}

// iframes gives the random access points of a finished playlist (IFR-1). Each lasts until the next one of its take,
// over lost segments too, or until the take's last segment ends, so that the playlist is as long as the video's.
func (r *Rendition) iframes() []listedFrame {
	var list []listedFrame
	for seg, previous := range r.shown() {
		n := len(list)
		if n > 0 && seg.Take == list[n-1].seg.Take {
			list[n-1].end = seg.DTS + seg.Duration
		}
		breaks := seg.Take != previous || n == 0 || seg.Take != list[n-1].seg.Take
		for _, f := range seg.IFrames {
			if n = len(list); n > 0 && !breaks {
				list[n-1].end = seg.DTS + int64(f.Time)
			}
			list = append(list, listedFrame{seg: seg, breaks: breaks, frame: f, end: seg.DTS + seg.Duration})
			breaks = false
		}
	}
	return list
}

// appendStaticIFrames writes a video track's I-frame playlist: byte ranges that begin with a part's moof and end behind
// its first sample. Its target duration is longer than the media's where forced cuts make it so; it never grows.
func appendStaticIFrames(dst []byte, s *Snapshot, r int) []byte {
	rend := &s.Renditions[r]
	list := rend.iframes()
	target := s.Constants.TargetDuration
	for i := range list {
		l := &list[i]
		d := media.Duration(l.end-l.seg.DTS-int64(l.frame.Time), s.timescale(l.seg.Take, rend.Name))
		target = max(target, d.Round(time.Second))
	}
	dst = slices.Grow(dst, 160*len(list)+512)
	dst = appendInt(dst, "#EXTM3U\n#EXT-X-VERSION:", versionIFrames)
	dst = appendInt(dst, "#EXT-X-TARGETDURATION:", int64((target+time.Second-1)/time.Second))
	dst = append(dst, "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-I-FRAMES-ONLY\n"...)
	dst = append(dst, "#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n"...)
	dst = s.appendStaticRanges(dst)
	for i := range list {
		l := &list[i]
		seg, timescale := l.seg, s.timescale(l.seg.Take, rend.Name)
		if l.breaks {
			if i > 0 {
				dst = append(dst, "#EXT-X-DISCONTINUITY\n"...)
			}
			dst = s.appendStaticMap(dst, seg.Take, rend.Name)
		}
		at := int64(l.frame.Time)
		dst = appendDate(dst, seg.Date.Add(media.Duration(at, timescale)))
		dst = append(dst, "#EXTINF:"...)
		dst = appendMicros(dst, micros(l.end, timescale)-micros(seg.DTS+at, timescale))
		dst = append(dst, ",\n"...)
		dst = appendStaticRange(dst, seg.Offset+int64(l.frame.Offset), int64(l.frame.Size))
		dst = appendFile(dst, seg.Take, rend.Name)
		dst = append(dst, '\n')
	}
	return append(dst, "#EXT-X-ENDLIST\n"...)
}

// staticSubtitles writes the subtitles of a finished recording and the playlist of them: as many segments as the first
// rendition lists, of the same length, empty ones too (SUB-1).
func staticSubtitles(s *Snapshot) (list, text []byte) {
	lead := &s.Renditions[0]
	list = appendInt(nil, "#EXTM3U\n#EXT-X-VERSION:", versionRanges)
	list = appendTargetDuration(list, s)
	list = append(list, "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n"...)
	list = s.appendStaticRanges(list)
	for seg, previous := range lead.shown() {
		if seg.Take != previous {
			list = appendDiscontinuity(list, previous)
		}
		list = appendDate(list, seg.Date)
		list = appendInf(list, seg, s.timescale(seg.Take, lead.Name))
		from := len(text)
		text = AppendSubtitles(text, s, seg.MSN, seg.MSN)
		list = appendStaticRange(list, int64(from), int64(len(text)-from))
		list = append(list, subtitlesFile+"\n"...)
	}
	return append(list, "#EXT-X-ENDLIST\n"...), text
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

// appendFile writes {take}/{track}.mp4.
func appendFile(dst []byte, take int, track string) []byte {
	dst = strconv.AppendInt(dst, int64(take), 10)
	dst = append(dst, '/')
	dst = append(dst, track...)
	return append(dst, ".mp4"...)
}

func appendStaticRange(dst []byte, offset, size int64) []byte {
	dst = append(dst, "#EXT-X-BYTERANGE:"...)
	dst = appendRange(dst, offset, size)
	return append(dst, '\n')
}

// appendRange writes size@offset.
func appendRange(dst []byte, offset, size int64) []byte {
	dst = strconv.AppendInt(dst, size, 10)
	dst = append(dst, '@')
	return strconv.AppendInt(dst, offset, 10)
}
