package packager

import (
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"

	"github.com/oxbow-video/oxbow/internal/media"
)

// readAV1 reads an AV1CodecConfigurationRecord ("AV1 Codec ISO Media File Format Binding", 2.3) and the sequence header
// in it.
func (f *format) readAV1() error {
	record := f.track.Config
	if len(record) < 4 || record[0] != 0x81 {
		return fmt.Errorf("%w: av1C", media.ErrInvalid)
	}
	unit, err := av1Header(record[4:])
	if err != nil {
		return err
	}
	var h av1.SequenceHeader
	if err := h.Unmarshal(unit); err != nil {
		return fmt.Errorf("%w: sequence header: %w", media.ErrInvalid, err)
	}
	c := &h.ColorConfig
	if c.ColorDescriptionPresentFlag {
		f.setColour(uint8(c.ColorPrimaries), uint8(c.TransferCharacteristics), uint8(c.MatrixCoefficients), c.ColorRange)
	}
	f.entry, f.box = "av01", "av1C"
	f.track.CodecString = f.av1Name(record, c)
	var rate float64
	if t := h.TimingInfo; t != nil && t.EqualPictureInterval {
		rate = float64(t.TimeScale) / float64(t.NumUnitsInDisplayTick) / (float64(t.NumTicksPerPictureMinus1) + 1)
	}
	return f.setPicture(h.Width(), h.Height(), aspect{}, rate)
}

// av1Header gives the sequence header OBU, which comes first.
func av1Header(obus []byte) ([]byte, error) {
	const kindSequenceHeader, hasSize, extended = 1, 2, 4
	bad := fmt.Errorf("%w: av1C without a sequence header", media.ErrInvalid)
	if len(obus) < 2 || obus[0]>>3&15 != kindSequenceHeader || obus[0]&extended != 0 {
		return nil, bad
	}
	if obus[0]&hasSize == 0 {
		return obus, nil
	}
	size := 0
	for i := 1; i < min(len(obus), 4); i++ { // 21 bits are more than a configuration has
		size |= int(obus[i]&127) << (7 * (i - 1))
		if obus[i]&128 == 0 {
			if end := i + 1 + size; end <= len(obus) {
				return obus[:end], nil
			}
			break
		}
	}
	return nil, bad
}

// av1Name gives the name of the same document's section 5. The optional fields stand where the stream says its
// colours: they all or none.
func (f *format) av1Name(record []byte, c *av1.SequenceHeader_ColorConfig) string {
	tier := "M"
	if record[2]&0x80 != 0 {
		tier = "H"
	}
	depth := 8
	if record[2]&0x40 != 0 {
		depth = 10
		if record[2]&0x20 != 0 {
			depth = 12
		}
	}
	name := fmt.Sprintf("av01.%d.%02d%s.%02d", record[1]>>5, record[1]&31, tier, depth)
	if !f.colour.known {
		return name
	}
	bit := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	position := 0
	if c.SubsamplingX && c.SubsamplingY {
		position = int(c.ChromaSamplePosition)
	}
	return fmt.Sprintf("%s.%d.%d%d%d.%02d.%02d.%02d.%d", name, bit(c.MonoChrome), bit(c.SubsamplingX), bit(c.SubsamplingY),
		position, f.colour.primaries, f.colour.transfer, f.colour.matrix, bit(f.colour.full))
}
