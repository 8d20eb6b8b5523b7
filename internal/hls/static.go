package hls

import (
	"strconv"

	"github.com/oxbow-video/oxbow/internal/media"
)

// subtitlesFile is the one file that has all of a recording's subtitles in a bucket: the WebVTT segments one behind
// the other.
const subtitlesFile = "subtitles.vtt"

// Static gives the name and text of every playlist that stands beside a recording's files in a bucket: index.m3u8 and
// those that it names, per rendition and, for video, of its I-frames; with subtitles, subtitles.m3u8 and the file that
// its byte ranges are of. Where the tracks' files lie elsewhere, base, with a slash, leads to their folder.
func Static(s *Snapshot, base string) map[string][]byte {
	files := map[string][]byte{"index.m3u8": AppendMultivariant(nil, s, "")}
	cache := NewCache(&Compressor{})
	list := func(r int, form Form) ([]byte, *bucket) {
		w := newWriter(s.Renditions[r].Name, Whole, form)
		w.bucket = &bucket{snap: s, base: base}
		return s.appendVOD(nil, Playlist{Rendition: r, Kind: Whole, Form: form}, &w, cache), w.bucket
	}
	for i := range s.Renditions {
		name := s.Renditions[i].Name
		files[name+".m3u8"], _ = list(i, Media)
		if s.offersIFrames(i) {
			files[name+".iframes.m3u8"], _ = list(i, IFrames)
		}
	}
	if s.HasSubtitles() {
		text, written := list(0, Subtitles)
		files["subtitles.m3u8"], files[subtitlesFile] = text, written.subtitles
	}
	return files
}

// bucket is where a recording's tracks are files, {take}/{track}.mp4, whose byte ranges static playlists list.
type bucket struct {
	snap      *Snapshot
	base      string // leads to the folder of the tracks' files
	subtitles []byte // of the segments that were listed
}

// appendEntry writes the lines behind an entry's EXTINF. A gap names a file that is not there, so that a player which
// does not know EXT-X-GAP gets a 404 and not a whole track.
func (b *bucket) appendEntry(dst []byte, w *writer, e *item, seg *media.Segment) []byte {
	switch {
	case w.form == Subtitles:
		from := len(b.subtitles)
		b.subtitles = AppendSubtitles(b.subtitles, b.snap, seg.MSN, seg.MSN)
		dst = appendByteRange(dst, int64(from), int64(len(b.subtitles)-from))
		return append(dst, subtitlesFile+"\n"...)
	case e.gap:
		return append(appendSegmentURI(dst, "", seg.Take, w.track, seg.MSN), '\n')
	case e.size > 0:
		dst = appendByteRange(dst, seg.Offset+e.offset, e.size)
	default:
		dst = appendByteRange(dst, seg.Offset, seg.Size)
	}
	return append(appendFile(append(dst, b.base...), seg.Take, w.track), '\n')
}

func (b *bucket) appendMap(dst []byte, take int, track string) []byte {
	dst = append(dst, `#EXT-X-MAP:URI="`...)
	dst = appendFile(append(dst, b.base...), take, track)
	dst = append(dst, `",BYTERANGE="`...)
	dst = appendRange(dst, 0, b.snap.initSize(take, track))
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

func appendByteRange(dst []byte, offset, size int64) []byte {
	dst = append(dst, "#EXT-X-BYTERANGE:"...)
	return append(appendRange(dst, offset, size), '\n')
}

// appendRange writes size@offset.
func appendRange(dst []byte, offset, size int64) []byte {
	dst = strconv.AppendInt(dst, size, 10)
	dst = append(dst, '@')
	return strconv.AppendInt(dst, offset, 10)
}
