package bitstream

import "github.com/oxbow-video/oxbow/internal/media"

// MPEGAudioHeader is the bytes that ParseMPEGAudio needs.
const MPEGAudioHeader = 4

// ParseMPEGAudio reads the header of a frame of layer III or II (ISO/IEC 11172-3, 2.4.2.3; 13818-3; MPEG-2.5 is Fraunhofer's).
// Layer I, which no encoder of today makes, and free format, whose length is not told, are refused.
func ParseMPEGAudio(b []byte) (AudioFrame, bool) {
	const mpeg1, layerII, layerIII = 3, 2, 1
	if len(b) < MPEGAudioHeader || b[0] != 0xff || b[1]&0xe0 != 0xe0 {
		return AudioFrame{}, false
	}
	version, layer := b[1]>>3&3, b[1]>>1&3
	bitRate, rate, padding := b[2]>>4, b[2]>>2&3, int64(b[2]>>1&1)
	if version == 1 || layer != layerII && layer != layerIII || bitRate == 0 || bitRate == 15 || rate == 3 || b[3]&3 == 2 {
		return AudioFrame{}, false
	}
	f := AudioFrame{Codec: media.MP3, Samples: 1152, Rate: [...]int64{44100, 48000, 32000}[rate]}
	if layer == layerII {
		f.Codec = media.MP2
	}
	kbits := [...]int64{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}[bitRate]
	switch {
	case version == mpeg1 && layer == layerII:
		kbits = [...]int64{0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384}[bitRate]
	case version == mpeg1:
		kbits = [...]int64{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}[bitRate]
	case layer == layerIII:
		f.Samples = 576
	}
	if version != mpeg1 {
		f.Rate /= 2
	}
	if version == 0 {
		f.Rate /= 2
	}
	f.Size = int(f.Samples/8*kbits*1000/f.Rate + padding)
	// Without what may change with each frame: bit rate, padding, private bit, how the two channels are joined.
	mode := b[3] >> 6
	if mode == 1 {
		mode = 0 // joint stereo
	}
	f.setConfig(b[0], b[1], b[2]&0x0c, mode<<6|b[3]&0x0f)
	return f, true
}
