package bitstream

import (
	"bytes"

	"github.com/oxbow-video/oxbow/internal/media"
)

// AudioFrame is one coded audio frame found by its own header.
type AudioFrame struct {
	// Size is its bytes in the stream, header included. If it is more than the bytes there were to parse, the frame is
	// not whole, and with more of it Size may be found to be more.
	Size int
	// Header is how many of them the sample goes without (ADTS); 0 where the frame is the sample.
	Header int
	// Samples is its length at Rate.
	Samples int64
	Rate    int64
	Codec   media.Codec
	// Unsupported says that it is a frame in a form that no track has: of ADTS one whose channels are told by the data
	// only, or with several raw data blocks. It must be passed over.
	Unsupported bool

	config     [maxAudioFrameConfig]byte
	configSize int8
	// dataRate is in kbit/s; of E-AC-3, whose Config says it, though every frame may have another.
	dataRate uint16
}

// maxAudioFrameConfig is what dec3 needs for eight independent substreams with dependent ones.
const maxAudioFrameConfig = 2 + 8*4

// SameTrack says that nothing that Track says differs, but for the data rate of E-AC-3.
func (f AudioFrame) SameTrack(g AudioFrame) bool {
	return f.Codec == g.Codec && f.Samples == g.Samples && f.Rate == g.Rate && f.Unsupported == g.Unsupported &&
		f.configSize == g.configSize && f.config == g.config
}

// Track gives Codec, Config and Unit. It allocates: call it on a change only.
func (f AudioFrame) Track() media.Track {
	t := media.Track{Kind: media.Audio, Codec: f.Codec, Config: bytes.Clone(f.config[:f.configSize]), Unit: f.Samples}
	switch f.Codec {
	case media.AAC:
		t.Unit = 0
	case media.EAC3:
		t.Config[0] |= byte(f.dataRate >> 5)
		t.Config[1] |= byte(f.dataRate << 3)
	}
	return t
}

func (f *AudioFrame) setConfig(config ...byte) { f.configSize = int8(copy(f.config[:], config)) }
