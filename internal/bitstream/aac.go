package bitstream

import "github.com/oxbow-video/oxbow/internal/media"

// ADTSHeader is the bytes that ParseADTS needs.
const ADTSHeader = 7

// maxAACConfig bounds an AudioSpecificConfig; the longest real ones, with a program config element, have some 40 bytes.
const maxAACConfig = 256

const aacFrameSamples = 1024

// ParseADTS reads the header of an ADTS frame (ISO/IEC 14496-3, 1.A.2.2), of at least ADTSHeader bytes.
func ParseADTS(b []byte) (AudioFrame, bool) {
	if len(b) < ADTSHeader || b[0] != 0xff || b[1]&0xf6 != 0xf0 {
		return AudioFrame{}, false
	}
	rates := [...]int64{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
	objectType, rate := b[2]>>6+1, b[2]>>2&0x0f
	channels := b[2]&1<<2 | b[3]>>6
	blocks := b[6] & 3 // less one
	f := AudioFrame{
		Size: int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5]>>5), Header: ADTSHeader, Codec: media.AAC,
		Samples: aacFrameSamples * (int64(blocks) + 1), Unsupported: channels == 0 || blocks > 0,
	}
	if b[1]&1 == 0 {
		f.Header += 2 // a checksum
	}
	if int(rate) >= len(rates) || f.Size <= f.Header {
		return AudioFrame{}, false
	}
	f.Rate = rates[rate]
	f.setConfig(objectType<<3|rate>>1, rate<<7|channels<<3)
	return f, true
}

// WithoutADTS takes off an ADTS header that some encoders leave before the access unit where none belongs. It is taken
// for one only if it gives the unit's exact length.
func WithoutADTS(unit []byte) ([]byte, bool) {
	f, ok := ParseADTS(unit)
	if !ok || f.Size != len(unit) {
		return unit, false
	}
	return unit[f.Header:], true
}

// AACConfigOK says whether the bytes can be an AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1): some encoders send an
// empty one first, or none that means anything.
func AACConfigOK(config []byte) bool {
	if len(config) < 2 || len(config) > maxAACConfig {
		return false
	}
	objectType := config[0] >> 3
	rateIndex := config[0]&7<<1 | config[1]>>7
	return objectType != 0 && rateIndex != 13 && rateIndex != 14 // reserved
}

// skipAACConfig goes past an AudioSpecificConfig whose length nothing tells. It is false for an object type that has
// another configuration than AAC's.
func skipAACConfig(b *bits) bool {
	begin := b.at
	objectType := aacObjectType(b)
	skipAACRate(b)
	channels := b.read(4)
	if objectType == 5 || objectType == 29 { // spectral band replication, parametric stereo: the core's type follows
		skipAACRate(b)
		objectType = aacObjectType(b)
		if objectType == 22 {
			b.skip(4) // extensionChannelConfiguration
		}
	}
	switch objectType {
	case 1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23:
	default:
		return false
	}
	// GASpecificConfig (4.4.1).
	b.skip(1) // frameLengthFlag
	if b.flag() {
		b.skip(14) // coreCoderDelay
	}
	extension := b.flag()
	if channels == 0 {
		skipProgramConfig(b, begin)
	}
	if objectType == 6 || objectType == 20 {
		b.skip(3) // layerNr
	}
	if extension {
		switch objectType {
		case 22:
			b.skip(5 + 11) // numOfSubFrame, layer_length
		case 17, 19, 20, 23:
			b.skip(3) // resilience flags
		}
		b.skip(1) // extensionFlag3
	}
	if objectType >= 17 {
		if ep := b.read(2); ep > 1 { // epConfig: protection in the data
			return false
		}
	}
	return !b.bad
}

func aacObjectType(b *bits) uint32 {
	if t := b.read(5); t != 31 {
		return t
	}
	return 32 + b.read(6)
}

func skipAACRate(b *bits) {
	if b.read(4) == 15 {
		b.skip(24)
	}
}

// skipProgramConfig goes past a program_config_element (4.4.1.1) of a configuration that begins at a bit.
func skipProgramConfig(b *bits, begin int) {
	b.skip(4 + 2 + 4)
	front, side, back := b.read(4), b.read(4), b.read(4)
	lfe, data, coupling := b.read(2), b.read(3), b.read(4)
	for range 2 { // mono and stereo mixdown
		if b.flag() {
			b.skip(4)
		}
	}
	if b.flag() { // matrix mixdown
		b.skip(3)
	}
	b.skip(int(front+side+back)*5 + int(lfe+data)*4 + int(coupling)*5)
	b.skip((begin - b.at) & 7) // byte_alignment
	b.skip(int(b.read(8)) * 8)
}
