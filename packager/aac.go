package packager

import (
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Syntactic elements of a raw_data_block (ISO/IEC 14496-3, table 4.85).
const (
	idSCE = 0 // single channel
	idCPE = 1 // channel pair
	idLFE = 3
	idEND = 7
)

// readAAC reads an AudioSpecificConfig.
func (f *format) readAAC() error {
	var asc mpeg4audio.AudioSpecificConfig
	if err := asc.Unmarshal(f.track.Config); err != nil {
		return fmt.Errorf("%w: audio specific config: %w", media.ErrInvalid, err)
	}
	if asc.SampleRate < 7350 || asc.SampleRate > 96000 {
		return fmt.Errorf("%w: sample rate %d", media.ErrInvalid, asc.SampleRate)
	}
	f.entry, f.box = "mp4a", "esds"
	t := &f.track
	unit := int64(1024)
	if asc.FrameLengthFlag {
		unit = 960
	}
	f.setSound(asc.SampleRate, aacChannels(asc.ChannelConfig), unit)
	// Explicit signalling of SBR or PS (object types 5, 29) names the extension; the core is always LC.
	object := asc.Type
	if asc.ExtensionType != 0 {
		object = asc.ExtensionType
		t.SampleRate = asc.ExtensionSampleRate
	}
	t.CodecString = fmt.Sprintf("mp4a.40.%d", object)
	f.silence = silentAAC(asc.ChannelConfig)
	return nil
}

func aacChannels(config uint8) int {
	switch config {
	case 7:
		return 8
	case 0: // a program config element says; stereo is the usual guess, for CHANNELS only
		return 2
	}
	return int(config)
}

// silentAAC gives a raw_data_block of digital silence for a channel configuration: every element present, each with
// max_sfb = 0, that is without one spectral line. It is right for any sampling rate. A decoder's overlap fades the
// sound before it out. Nil for configuration 0, whose elements stand in a program config element, and for reserved
// ones.
func silentAAC(config uint8) []byte {
	layouts := [...][]uint64{
		1: {idSCE},
		2: {idCPE},
		3: {idSCE, idCPE},
		4: {idSCE, idCPE, idSCE},
		5: {idSCE, idCPE, idCPE},
		6: {idSCE, idCPE, idCPE, idLFE},
		7: {idSCE, idCPE, idCPE, idCPE, idLFE},
	}
	if int(config) >= len(layouts) || layouts[config] == nil {
		return nil
	}
	var w bitWriter
	var tags [4]uint64 // element_instance_tag counts per kind
	for _, id := range layouts[config] {
		w.write(id, 3)
		w.write(tags[id], 4)
		tags[id]++
		if id == idCPE {
			w.write(0, 1) // common_window
			w.silentChannel()
		}
		w.silentChannel()
	}
	w.write(idEND, 3)
	return w.bytes()
}

// bitWriter writes most significant bits first.
type bitWriter struct {
	buf  []byte
	free uint // bits left in the last byte
}

func (w *bitWriter) write(value uint64, bits uint) {
	for ; bits > 0; bits-- {
		if w.free == 0 {
			w.buf = append(w.buf, 0)
			w.free = 8
		}
		w.free--
		w.buf[len(w.buf)-1] |= byte(value>>(bits-1)&1) << w.free
	}
}

func (w *bitWriter) bytes() []byte { return w.buf }

// silentChannel writes an individual_channel_stream without sections.
func (w *bitWriter) silentChannel() {
	w.write(0, 8) // global_gain
	w.write(0, 1) // ics_reserved_bit
	w.write(0, 2) // window_sequence: ONLY_LONG
	w.write(0, 1) // window_shape
	w.write(0, 6) // max_sfb
	w.write(0, 1) // predictor_data_present
	w.write(0, 1) // pulse_data_present
	w.write(0, 1) // tns_data_present
	w.write(0, 1) // gain_control_data_present
}
