package packager

import (
	"encoding/binary"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// appendInit appends a track's init section: ftyp and moov, nothing else (CMF-1), mvex and trex, durations zero
// (CMF-2). The bytes follow from the format alone.
func appendInit(b []byte, f *format) []byte {
	b = box(b, "ftyp", func(b []byte) []byte {
		b = append(b, "iso6"...)
		b = u32(b, 0)
		return append(b, "iso6cmfcmp41"...)
	})
	return box(b, "moov", func(b []byte) []byte {
		b = appendMvhd(b)
		b = box(b, "trak", func(b []byte) []byte {
			b = appendTkhd(b, f)
			return box(b, "mdia", func(b []byte) []byte { return appendMdia(b, f) })
		})
		return box(b, "mvex", func(b []byte) []byte {
			return fullBox(b, "trex", 0, 0, func(b []byte) []byte {
				return u32(b, trackID, 1, 0, 0, 0) // sample description 1; defaults stand in every fragment
			})
		})
	})
}

// trackID is the only track's of every file (CMF-13).
const trackID = 1

func box(b []byte, kind string, body func([]byte) []byte) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = append(b, kind...)
	b = body(b)
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

func fullBox(b []byte, kind string, version byte, flags uint32, body func([]byte) []byte) []byte {
	return box(b, kind, func(b []byte) []byte {
		return body(u32(b, uint32(version)<<24|flags))
	})
}

func u16(b []byte, values ...uint16) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

func u32(b []byte, values ...uint32) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

func appendMatrix(b []byte) []byte { return u32(b, 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000) }

// appendTurn writes the matrix that turns the picture clockwise and moves it back to where it was (ISO/IEC 14496-12,
// 6.2.2): x' = ax + cy + tx, y' = bx + dy + ty, in the order a, b, u, c, d, v, tx, ty, w.
func appendTurn(b []byte, f *format) []byte {
	const one, minus = 1 << 16, 1<<32 - 1<<16
	width, height := uint32(f.uprightWidth)<<16, uint32(f.uprightHeight)<<16
	switch f.track.Display.Rotation {
	case 90:
		return u32(b, 0, one, 0, minus, 0, 0, height, 0, 1<<30)
	case 180:
		return u32(b, minus, 0, 0, 0, minus, 0, width, height, 1<<30)
	case 270:
		return u32(b, 0, minus, 0, one, 0, 0, 0, width, 1<<30)
	}
	return appendMatrix(b)
}

func appendMvhd(b []byte) []byte {
	return fullBox(b, "mvhd", 0, 0, func(b []byte) []byte {
		b = u32(b, 0, 0, 1000, 0) // times unknown, timescale, duration
		b = u32(b, 0x10000)       // rate
		b = u16(b, 0x100, 0)      // volume
		b = u32(b, 0, 0)
		b = appendMatrix(b)
		b = u32(b, 0, 0, 0, 0, 0, 0)
		return u32(b, trackID+1)
	})
}

func appendTkhd(b []byte, f *format) []byte {
	return fullBox(b, "tkhd", 0, 3, func(b []byte) []byte {
		b = u32(b, 0, 0, trackID, 0, 0) // times, id, reserved, duration
		b = u32(b, 0, 0)
		volume, group := uint16(0), uint16(0)
		if !f.video() {
			volume, group = 0x100, 1
		}
		b = u16(b, 0, group, volume, 0)
		b = appendTurn(b, f)
		return u32(b, uint32(f.uprightWidth)<<16, uint32(f.uprightHeight)<<16)
	})
}

func appendMdia(b []byte, f *format) []byte {
	b = fullBox(b, "mdhd", 0, 0, func(b []byte) []byte {
		b = u32(b, 0, 0, uint32(f.track.Timescale), 0)
		return u16(b, language(f.track.Language), 0)
	})
	handler, name := "vide", "VideoHandler"
	if !f.video() {
		handler, name = "soun", "SoundHandler"
	}
	b = fullBox(b, "hdlr", 0, 0, func(b []byte) []byte {
		b = u32(b, 0)
		b = append(b, handler...)
		b = u32(b, 0, 0, 0)
		b = append(b, name...)
		return append(b, 0)
	})
	return box(b, "minf", func(b []byte) []byte {
		if f.video() {
			b = fullBox(b, "vmhd", 0, 1, func(b []byte) []byte { return u32(b, 0, 0) })
		} else {
			b = fullBox(b, "smhd", 0, 0, func(b []byte) []byte { return u32(b, 0) })
		}
		b = box(b, "dinf", func(b []byte) []byte {
			return fullBox(b, "dref", 0, 0, func(b []byte) []byte {
				b = u32(b, 1)
				return fullBox(b, "url ", 0, 1, func(b []byte) []byte { return b })
			})
		})
		return box(b, "stbl", func(b []byte) []byte {
			b = fullBox(b, "stsd", 0, 0, func(b []byte) []byte {
				b = u32(b, 1)
				if f.video() {
					return appendVideoEntry(b, f)
				}
				return appendAudioEntry(b, f)
			})
			b = fullBox(b, "stts", 0, 0, func(b []byte) []byte { return u32(b, 0) })
			b = fullBox(b, "stsc", 0, 0, func(b []byte) []byte { return u32(b, 0) })
			b = fullBox(b, "stsz", 0, 0, func(b []byte) []byte { return u32(b, 0, 0) })
			return fullBox(b, "stco", 0, 0, func(b []byte) []byte { return u32(b, 0) })
		})
	})
}

// language packs an ISO 639-2/T code into 15 bits; "und" for anything else.
func language(code string) uint16 {
	if len(code) != 3 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz") != "" {
		code = "und"
	}
	var packed uint16
	for i := range 3 {
		packed = packed<<5 | uint16(code[i]-0x60)&31
	}
	return packed
}

