package progressive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const (
	// readAhead is about how many bytes of a track's file one request to an object store covers.
	readAhead = 8 << 20
	// maxTries is how often a reading that broke is tried again without a byte in between.
	maxTries = 3
	// maxSend bounds what is sent in one go from a file that the kernel copies, so that the writer's deadlines are of
	// use.
	maxSend = 1 << 20
)

// Copier sends files' bytes. Its buffers are shared by all sendings.
type Copier struct {
	files   Files
	buffers sync.Pool
}

// NewCopier makes a Copier of the storage that has the track files.
func NewCopier(files Files) *Copier {
	c := &Copier{files: files}
	c.buffers.New = func() any { return new([copyBuffer]byte) }
	return c
}

const copyBuffer = 64 << 10

// piece is bytes of a track's file, as the file has them one behind the other.
type piece struct {
	chunk  int
	offset int64
	size   int64
}

// Send writes length bytes of the file from from on, and gives how many were written. One file at a time is open of a
// directory, and one reading for each track of an object store, which is resumed when it breaks.
func (c *Copier) Send(ctx context.Context, w io.Writer, f *File, from, length int64) (int64, error) {
	sent := int64(0)
	if from < f.header {
		n, err := f.writeHeader(w, from, from+length)
		if sent = n; err != nil || sent == length {
			return sent, err
		}
	}
	s := &sending{copier: c, w: w, file: f, windows: make([]reading, len(f.tracks))}
	s.end = from + length - f.header
	defer s.close()
	err := f.pieces(from+sent-f.header, length-sent, func(p piece) error {
		n, err := s.send(ctx, p)
		sent += n
		return err
	})
	return sent, err
}

// pieces calls fn for the places of length bytes of media from from on.
func (f *File) pieces(from, length int64, fn func(p piece) error) error {
	i := sort.Search(len(f.chunks), func(i int) bool { return f.chunks[i].out+f.chunks[i].size > from })
	end := from + length
	for ; i < len(f.chunks) && f.chunks[i].out < end; i++ {
		at := f.chunks[i].out
		for _, p := range f.chunkPieces(i) {
			lo, hi := max(from-at, 0), min(end-at, p.size)
			if at += p.size; lo >= hi {
				continue
			}
			if err := fn(piece{chunk: i, offset: p.offset + lo, size: hi - lo}); err != nil {
				return err
			}
		}
	}
	return nil
}

// chunkPieces gives where a chunk's samples lie in its track's file: a piece for each part.
func (f *File) chunkPieces(i int) []piece {
	c := &f.chunks[i]
	table := f.tables[c.take][f.tracks[c.track].index]
	pieces := make([]piece, 0, 8)
	offset, size := c.base, int64(0)
	lead := int64(0) // bytes of the part's samples that the chunk leaves out at its begin
	table.each(int(c.at), func(n int, s *sample) {
		switch {
		case uint32(n) < c.lo:
			lead += int64(s.size)
		case uint32(n) < c.hi:
			size += int64(s.size)
		}
	}, func(p *part) {
		offset += p.skip
		if size > 0 {
			pieces = append(pieces, piece{chunk: i, offset: offset + lead, size: size})
		}
		offset += p.bytes
		lead, size = 0, 0
	})
	return pieces
}

// sending is one Send.
type sending struct {
	copier  *Copier
	w       io.Writer
	file    *File
	end     int64 // of the media that is wanted
	direct  bool  // the storage is a directory: ranges cost nothing
	windows []reading
}

// reading is a range of a track's file that is being read forward.
type reading struct {
	in       io.ReadCloser
	name     string
	pos, end int64
}

func (s *sending) close() {
	for i := range s.windows {
		if in := s.windows[i].in; in != nil {
			_ = in.Close() // it was only read
		}
	}
}

