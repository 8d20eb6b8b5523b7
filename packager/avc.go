package packager

import (
	"encoding/binary"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"github.com/oxbow-video/oxbow/internal/media"
)

// readAVC reads an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1).
func (f *format) readAVC() error {
	unit, err := avcSPS(f.track.Config)
	if err != nil {
		return err
	}
	var sps h264.SPS
	if err := sps.Unmarshal(unit); err != nil {
		return fmt.Errorf("%w: sequence parameter set: %w", media.ErrInvalid, err)
	}
	f.entry, f.box = "avc1", "avcC"
	f.track.CodecString = fmt.Sprintf("avc1.%02x%02x%02x", unit[1], unit[2], unit[3])
	var ratio aspect
	if v := sps.VUI; v != nil {
		if v.AspectRatioInfoPresentFlag {
			ratio = aspect{int(v.AspectRatioIdc), int(v.SarWidth), int(v.SarHeight)}
		}
		if v.VideoSignalTypePresentFlag && v.ColourDescriptionPresentFlag {
			f.setColour(v.ColourPrimaries, v.TransferCharacteristics, v.MatrixCoefficients, v.VideoFullRangeFlag)
		}
	}
	return f.setPicture(sps.Width(), sps.Height(), ratio, sps.FPS())
}

// avcSPS gives the first sequence parameter set of a record, which has one and a picture parameter set.
func avcSPS(record []byte) ([]byte, error) {
	bad := fmt.Errorf("%w: avcC without parameter sets", media.ErrInvalid)
	if len(record) < 8 || record[0] != 1 || record[4]&3 != 3 || record[5]&31 == 0 {
		return nil, bad
	}
	var sps []byte
	rest := record[6:]
	for range record[5] & 31 {
		if len(rest) < 2 || int(binary.BigEndian.Uint16(rest)) > len(rest)-2 {
			return nil, bad
		}
		size := int(binary.BigEndian.Uint16(rest))
		if sps == nil {
			sps = rest[2 : 2+size]
		}
		rest = rest[2+size:]
	}
	if len(sps) < 4 || len(rest) < 3 || rest[0] == 0 {
		return nil, bad
	}
	return sps, nil
}
