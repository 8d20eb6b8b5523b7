package packager

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"

	"github.com/oxbow-video/oxbow/internal/media"
)

// readHEVC reads an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1).
func (f *format) readHEVC() error {
	record := f.track.Config
	unit, err := hevcSPS(record)
	if err != nil {
		return err
	}
	var sps h265.SPS
	if err := sps.Unmarshal(unit); err != nil {
		return fmt.Errorf("%w: sequence parameter set: %w", media.ErrInvalid, err)
	}
	f.entry, f.box = "hvc1", "hvcC"
	f.track.CodecString = hevcName(record)
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

// hevcSPS gives the first sequence parameter set of a record.
func hevcSPS(record []byte) ([]byte, error) {
	const head, kindSPS = 23, 33
	bad := fmt.Errorf("%w: hvcC without parameter sets", media.ErrInvalid)
	if len(record) < head || record[0] != 1 || record[21]&3 != 3 {
		return nil, bad
	}
	var sps []byte
	rest := record[head:]
	for range record[head-1] {
		if len(rest) < 3 {
			return nil, bad
		}
		kind, count := rest[0]&0x3f, binary.BigEndian.Uint16(rest[1:])
		rest = rest[3:]
		for range count {
			if len(rest) < 2 || int(binary.BigEndian.Uint16(rest)) > len(rest)-2 {
				return nil, bad
			}
			size := int(binary.BigEndian.Uint16(rest))
			if kind == kindSPS && sps == nil {
				sps = rest[2 : 2+size]
			}
			rest = rest[2+size:]
		}
	}
	if sps == nil {
		return nil, bad
	}
	return sps, nil
}

// hevcName gives the name of ISO/IEC 14496-15, annex E.3: profile space and profile, compatibility flags in reverse,
// tier and level, constraint bytes without the zeros at their end.
func hevcName(record []byte) string {
	space := []string{"", "A", "B", "C"}[record[1]>>6]
	tier := "L"
	if record[1]&0x20 != 0 {
		tier = "H"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "hvc1.%s%d.%X.%s%d", space, record[1]&31, bits.Reverse32(binary.BigEndian.Uint32(record[2:])), tier,
		record[12])
	constraints := record[6:12]
	for len(constraints) > 0 && constraints[len(constraints)-1] == 0 {
		constraints = constraints[:len(constraints)-1]
	}
	for _, c := range constraints {
		fmt.Fprintf(&b, ".%X", c)
	}
	return b.String()
}