func (s *sending) send(ctx context.Context, p piece) (int64, error) {
	c := &s.file.chunks[p.chunk]
	name := reclog.TrackName(s.file.path, s.file.media, s.file.takes[c.take].Number, s.file.tracks[c.track].info.Name)
	if s.direct {
		return s.sendDirect(ctx, name, p)
	}
	r := &s.windows[c.track]
	sent, tries := int64(0), 0
	for sent < p.size {
		if r.in == nil || r.name != name || p.offset+sent < r.pos || p.offset+sent >= r.end {
			err := s.open(ctx, r, name, piece{p.chunk, p.offset + sent, p.size - sent})
			if err != nil && retried(ctx, err, &tries) {
				continue
			}
			if err != nil {
				return sent, err
			}
			if s.direct {
				n, err := s.sendDirect(ctx, name, piece{p.chunk, p.offset + sent, p.size - sent})
				return sent + n, err
			}
		}
		n, broken, err := s.forward(r, p.offset+sent, min(p.offset+p.size, r.end))
		if sent += n; n > 0 {
			tries = 0
		}
		if err != nil {
			_ = r.in.Close()
			r.in = nil
			if !broken || !retried(ctx, err, &tries) {
				return sent, err
			}
		}
	}
	return sent, nil
}

// retried says that a reading that failed is worth another try.
func retried(ctx context.Context, err error, tries *int) bool {
	*tries++
	lasting := errors.Is(err, media.ErrNotFound) || errors.Is(err, media.ErrGone) || errors.Is(err, media.ErrDenied)
	return ctx.Err() == nil && *tries < maxTries && !lasting
}

// open begins a reading at a piece: of the chunks of its track that follow, if they are wanted, up to some megabytes.
func (s *sending) open(ctx context.Context, r *reading, name string, p piece) error {
	if r.in != nil {
		_ = r.in.Close() // it was only read
		r.in = nil
	}
	end := p.offset + p.size
	first := &s.file.chunks[p.chunk]
	for i := p.chunk; i < len(s.file.chunks) && s.file.chunks[i].out < s.end; i++ {
		c := &s.file.chunks[i]
		if c.track != first.track {
			continue
		}
		if c.take != first.take || c.base-p.offset > readAhead && i > p.chunk {
			break
		}
		for _, q := range s.file.chunkPieces(i) {
			if q.offset+q.size-p.offset <= readAhead || q.offset == p.offset {
				end = max(end, q.offset+q.size)
			}
		}
	}
	in, err := s.copier.files.OpenRange(ctx, name, p.offset, end-p.offset)
	if err != nil {
		return fmt.Errorf("media of %s: %w", name, err)
	}
	if _, ok := in.(io.WriterTo); ok {
		s.direct = true
		return in.Close()
	}
	*r = reading{in: in, name: name, pos: p.offset, end: end}
	return nil
}

// forward sends the bytes of a reading from from to to. Broken says that it was the reading that failed.
func (s *sending) forward(r *reading, from, to int64) (sent int64, broken bool, err error) {
	buf := s.copier.buffers.Get().(*[copyBuffer]byte)
	defer s.copier.buffers.Put(buf)
	for r.pos < to {
		n, err := r.in.Read(buf[:min(copyBuffer, to-r.pos)])
		if skip := min(max(from-r.pos, 0), int64(n)); int64(n) > skip {
			wrote, err := s.w.Write(buf[skip:n])
			sent += int64(wrote)
			if err != nil {
				return sent, false, err
			}
		}
		r.pos += int64(n)
		if err != nil && (!errors.Is(err, io.EOF) || r.pos < to) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return sent, true, fmt.Errorf("media of %s: %w", r.name, err)
		}
	}
	return sent, false, nil
}

// sendDirect sends a piece from a directory. Nothing stands between the file and the writer, so that the kernel may
// copy.
func (s *sending) sendDirect(ctx context.Context, name string, p piece) (sent int64, err error) {
	for sent < p.size {
		if err := ctx.Err(); err != nil {
			return sent, err
		}
		size := min(p.size-sent, maxSend)
		in, err := s.copier.files.OpenRange(ctx, name, p.offset+sent, size)
		if err != nil {
			return sent, fmt.Errorf("media of %s: %w", name, err)
		}
		n, err := io.Copy(s.w, in)
		if err = errors.Join(err, in.Close()); err == nil && n < size {
			err = io.ErrUnexpectedEOF
		}
		if sent += n; err != nil {
			return sent, err
		}
	}
	return sent, nil
}
