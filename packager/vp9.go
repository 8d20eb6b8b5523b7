package packager

import (
	"fmt"

	"github.com/oxbow-video/oxbow/internal/media"
)

// readVP9 reads a VPCodecConfigurationRecord ("VP Codec ISO Media File Format Binding"). It does not say the picture's
// size: the publisher's side does.
func (f *format) readVP9() error {
	r := f.track.Config
	if len(r) < 8 {
		return fmt.Errorf("%w: vpcC of %d bytes", media.ErrInvalid, len(r))
	}
	// The size comes as coded, and is told as it is shown.
	if err := f.setPicture(f.track.Width, f.track.Height, aspect{}, 0); err != nil {
		return err
	}
	f.entry, f.box = "vp09", "vpcC"
	profile, level, depth, chroma, full := r[0], r[1], r[2]>>4, r[2]>>1&7, r[2]&1
	if level == 0 { // some encoders leave it out, and players refuse the name then
		level = vp9Level(f.codedWidth * f.codedHeight)
	}
	const unspecified = 2
	if r[3] != unspecified || r[4] != unspecified {
		f.setColour(r[3], r[4], r[5], full == 1)
	}
	f.track.CodecString = fmt.Sprintf("vp09.%02d.%02d.%02d.%02d.%02d.%02d.%02d.%02d", profile, level, depth, chroma, r[3],
		r[4], r[5], full)
	return nil
}

// vp9Level gives the level that takes pictures of a size at the usual frame rates.
func vp9Level(area int) byte {
	for _, l := range []struct {
		area  int
		level byte
	}{{36864, 10}, {73728, 11}, {122880, 20}, {245760, 21}, {552960, 30}, {983040, 31}, {2228224, 41}, {8912896, 51}} {
		if area <= l.area {
			return l.level
		}
	}
	return 61
}
