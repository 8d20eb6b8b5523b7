package reclog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/oxbow-video/oxbow/internal/media"
)

// ScanParts finds the parts of a finished segment by their box headers. The reader gives the segment's bytes, from its
// first; media data is skipped by Seek where the reader can. The parts' offsets are in the track's file, as the
// segment's is. Head is left out, for the boxes do not say whether this is video. Bytes that are no such parts are
// media.ErrCorrupt.
func ScanParts(r io.Reader, seg media.Segment) ([]media.Part, error) {
	c := newCursor(r, seg.Size)
	var parts []media.Part
	for c.pos < seg.Size {
		at := c.pos
		fr, err := c.next()
		if err != nil && !errors.Is(err, errTorn) && !errors.Is(err, errBox) {
			return nil, fmt.Errorf("scan segment %d: %w", seg.MSN, err)
		}
		msn, index := SplitSequenceNumber(fr.seq)
		if err == nil && (msn != seg.MSN || (len(parts) > 0 && index <= parts[len(parts)-1].Index)) {
			err = fmt.Errorf("part %d.%d out of order", msn, index)
		}
		if err != nil {
			return nil, fmt.Errorf("scan segment %d at %d: %w: %w", seg.MSN, seg.Offset+at, media.ErrCorrupt, err)
		}
		parts = append(parts, media.Part{
			Index: index, Duration: fr.duration, Offset: seg.Offset + at, Size: fr.size, Independent: fr.sync,
		})
	}
	return parts, nil
}

// errTorn: the bytes may be the beginning of a part, but end before it does.
var errTorn = errors.New("part cut short")

// cursor walks the parts of a stream that ends at size.
type cursor struct {
	src  io.Reader
	buf  *bufio.Reader
	moof []byte
	lead int64 // bytes of events in front of it
	pos  int64
	size int64
}

// cursorBuffer holds the moof of a usual part, so that a part costs one read.
const cursorBuffer = 4 << 10

func newCursor(src io.Reader, size int64) *cursor {
	return &cursor{src: src, buf: bufio.NewReaderSize(src, cursorBuffer), size: size}
}

// next reads one part's headers and moves past it. After an error the cursor is of no more use.
func (c *cursor) next() (fragment, error) {
	events, err := c.events()
	if err != nil {
		return fragment{}, err
	}
	c.lead = events
	at := c.pos + events
	head, err := c.head(at, 8)
	if err != nil {
		return fragment{}, err
	}
	moof := int64(binary.BigEndian.Uint32(head))
	if binary.BigEndian.Uint32(head[4:]) != boxMoof || moof < 8 || moof > maxMoof {
		return fragment{}, fmt.Errorf("%w: no moof", errBox)
	}
	if at+moof+8 > c.size {
		return fragment{}, errTorn
	}
	if int64(cap(c.moof)) < moof {
		c.moof = make([]byte, moof)
	}
	c.moof = c.moof[:moof]
	if _, err := io.ReadFull(c.buf, c.moof); err != nil {
		return fragment{}, err
	}
	fr, err := parseMoof(c.moof[8:])
	if err != nil {
		return fragment{}, err
	}
	head, err = c.peek(int(min(16, c.size-at-moof)))
	if err != nil {
		return fragment{}, err
	}
	mdat, header, ok := mdatSize(head)
	if !ok {
		return fragment{}, fmt.Errorf("%w: no mdat", errBox)
	}
	fr.size = events + moof + int64(mdat)
	if fr.head <= moof+int64(header) || fr.head > moof+int64(mdat) {
		fr.head = 0 // not in this mdat
	} else {
		fr.head += events
	}
	if c.pos+fr.size > c.size {
		return fragment{}, errTorn
	}
	c.pos += fr.size
	return fr, c.skip(int64(mdat))
}

// events moves past the emsg boxes in front of a moof and gives their bytes.
func (c *cursor) events() (int64, error) {
	for events := int64(0); ; {
		head, err := c.head(c.pos+events, 8)
		if err != nil {
			return 0, err
		}
		size := int64(binary.BigEndian.Uint32(head))
		if binary.BigEndian.Uint32(head[4:]) != boxEmsg {
			return events, nil
		}
		if size < emsgHeader || events+size > MaxEvents {
			return 0, fmt.Errorf("%w: emsg of %d bytes", errBox, size)
		}
		if c.pos+events+size > c.size {
			return 0, errTorn
		}
		if err := c.skip(size); err != nil {
			return 0, err
		}
		events += size
	}
}

// head looks at the first n bytes of what is at a position, where the reader is.
func (c *cursor) head(at int64, n int) ([]byte, error) {
	if at+int64(n) > c.size {
		return nil, errTorn
	}
	return c.peek(n)
}

func (c *cursor) peek(n int) ([]byte, error) {
	head, err := c.buf.Peek(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return head, err
}

func (c *cursor) skip(n int64) error {
	buffered := int64(c.buf.Buffered())
	seeker, ok := c.src.(io.Seeker)
	if n <= buffered || !ok {
		got, err := io.CopyN(io.Discard, c.buf, n) // Discard takes an int
		if errors.Is(err, io.EOF) && got < n {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	_, err := seeker.Seek(n-buffered, io.SeekCurrent)
	c.buf.Reset(c.src)
	return err
}
