package ingest

import (
	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// fieldPair makes one frame of two fields of H.264 that come as access units of their own: a sample is a frame or a
// complementary field pair (ISO/IEC 14496-15, 5.3.2). The frame has the times of the first, and begins decoding where
// the first does. The zero value is ready.
type fieldPair struct {
	first bitstream.Field // of what is held; a whole frame if nothing is
	frame media.Frame     // its payload is kept for the next pair
}

// settle hands over the field that is held unless the one that comes next completes it. It is called before what comes
// next is told of, in the payload's form and within its limit.
func (p *fieldPair) settle(out sink, id trackID, next bitstream.Field, size, limit int) error {
	fits := len(p.frame.Payload)+size <= limit
	if p.first.Parity == bitstream.Whole || next.Completes(p.first) && fits {
		return nil
	}
	p.first = bitstream.Field{}
	out.repaired(repairLoneField)
	return out.write(id, &p.frame)
}

// write hands over a frame, or holds it if it is a first field, or completes that. settle was called before.
func (p *fieldPair) write(out sink, id trackID, field bitstream.Field, frame *media.Frame) error {
	if p.first.Parity != bitstream.Whole {
		p.first = bitstream.Field{}
		p.frame.Payload = append(p.frame.Payload, frame.Payload...)
		return out.write(id, &p.frame)
	}
	if field.Parity == bitstream.Whole {
		return out.write(id, frame)
	}
	payload := append(p.frame.Payload[:0], frame.Payload...)
	p.first, p.frame = field, *frame
	p.frame.Payload = payload
	return nil
}
