package packager

import (
	"fmt"
	"math/bits"

	"github.com/oxbow-video/oxbow/internal/media"
)

// ac3Unit is the samples of a frame of six blocks.
const ac3Unit = 1536

// ac3Rate gives a sampling rate by fscod; zero for E-AC-3's halved ones, which the configuration does not tell.
func ac3Rate(fscod byte) int { return [...]int{48000, 44100, 32000, 0}[fscod&3] }

// ac3Channels counts the channels of an audio coding mode (ETSI TS 102 366, table 4.3).
func ac3Channels(acmod, lfe byte) int {
	return [...]int{2, 1, 2, 3, 3, 4, 4, 5}[acmod&7] + int(lfe&1)
}

// readAC3 reads an AC3SpecificBox (ETSI TS 102 366, F.4).
func (f *format) readAC3() error {
	c := f.track.Config
	if len(c) < 3 || ac3Rate(c[0]>>6) == 0 {
		return fmt.Errorf("%w: dac3", media.ErrInvalid)
	}
	f.entry, f.box = "ac-3", "dac3"
	f.track.CodecString = "ac-3"
	f.setSound(ac3Rate(c[0]>>6), ac3Channels(c[1]>>3, c[1]>>2), ac3Unit)
	return nil
}

// readEAC3 reads an EC3SpecificBox (ETSI TS 102 366, F.6): its first independent substream, with what depends on it.
func (f *format) readEAC3() error {
	c := f.track.Config
	if len(c) < 5 {
		return fmt.Errorf("%w: dec3", media.ErrInvalid)
	}
	rate := ac3Rate(c[2] >> 6)
	if rate == 0 {
		return fmt.Errorf("%w: E-AC-3 of less than 32 kHz: send AC-3, or 48 kHz", media.ErrUnsupported)
	}
	unit := f.track.Unit
	if unit == 0 {
		unit = ac3Unit
	}
	if unit < 256 || unit > ac3Unit {
		return fmt.Errorf("%w: E-AC-3 frames of %d samples", media.ErrInvalid, unit)
	}
	channels := ac3Channels(c[3]>>1, c[3])
	if dependent := c[4] >> 1 & 15; dependent > 0 && len(c) >= 6 {
		// chan_loc: bits 0, 1, 4, 5 and 6 are pairs (table F.6.1).
		location := uint(c[4]&1)<<8 | uint(c[5])
		channels += bits.OnesCount(location) + bits.OnesCount(location&0x73)
	}
	f.entry, f.box = "ec-3", "dec3"
	f.track.CodecString = "ec-3"
	f.setSound(rate, channels, unit)
	return nil
}
