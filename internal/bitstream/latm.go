package bitstream

import (
	"bytes"
	"errors"

	"github.com/oxbow-video/oxbow/internal/media"
)

// LOASHeader is the bytes that LATM.Parse needs.
const LOASHeader = 3

// ErrLATM is a LOAS frame that can't be read: torn, or in a form that no track has (several programs or layers, other
// coding than AAC, CELP and HVXC among it).
var ErrLATM = errors.New("LATM that is not supported")

// LATM takes AAC out of a LOAS AudioSyncStream (ISO/IEC 14496-3, 1.7). The zero value is ready.
type LATM struct {
	known     bool   // a StreamMuxConfig came
	config    []byte // AudioSpecificConfig
	subframes int
	fixed     int // bits of each, if their length does not go with them
	variable  bool

	units  [][]byte
	buffer []byte
}

// Parse says how long the frame at the start of b is, header included; b has at least LOASHeader bytes.
func (l *LATM) Parse(b []byte) (size int, ok bool) {
	if len(b) < LOASHeader || b[0] != 0x56 || b[1]&0xe0 != 0xe0 {
		return 0, false
	}
	size = LOASHeader + (int(b[1]&0x1f)<<8 | int(b[2]))
	return size, size > LOASHeader
}

// Read gives the access units of one whole frame, in the stream's own memory until the next call. track is set if
// changed. Before the first configuration there are no units.
func (l *LATM) Read(frame []byte) (units [][]byte, track media.Track, changed bool, err error) {
	size, ok := l.Parse(frame)
	if !ok || size > len(frame) {
		return nil, track, false, ErrLATM
	}
	r := bits{data: frame[LOASHeader:size]}
	if !r.flag() { // useSameStreamMux
		if changed, ok = l.mux(&r); !ok {
			l.known = false
			return nil, track, false, ErrLATM
		}
		l.known = true
		if changed {
			track = media.Track{Kind: media.Audio, Codec: media.AAC, Config: bytes.Clone(l.config)}
		}
	}
	if !l.known {
		return nil, track, false, nil
	}
	l.units, l.buffer = l.units[:0], l.buffer[:0]
	for range l.subframes {
		length := l.fixed
		if l.variable {
			for {
				n := int(r.read(8))
				if length += n * 8; n != 255 {
					break
				}
			}
		}
		if r.bad || length > r.left() {
			if changed {
				l.known, l.config = false, nil // the caller never hears of it
			}
			return nil, media.Track{}, false, ErrLATM
		}
		begin := len(l.buffer)
		l.buffer = r.appendTo(l.buffer, r.at, length)
		r.skip(length)
		if len(l.buffer) > begin {
			l.units = append(l.units, l.buffer[begin:len(l.buffer):len(l.buffer)])
		}
	}
	return l.units, track, changed, nil
}

// mux reads a StreamMuxConfig (1.7.3.1) of one program with one layer.
func (l *LATM) mux(r *bits) (changed, ok bool) {
	version := r.flag()
	if version && r.flag() { // audioMuxVersionA
		return false, false
	}
	if version {
		latmValue(r) // taraBufferFullness
	}
	r.skip(1) // allStreamsSameTimeFraming
	l.subframes = int(r.read(6)) + 1
	if programs, layers := r.read(4), r.read(3); programs != 0 || layers != 0 {
		return false, false
	}
	length := 0
	if version {
		length = int(latmValue(r))
	}
	from := r.at
	coded := bits{data: r.data, at: r.at} // what is not known is still told by its length
	if known := skipAACConfig(&coded); !version && !known || length > r.left() {
		return false, false
	}
	if !version {
		length = coded.at - from
	}
	if r.skip(length); r.bad || length > maxAACConfig*8 {
		return false, false
	}
	var memory [maxAACConfig]byte
	config := r.appendTo(memory[:0], from, length)
	switch r.read(3) { // frameLengthType
	case 0:
		r.skip(8) // latmBufferFullness
		l.variable, l.fixed = true, 0
	case 1:
		l.variable, l.fixed = false, (int(r.read(9))+20)*8
	default:
		return false, false
	}
	if r.flag() { // otherDataPresent: it follows the units
		if version {
			latmValue(r)
		} else {
			for r.flag() && !r.bad {
				r.skip(8)
			}
			r.skip(8)
		}
	}
	if r.flag() {
		r.skip(8) // crcCheckSum
	}
	if r.bad || !AACConfigOK(config) {
		return false, false
	}
	if bytes.Equal(config, l.config) {
		return false, true
	}
	l.config = append(l.config[:0], config...)
	return true, true
}

// latmValue reads what LatmGetValue does.
func latmValue(r *bits) uint32 {
	count := int(r.read(2)) + 1
	return r.read(count * 8)
}
