package packager

import (
	"fmt"

	"github.com/oxbow-video/oxbow/internal/media"
)

// readMPEGAudio reads the header of a frame of layer II or III (ISO/IEC 11172-3, 2.4.2.3).
//
// The name of MP3 is mp4a.40.34: no browser's media source takes MP3 in MP4 under any name (Chromium 156 refuses
// mp4a.40.34, mp4a.6B, mp4a.69 and mp3), and hls.js knows this one alone, for which it looks for another way. ffmpeg
// and native players go by the object type in esds.
func (f *format) readMPEGAudio() error {
	const layerIII, layerII = 1, 2
	c := f.track.Config
	bad := fmt.Errorf("%w: header of MPEG audio", media.ErrInvalid)
	if len(c) != 4 || c[0] != 0xff || c[1]&0xe0 != 0xe0 || c[2]>>2&3 == 3 {
		return bad
	}
	layer, version := c[1]>>1&3, c[1]>>3&3 // version 3 is MPEG-1, 2 MPEG-2, 0 MPEG-2.5
	want := byte(layerIII)
	f.track.CodecString = "mp4a.40.34"
	if f.track.Codec == media.MP2 {
		want, f.track.CodecString = layerII, "mp4a.40.33"
	}
	if layer != want || version == 1 {
		return bad
	}
	rate := [...]int{44100, 48000, 32000}[c[2]>>2&3]
	unit := int64(1152)
	if version != 3 {
		rate /= 2
		if layer == layerIII {
			unit = 576
		}
	}
	if version == 0 {
		rate /= 2
	}
	channels := 2
	if c[3]>>6 == 3 {
		channels = 1
	}
	f.entry, f.box = "mp4a", "esds"
	f.setSound(rate, channels, unit)
	f.silence = silentMPEGAudio([4]byte(c), int(unit), rate)
	return nil
}

// objectType is the objectTypeIndication of esds: MPEG-4 audio, or MPEG-1 or MPEG-2 audio of any layer.
func (f *format) objectType() byte {
	switch {
	case f.track.Codec == media.AAC:
		return 0x40
	case f.track.Config[1]>>3&3 == 3:
		return 0x6b
	}
	return 0x69
}

// silentMPEGAudio gives a frame of 64 kbit/s without a bit of sound: zero side information and zero allocations.
func silentMPEGAudio(header [4]byte, unit, rate int) []byte {
	const bitRate = 64000
	index := byte(8) // MPEG-2 and -2.5, both layers
	if header[1]>>3&3 == 3 {
		index = 5
		if header[1]>>1&3 == 2 {
			index = 4
		}
	}
	b := make([]byte, unit/8*bitRate/rate)
	copy(b, header[:])
	b[1] |= 1 // no checksum
	b[2] = index<<4 | header[2]&0x0c
	return b
}
