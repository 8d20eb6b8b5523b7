package inspect

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
)

// window is how many bytes of a file are asked for at a time: an object store's connection may break, and no read of a
// track of a day hangs on one.
const window = 16 << 20

// stream reads a file from one offset to another, window by window, and skips what nobody wants to see.
type stream struct {
	ctx    context.Context //nolint:containedctx // it lives as long as one check of one file
	folder Folder
	name   string
	pos    int64 // of the next byte that the source gives
	end    int64
	curEnd int64
	cur    io.ReadCloser
	buf    *bufio.Reader
	moof   []byte // of the part that was read last
}

func newStream(ctx context.Context, folder Folder, name string, from, to int64) *stream {
	s := &stream{ctx: ctx, folder: folder, name: name, pos: from, end: to}
	s.buf = bufio.NewReaderSize(source{s}, 8<<10)
	return s
}

// source is the stream's unbuffered side.
type source struct{ *stream }

func (s source) Read(p []byte) (int, error) {
	if s.pos >= s.end {
		return 0, io.EOF
	}
	if s.cur == nil {
		size := min(window, s.end-s.pos)
		r, err := s.folder.OpenRange(s.ctx, s.name, s.pos, size)
		if err != nil {
			return 0, err
		}
		s.cur, s.curEnd = r, s.pos+size
	}
	n, err := s.cur.Read(p[:min(int64(len(p)), s.curEnd-s.pos)])
	s.pos += int64(n)
	if errors.Is(err, io.EOF) {
		err = nil
		if s.pos < s.curEnd {
			err = fmt.Errorf("%s at %d: %w", s.name, s.pos, io.ErrUnexpectedEOF)
		}
	}
	if s.pos == s.curEnd {
		err = errors.Join(err, s.close())
	}
	return n, err
}

// at is the offset of the next byte to be read.
func (s *stream) at() int64 { return s.pos - int64(s.buf.Buffered()) }

// left is how many bytes there are to the end.
func (s *stream) left() int64 { return s.end - s.at() }

// skip passes over n bytes, which may lie behind the end.
func (s *stream) skip(n int64) error {
	buffered := int64(s.buf.Buffered())
	if n <= buffered {
		_, err := s.buf.Discard(int(n))
		return err
	}
	to := s.pos + n - buffered
	s.buf.Reset(source{s})
	if s.cur != nil && to < s.curEnd {
		if seeker, ok := s.cur.(io.Seeker); ok {
			_, err := seeker.Seek(to-s.pos, io.SeekCurrent)
			s.pos = to
			return err
		}
		_, err := io.CopyN(io.Discard, s.buf, to-s.pos)
		return err
	}
	s.pos = to
	return s.close()
}

func (s *stream) close() error {
	if s.cur == nil {
		return nil
	}
	cur := s.cur
	s.cur = nil
	return cur.Close()
}
