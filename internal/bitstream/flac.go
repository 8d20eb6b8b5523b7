package bitstream

import (
	"bytes"
	"encoding/binary"
)

const flacStreamInfo = 34 // bytes

// FLACOfHeader takes STREAMINFO out of a FLAC header (RFC 9639, 8.2): "fLaC" and the metadata block. unit is the most
// samples in a frame. The number of samples and the checksum, which are of a whole file, are set to "not known".
func FLACOfHeader(header []byte) (config []byte, unit int64, ok bool) {
	const marker, block = 4, 4
	if len(header) < marker+block+flacStreamInfo || !bytes.HasPrefix(header, []byte("fLaC")) {
		return nil, 0, false
	}
	if kind, size := header[4]&0x7f, binary.BigEndian.Uint32(header[4:])&0xffffff; kind != 0 || size != flacStreamInfo {
		return nil, 0, false
	}
	config = bytes.Clone(header[marker+block : marker+block+flacStreamInfo])
	smallest, largest := binary.BigEndian.Uint16(config), binary.BigEndian.Uint16(config[2:])
	rate := binary.BigEndian.Uint32(config[10:]) >> 12
	if smallest < 16 || largest < smallest || rate == 0 {
		return nil, 0, false
	}
	config[13] &= 0xf0
	clear(config[14:])
	return config, int64(largest), true
}
