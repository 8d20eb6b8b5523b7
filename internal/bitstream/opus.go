package bitstream

import (
	"bytes"
	"encoding/binary"
)

const opusMaxSamples = 5760 // of a packet: 120 ms

// OpusSamples says how long a packet is at 48 kHz (RFC 6716, 3.1).
func OpusSamples(packet []byte) (int64, bool) {
	if len(packet) == 0 {
		return 0, false
	}
	var samples int64 // of one frame
	switch mode := packet[0] >> 3; {
	case mode < 12: // SILK
		samples = [...]int64{480, 960, 1920, 2880}[mode&3]
	case mode < 16: // hybrid
		samples = [...]int64{480, 960}[mode&1]
	default: // CELT
		samples = 120 << (mode & 3)
	}
	switch packet[0] & 3 {
	case 1, 2:
		samples *= 2
	case 3:
		if len(packet) < 2 {
			return 0, false
		}
		samples *= int64(packet[1] & 0x3f)
	}
	return samples, samples > 0 && samples <= opusMaxSamples
}

// OpusOfHead makes the body of a dOps box (Encapsulation of Opus in ISO BMFF, 4.3.2) of an identification header (RFC
// 7845, 5.1).
func OpusOfHead(head []byte) (config []byte, ok bool) {
	const fixed = 19
	if len(head) < fixed || !bytes.HasPrefix(head, []byte("OpusHead")) || head[8]&0xf0 != 0 {
		return nil, false
	}
	channels, family := int(head[9]), head[18]
	config = append(config, 0, head[9])
	config = binary.BigEndian.AppendUint16(config, binary.LittleEndian.Uint16(head[10:])) // pre-skip
	config = binary.BigEndian.AppendUint32(config, binary.LittleEndian.Uint32(head[12:])) // sample rate of the source
	config = binary.BigEndian.AppendUint16(config, binary.LittleEndian.Uint16(head[16:])) // gain
	config = append(config, family)
	switch {
	case channels == 0, family == 0 && channels > 2, family == 1 && channels > 8:
		return nil, false
	case family == 0:
		return config, true
	case family == 1, family == 2, family == 255:
	default: // another layout of what follows
		return nil, false
	}
	if len(head) < fixed+2+channels {
		return nil, false
	}
	streams, coupled := int(head[19]), int(head[20])
	if streams == 0 || coupled > streams || streams+coupled > 255 {
		return nil, false
	}
	for _, source := range head[fixed+2 : fixed+2+channels] {
		if source != 255 && int(source) >= streams+coupled {
			return nil, false
		}
	}
	return append(config, head[fixed:fixed+2+channels]...), true
}

// OpusOfChannels makes the body of a dOps box for the channel_config_code of an MPEG transport stream: 1 to 8 channels
// in the order of Vorbis. It is nil for any other. The pre-skip is none: what a live stream begins with is not silence
// that its encoder made.
func OpusOfChannels(channels int) (config []byte) {
	if channels < 1 || channels > 8 {
		return nil
	}
	config = []byte{0, byte(channels), 0, 0, 0, 0, 0xbb, 0x80, 0, 0, 0}
	if channels <= 2 {
		return config
	}
	config[len(config)-1] = 1
	layout := [...][]byte{ // streams, coupled streams, the source of each channel (RFC 7845, 5.1.1.2)
		{2, 1, 0, 2, 1},
		{2, 2, 0, 1, 2, 3},
		{3, 2, 0, 4, 1, 2, 3},
		{4, 2, 0, 4, 1, 2, 3, 5},
		{4, 3, 0, 4, 1, 2, 3, 5, 6},
		{5, 3, 0, 6, 1, 2, 3, 4, 5, 7},
	}
	return append(config, layout[channels-3]...)
}