// appendVideoEntry writes a VisualSampleEntry with the configuration, the samples' shape and the colours.
func appendVideoEntry(b []byte, f *format) []byte {
	return box(b, f.entry, func(b []byte) []byte {
		b = u16(b, 0, 0, 0, 1) // reserved, data reference
		b = u32(b, 0, 0, 0, 0)
		b = u16(b, uint16(f.codedWidth), uint16(f.codedHeight))
		b = u32(b, 0x480000, 0x480000, 0) // 72 dpi
		b = u16(b, 1)                     // a frame in a sample
		b = append(b, make([]byte, 32)...)
		b = u16(b, 0x18, 0xffff)
		b = box(b, f.box, func(b []byte) []byte {
			if f.box == "vpcC" {
				b = u32(b, 1<<24) // version 1
			}
			return append(b, f.track.Config...)
		})
		if f.pixel != [2]int{} {
			b = box(b, "pasp", func(b []byte) []byte { return u32(b, uint32(f.pixel[0]), uint32(f.pixel[1])) })
		}
		if f.colour.known {
			b = box(b, "colr", func(b []byte) []byte {
				b = append(b, "nclx"...)
				b = u16(b, uint16(f.colour.primaries), uint16(f.colour.transfer), uint16(f.colour.matrix))
				if f.colour.full {
					return append(b, 0x80)
				}
				return append(b, 0)
			})
		}
		return appendLight(b, &f.track.Display)
	})
}

// appendLight writes what the publisher said of the light of HDR (ISO/IEC 14496-12, 12.1.7 and 12.1.8).
func appendLight(b []byte, d *media.Display) []byte {
	if m := &d.Mastering; *m != (media.Mastering{}) {
		b = box(b, "mdcv", func(b []byte) []byte {
			for _, p := range m.Primaries {
				b = u16(b, p[:]...)
			}
			return u32(u16(b, m.White[:]...), m.Max, m.Min)
		})
	}
	if d.Light != (media.ContentLight{}) {
		b = box(b, "clli", func(b []byte) []byte { return u16(b, d.Light.Max, d.Light.Average) })
	}
	return b
}

// appendAudioEntry writes an AudioSampleEntry with the configuration.
func appendAudioEntry(b []byte, f *format) []byte {
	return box(b, f.entry, func(b []byte) []byte {
		b = u16(b, 0, 0, 0, 1)
		b = u32(b, 0, 0)
		size := f.sampleSize
		if size == 0 {
			size = 16 // by the specification, whatever the codec makes of it
		}
		b = u16(b, uint16(f.track.Channels), size, 0, 0)
		// 16.16; 88200 and 96000 do not fit, for which the specification asks for zero: the config says it.
		rate := uint32(f.track.Timescale)
		if rate > 0xffff {
			rate = 0
		}
		b = u32(b, rate<<16)
		switch f.box {
		case "esds":
			return fullBox(b, f.box, 0, 0, func(b []byte) []byte { return appendES(b, f) })
		case "dfLa": // metadata blocks, STREAMINFO the first and last
			return fullBox(b, f.box, 0, 0, func(b []byte) []byte {
				return append(u32(b, 0x80<<24|uint32(len(f.track.Config))), f.track.Config...)
			})
		}
		return box(b, f.box, func(b []byte) []byte { return append(b, f.track.Config...) })
	})
}

// appendES writes an ES_Descriptor (ISO/IEC 14496-1, 7.2.6.5). Sizes have the four-byte form, which every reader takes.
func appendES(b []byte, f *format) []byte {
	descriptor := func(b []byte, tag byte, size int) []byte {
		return append(b, tag, 0x80|byte(size>>21), 0x80|byte(size>>14), 0x80|byte(size>>7), byte(size&127))
	}
	const head = 5
	var specific []byte // MPEG-1 and -2 audio has none: each frame says it
	if f.track.Codec == media.AAC {
		specific = append(descriptor(nil, 5, len(f.track.Config)), f.track.Config...)
	}
	decoder := head + 13 + len(specific)
	b = descriptor(b, 3, 3+decoder+head+1)
	b = append(b, 0, trackID, 0)
	b = descriptor(b, 4, 13+len(specific))
	b = append(b, f.objectType(), 5<<2|1, 0, 0, 0) // audio stream, buffer size
	b = u32(b, 0, 0)                               // bit rates unknown
	b = append(b, specific...)
	b = descriptor(b, 6, 1)
	return append(b, 2) // predefined: MP4
}
