package bitstream

import "bytes"

const (
	// maxSEI bounds what is read of an SEI unit, in bytes.
	maxSEI = 4096
	// maxCaptions is four times what cc_count can tell: a frame may carry both fields' captions.
	maxCaptions = 4 * 31 * 3
)

// sei reads supplemental enhancement information (H.264, 7.3.2.3 and annex D; H.265, 7.3.5 and annex D) of one access
// unit.
type sei struct {
	captions []byte // cc_data so far
	plain    []byte // memory
	display  display
}

// read goes through the messages of an SEI unit, without its header, and says whether there is a recovery point.
func (s *sei) read(b []byte) (recovery bool) {
	const registeredUserData, recoveryPoint = 4, 6
	if b = b[:min(len(b), maxSEI)]; bytes.Contains(b, []byte{0, 0, 3}) {
		if s.plain == nil {
			s.plain = make([]byte, 0, maxSEI)
		}
		s.plain = unescape(s.plain[:0], b)
		b = s.plain
	}
	for len(b) > 2 {
		kind, rest, ok := seiNumber(b)
		if !ok {
			return recovery
		}
		size, rest, ok := seiNumber(rest)
		if !ok {
			return recovery
		}
		switch {
		case kind == recoveryPoint:
			recovery = true
		case size > len(rest):
			return recovery
		case kind == registeredUserData:
			s.userData(rest[:size])
		default:
			s.display.read(kind, rest[:size])
		}
		b = rest[min(size, len(rest)):]
	}
	return recovery
}

// seiNumber reads a payload type or size: bytes of 255 add up.
func seiNumber(b []byte) (n int, rest []byte, ok bool) {
	for len(b) > 0 {
		v := b[0]
		if n, b = n+int(v), b[1:]; v != 0xff {
			return n, b, true
		}
	}
	return 0, nil, false
}

// userData takes cc_data out of what ATSC registered (ITU-T T.35; ATSC A/53 part 4, 6.2.3; CTA-708, 4.4).
func (s *sei) userData(b []byte) {
	// Country, provider, user_identifier, user_data_type_code; then flags with the count, and em_data.
	if header := "\xb5\x00\x31GA94\x03"; bytes.HasPrefix(b, []byte(header)) && len(b) >= len(header)+2 {
		b = b[len(header):]
		flags, data := b[0], b[2:]
		const process = 0x40
		size := int(flags&0x1f) * 3
		if flags&process != 0 && size <= len(data) && len(s.captions)+size <= maxCaptions {
			s.captions = append(s.captions, data[:size]...)
		}
	}
}

// take gives the captions, or nil, in the stream's own memory, and begins the next unit's.
func (s *sei) take() []byte {
	if len(s.captions) == 0 {
		return nil
	}
	captions := s.captions
	s.captions = s.captions[:0]
	return captions
}
