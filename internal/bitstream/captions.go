package bitstream

import (
	"slices"
	"strconv"
	"time"
)

const (
	// captionDelay is how many units wait for others that are shown before them: the most that codecs reorder.
	captionDelay = 16
	// maxServices is one more than the highest number of a service (CTA-708, 6.2.1).
	maxServices = 64
	// captionTriplet is the bytes of a cc_data_pkt.
	captionTriplet = 3
)

// CaptionScan finds which captions are in use in cc_data, as Unit has it: channels of CEA-608 and services of CEA-708
// in which characters were written. Control codes alone, which encoders send in empty channels too, XDS and text mode
// count for nothing. The zero value is ready.
//
// Units come in the order of decoding, and captions go on from one to the next in that of showing: so some units wait.
type CaptionScan struct {
	waiting []captionUnit // by time
	fields  [2]captionField
	packet  []byte // of CEA-708, behind its header, as far as it has come
	want    int    // the bytes that it will have
	seen    []string
}

type captionUnit struct {
	pts  time.Duration
	data []byte
}

// captionField is one of CEA-608's two, with two channels each.
type captionField struct {
	channel int  // 1 or 2; 0 is none yet
	writes  bool // characters are captions: not text mode, not XDS
}

// Read takes the captions of one unit, which are borrowed, and says whether Seen has become more.
func (s *CaptionScan) Read(pts time.Duration, data []byte) bool {
	data = data[:min(len(data), maxCaptions)]
	at, _ := slices.BinarySearchFunc(s.waiting, pts, func(u captionUnit, pts time.Duration) int {
		if u.pts <= pts {
			return -1
		}
		return 1
	})
	var memory []byte
	before := len(s.seen)
	if len(s.waiting) == captionDelay {
		if at == 0 { // later than anything should be: a clock that went back
			s.unit(data)
			return len(s.seen) > before
		}
		s.unit(s.waiting[0].data)
		memory = s.waiting[0].data
		s.waiting = slices.Delete(s.waiting, 0, 1)
		at--
	}
	s.waiting = slices.Insert(s.waiting, at, captionUnit{pts: pts, data: append(memory[:0], data...)})
	return len(s.seen) > before
}

// Flush reads what waits, when no more comes, and says whether Seen has become more.
func (s *CaptionScan) Flush() bool {
	before := len(s.seen)
	for i := range s.waiting {
		s.unit(s.waiting[i].data)
	}
	s.waiting = s.waiting[:0]
	return len(s.seen) > before
}

// Seen gives the captions that were found: CC1 to CC4, SERVICE1 to SERVICE63, in the order in which they came up.
func (s *CaptionScan) Seen() []string { return s.seen }

func (s *CaptionScan) see(kind string, number int) {
	if id := kind + strconv.Itoa(number); !slices.Contains(s.seen, id) {
		s.seen = append(s.seen, id)
	}
}

// unit goes through one picture's triplets (CTA-708, 4.4).
func (s *CaptionScan) unit(data []byte) {
	const valid, kindMask, field1, field2, packetData, packetStart = 4, 3, 0, 1, 2, 3
	for ; len(data) >= captionTriplet; data = data[captionTriplet:] {
		if data[0]&valid == 0 {
			continue
		}
		switch kind := data[0] & kindMask; kind {
		case field1, field2:
			s.pair(int(kind), data[1]&0x7f, data[2]&0x7f) // without parity
		case packetStart:
			s.want = 2*int(data[1]&0x3f) - 1 // what is behind the header
			if s.want < 0 {
				s.want = 127
			}
			s.packet = append(s.packet[:0], data[2])
			s.endPacket()
		case packetData:
			if s.want > 0 {
				s.packet = append(s.packet, data[1], data[2])
				s.endPacket()
			}
		}
	}
}

// pair reads two bytes of a field of CEA-608 (8.4, 9).
func (s *CaptionScan) pair(field int, a, b byte) {
	f := &s.fields[field]
	switch {
	case a == 0: // padding
	case a < 0x10: // XDS, until the next control code
		f.writes = false
	case a >= 0x20:
		if f.writes && f.channel > 0 {
			s.see("CC", 2*field+f.channel)
		}
	default:
		channel := 1 + int(a>>3&1)
		code := a &^ 0x08
		if code == 0x14 || code == 0x15 { // miscellaneous control codes
			switch b {
			case 0x20, 0x25, 0x26, 0x27, 0x29, 0x2f: // pop-on, roll-up, paint-on captions; end of caption
				f.channel, f.writes = channel, true
				return
			case 0x2a, 0x2b: // text mode
				f.channel, f.writes = channel, false
				return
			}
		}
		if f.channel != channel { // a code for the other channel, whose mode is not known
			f.channel, f.writes = channel, b >= 0x40 && f.writes // a preamble goes on with captions
		}
		special := code == 0x11 && b >= 0x30 || code == 0x12 || code == 0x13
		if f.writes && special && b >= 0x20 && b < 0x40 {
			s.see("CC", 2*field+f.channel)
		}
	}
}

// endPacket reads a packet that is whole: service blocks (CTA-708, 6.2). One that does not come out even was damaged.
func (s *CaptionScan) endPacket() {
	if len(s.packet) < s.want {
		return
	}
	b := s.packet[:s.want]
	s.want = 0
	var found [maxServices]bool
	for len(b) > 0 {
		number, size := int(b[0]>>5), int(b[0]&0x1f)
		b = b[1:]
		if number == 0 { // the null block ends a packet
			break
		}
		if number == 7 && size > 0 {
			if len(b) == 0 {
				return
			}
			if number, b = int(b[0]&0x3f), b[1:]; number < 7 {
				return
			}
		}
		if size > len(b) {
			return
		}
		found[number] = found[number] || writes708(b[:size])
		b = b[size:]
	}
	for number, ok := range found {
		if ok {
			s.see("SERVICE", number)
		}
	}
}

// writes708 says whether a service block has characters among its commands (CTA-708, 7.1, 8.10).
func writes708(b []byte) bool {
	const space = 0x20
	for len(b) > 0 {
		skip := 1
		switch c := b[0]; {
		case c == 0x10: // EXT1: the code sets C2, C3, G2, G3
			if len(b) < 2 {
				return false
			}
			e := b[1]
			if e >= 0x20 && e < 0x80 || e >= 0xa0 {
				return true
			}
			if e >= 0x90 { // of variable length: nothing uses it
				return false
			}
			skip = 2 + int(e&0x1f>>3)
			if e >= 0x80 {
				skip += 4
			}
		case c == 0x18: // P16: a character of two bytes
			return len(b) >= 3
		case c > 0x18 && c < space:
			skip = 3
		case c > 0x10 && c < space:
			skip = 2
		case c < space: // C0 of one byte
		case c >= 0x80 && c < 0xa0:
			skip += c1Parameters(c)
		case c != space:
			return true
		}
		b = b[min(skip, len(b)):]
	}
	return false
}

// c1Parameters gives the bytes behind a command of C1 (CTA-708, 8.10.5).
func c1Parameters(c byte) int {
	switch {
	case c < 0x88, c == 0x8e, c == 0x8f: // CW0 to CW7, DLC, RST
		return 0
	case c <= 0x8d: // CLW, DSW, HDW, TGW, DLW, DLY
		return 1
	case c == 0x90, c == 0x92: // SPA, SPL
		return 2
	case c == 0x91: // SPC
		return 3
	case c == 0x97: // SWA
		return 4
	case c >= 0x98: // DF0 to DF7
		return 6
	}
	return 0
}
