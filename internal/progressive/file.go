package progressive

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// movieTimescale is the movie's ticks per second: edits in it are exact for video.
const movieTimescale = 90000

// layoutVersion changes with the bytes that Build makes of the same recording, for the ETag.
const layoutVersion = "oxbow progressive 1\n"

// File is a progressive MP4 file that lies nowhere: its header is written as it is read, and its media is that of the
// track files. It is never modified once built.
type File struct {
	path    media.StreamPath
	id      media.RecordingID
	media   media.RecordingID // whose track files have it
	started time.Time
	takes   []media.Take
	tables  [][]*Table
	tracks  []*track
	chunks  []chunk // in the order of the file
	length  int64   // in ticks of the movie

	sections []section
	header   int64 // bytes in front of the media
	size     int64
	etag     string
}

// section is a piece of the header: bytes that are there, or as many as write will write.
type section struct {
	size  int64
	bytes []byte
	write func(w *bufio.Writer)
}

// Size is the length of the file in bytes.
func (f *File) Size() int64 { return f.size }

// HeaderSize is the length of what is in front of the media.
func (f *File) HeaderSize() int64 { return f.header }

// ETag is a strong entity tag: the same recording has it wherever and whenever the file is built.
func (f *File) ETag() string { return f.etag }

// Duration is how long the file plays.
func (f *File) Duration() time.Duration { return media.Duration(f.length, movieTimescale) }

// HasVideo says that the file has a track with pictures.
func (f *File) HasVideo() bool {
	for _, t := range f.tracks {
		if len(t.chunks) > 0 && t.info.Kind == media.Video {
			return true
		}
	}
	return false
}

// Weight is about the bytes of memory that the file takes without its tables.
func (f *File) Weight() int64 {
	n := int64(1024) + 80*int64(cap(f.chunks))
	for i := range f.sections {
		n += int64(cap(f.sections[i].bytes)) + 64
	}
	return n
}

// sum makes the ETag of all that the file's bytes follow from.
func (f *File) sum() {
	h := sha256.New()
	_, _ = io.WriteString(h, layoutVersion+string(f.id)+"\n") // a hash never fails
	for i := range f.sections {
		_, _ = h.Write(f.sections[i].bytes)
	}
	var b []byte
	for i := range f.chunks {
		c := &f.chunks[i]
		table := f.tables[c.take][f.tracks[c.track].index]
		e := table.segments[c.at]
		b = b[:0]
		for _, v := range []int64{int64(c.track), int64(f.takes[c.take].Number), int64(e.msn), int64(c.lo), int64(c.hi),
			int64(c.entry), c.base, c.cut} {
			b = binary.AppendVarint(b, v)
		}
		_, _ = h.Write(b)
		_, _ = h.Write(table.blob[e.at:e.end])
	}
	f.etag = `"` + hex.EncodeToString(h.Sum(nil)[:16]) + `"`
}

// errEnough ends the writing of a header whose wanted range is written.
var errEnough = errors.New("enough")

// window lets a range of what is written through.
type window struct {
	w        io.Writer
	pos      int64
	from, to int64
	sent     int64
	err      error
}

// Write implements io.Writer.
func (w *window) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n := int64(len(p))
	lo, hi := max(w.from-w.pos, 0), min(w.to-w.pos, n)
	if lo < hi {
		sent, err := w.w.Write(p[lo:hi])
		w.sent += int64(sent)
		if err != nil {
			w.err = err
			return 0, err
		}
	}
	if w.pos += n; w.pos >= w.to {
		w.err = errEnough
	}
	return len(p), nil
}

// writeHeader writes the header's bytes from from to to.
func (f *File) writeHeader(w io.Writer, from, to int64) (int64, error) {
	out := &window{w: w, from: from, to: min(to, f.header)}
	buf := bufio.NewWriterSize(out, headerBuffer)
	pos := int64(0)
	for i := range f.sections {
		s := &f.sections[i]
		if pos+s.size > from && pos < to {
			out.pos = pos
			if s.write != nil {
				s.write(buf)
			} else {
				_, _ = buf.Write(s.bytes)
			}
			if err := buf.Flush(); err != nil || out.err != nil {
				break
			}
			if out.pos != pos+s.size {
				panic("BUG: a box is not as long as it was said to be")
			}
		}
		pos += s.size
	}
	if out.err != nil && !errors.Is(out.err, errEnough) {
		return out.sent, out.err
	}
	return out.sent, nil
}

const headerBuffer = 32 << 10
