package packager

import (
	"encoding/binary"
	"fmt"

	"github.com/oxbow-video/oxbow/internal/media"
)

// readOpus reads an OpusSpecificBox ("Encapsulation of Opus in ISO Base Media File Format", 4.3.2). Its pre-skip, some
// 6 ms of the decoder's start, does not shift the track: a publisher's stamps have it in them already (CMF-20).
func (f *format) readOpus() error {
	c := f.track.Config
	if len(c) < 11 || c[0] != 0 || c[1] == 0 {
		return fmt.Errorf("%w: dOps", media.ErrInvalid)
	}
	channels := int(c[1])
	streams, coupled := 1, channels-1
	if c[10] != 0 {
		if len(c) < 13+channels || c[11] == 0 || c[12] > c[11] {
			return fmt.Errorf("%w: dOps: channel mapping", media.ErrInvalid)
		}
		streams, coupled = int(c[11]), int(c[12])
	} else if channels > 2 {
		return fmt.Errorf("%w: dOps: %d channels without a mapping", media.ErrInvalid, channels)
	}
	if f.track.Unit < 120 || f.track.Unit > 5760 || f.track.Unit%120 != 0 {
		return fmt.Errorf("%w: Opus packets of %d samples", media.ErrInvalid, f.track.Unit)
	}
	f.entry, f.box = "Opus", "dOps"
	f.track.CodecString = "Opus"
	f.setSound(48000, channels, f.track.Unit)
	f.silence = silentOpus(f.unit, streams, coupled)
	return nil
}

// silentOpus gives a packet (RFC 6716, section 3; several streams as RFC 7845, 5.1.1.2 has them): CELT frames of full
// band of which the silence flag is all there is. Nil for a length that such frames do not make.
func silentOpus(samples int64, streams, coupled int) []byte {
	const (
		celtFullBand = 28 << 3 // 2.5 ms; the next three 5, 10 and 20 ms
		stereo       = 4
		manyFrames   = 3
	)
	frame := []byte{0xff, 0xfe}
	count, toc := samples/960, byte(celtFullBand|3<<3)
	switch samples {
	case 120, 240, 480:
		count = 1
		for n := samples; n < 960; n *= 2 {
			toc -= 1 << 3
		}
	default:
		if samples%960 != 0 {
			return nil
		}
	}
	var b []byte
	for i := range streams {
		head := toc
		if i < coupled {
			head |= stereo
		}
		if count > 1 {
			b = append(b, head|manyFrames, byte(count))
		} else {
			b = append(b, head)
		}
		if i < streams-1 { // all but the last are self-delimiting
			b = append(b, byte(len(frame)))
		}
		for range count {
			b = append(b, frame...)
		}
	}
	return b
}

// readFLAC reads a STREAMINFO block (RFC 9639, 8.2).
func (f *format) readFLAC() error {
	c := f.track.Config
	if len(c) != 34 {
		return fmt.Errorf("%w: STREAMINFO of %d bytes", media.ErrInvalid, len(c))
	}
	packed := binary.BigEndian.Uint64(c[10:])
	rate, channels, depth := int(packed>>44), int(packed>>41&7)+1, int(packed>>36&31)+1
	unit := f.track.Unit
	if unit == 0 {
		unit = int64(binary.BigEndian.Uint16(c[2:]))
	}
	if rate < 1000 || unit < 16 || unit > 65535 || depth < 4 {
		return fmt.Errorf("%w: STREAMINFO: %d Hz, blocks of %d samples of %d bits", media.ErrInvalid, rate, unit, depth)
	}
	f.entry, f.box = "fLaC", "dfLa"
	f.sampleSize = uint16(depth)
	f.track.CodecString = "fLaC"
	f.setSound(rate, channels, unit)
	f.silence = silentFLAC(int(unit), channels, depth)
	return nil
}

// silentFLAC gives a frame of constant subframes (RFC 9639, section 9). Rate and depth are left to STREAMINFO, and it
// is frame 0: decoders go by the container's times.
func silentFLAC(samples, channels, depth int) []byte {
	var w bitWriter
	w.write(0xfff8, 16) // sync code, blocks of one size
	w.write(7, 4)       // the block size is in 16 bits behind the number
	w.write(0, 4)       // sample rate
	w.write(uint64(channels-1), 4)
	w.write(0, 4) // sample size, and a reserved bit
	w.write(0, 8) // frame number
	w.write(uint64(samples-1), 16)
	w.write(uint64(crc(w.bytes(), 8, 0x07)), 8)
	for range channels {
		w.write(0, 8) // a constant subframe
		w.write(0, uint(depth))
	}
	return binary.BigEndian.AppendUint16(w.bytes(), crc(w.bytes(), 16, 0x8005))
}

// crc is a cyclic redundancy check of 8 or 16 bits, most significant bit first, from zero.
func crc(b []byte, size uint, polynomial uint16) uint16 {
	var sum uint16
	top := uint16(1) << (size - 1)
	for _, v := range b {
		sum ^= uint16(v) << (size - 8)
		for range 8 {
			carry := sum&top != 0
			if sum <<= 1; carry {
				sum ^= polynomial
			}
		}
	}
	return sum & (top<<1 - 1)
}
