package bitstream

import "github.com/oxbow-video/oxbow/internal/media"

// AC3Header is the bytes that ParseAC3 needs.
const AC3Header = 12

const (
	ac3Block  = 256 // samples
	ac3Blocks = 6   // of AC-3's frame, and of E-AC-3's sample
)

// ParseAC3 reads the header of an AC-3 syncframe (ETSI TS 102 366, 4.3), or those of the E-AC-3 syncframes that make a
// sample (Annex E and F.6): six blocks of the first independent substream, with the dependent and the other independent
// substreams that belong to them. b has at least AC3Header bytes; give it all there is, for only what is in b is found
// to be part of the sample.
func ParseAC3(b []byte) (AudioFrame, bool) {
	if len(b) < AC3Header || b[0] != 0x0b || b[1] != 0x77 {
		return AudioFrame{}, false
	}
	switch bsid := b[5] >> 3; {
	case bsid <= 8:
		return parseAC3(b)
	case bsid > 10 && bsid <= 16:
		return parseEAC3(b)
	}
	return AudioFrame{}, false
}

func parseAC3(b []byte) (AudioFrame, bool) {
	kbits := [...]int{32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640}
	rate, size := b[4]>>6, b[4]&0x3f
	if rate == 3 || int(size>>1) >= len(kbits) {
		return AudioFrame{}, false
	}
	f := AudioFrame{Codec: media.AC3, Samples: ac3Block * ac3Blocks, Rate: ac3Rate(rate)}
	f.Size = kbits[size>>1] * 1000 * ac3Block * ac3Blocks / 16 / int(f.Rate) // words
	if rate == 1 {
		f.Size += int(size & 1)
	}
	f.Size *= 2
	r := bits{data: b, at: 40}
	bsid, bsmod, acmod := r.read(5), r.read(3), r.read(3)
	if acmod&1 != 0 && acmod != 1 {
		r.skip(2) // cmixlev
	}
	if acmod&4 != 0 {
		r.skip(2) // surmixlev
	}
	if acmod == 2 {
		r.skip(2) // dsurmod
	}
	lfe := r.read(1)
	v := uint32(rate)<<22 | bsid<<17 | bsmod<<14 | acmod<<11 | lfe<<10 | uint32(size>>1)<<5
	f.setConfig(byte(v>>16), byte(v>>8), byte(v))
	return f, true
}

func ac3Rate(code byte) int64 { return [...]int64{48000, 44100, 32000}[code] }
