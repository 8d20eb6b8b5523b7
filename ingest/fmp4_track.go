package ingest

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// readFMP4Track reads a trak box; nil if it is of a kind that is not taken, like subtitles.
func readFMP4Track(trak []byte) (*fmp4Track, error) {
	t := &fmp4Track{}
	var handler string
	movie, rotation := int64(-1), 0
	err := mp4Boxes(trak, func(kind string, body []byte) error {
		switch kind {
		case "tkhd": // 8.3.2
			at := 12
			if len(body) > 0 && body[0] == 1 {
				at = 20
			}
			if len(body) < at+4 {
				return errMP4
			}
			t.id = binary.BigEndian.Uint32(body[at:])
			rotation = rotationOf(body[at+4:])
		case "edts":
			return mp4Path(body, func(elst []byte) error { movie = editStart(elst); return nil }, "elst")
		case "mdia":
			return t.readMedia(body, &handler)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if t.timescale <= 0 || t.track.Codec == "" {
		return nil, nil //nolint:nilnil // nothing to take
	}
	if movie > 0 {
		t.shift = -movie
	}
	if t.track.Kind == media.Video {
		t.stated.Rotation = rotation
		t.track.Display = t.stated
	}
	return t, nil
}

// editStart gives the media time at which presentation begins (8.6.6): -1 if the list does not say.
func editStart(elst []byte) int64 {
	if len(elst) < 8 {
		return -1
	}
	version, rest := elst[0], elst[8:]
	for {
		switch {
		case version == 1 && len(rest) >= 20:
			if at := int64(binary.BigEndian.Uint64(rest[8:])); at >= 0 {
				return at
			}
			rest = rest[20:]
		case version == 0 && len(rest) >= 12:
			if at := int64(int32(binary.BigEndian.Uint32(rest[4:]))); at >= 0 {
				return at
			}
			rest = rest[12:]
		default:
			return -1
		}
	}
}

func (t *fmp4Track) readMedia(mdia []byte, handler *string) error {
	return mp4Boxes(mdia, func(kind string, body []byte) error {
		switch kind {
		case "mdhd": // 8.4.2
			at := 12
			if len(body) > 0 && body[0] == 1 {
				at = 20
			}
			if len(body) < at+4 {
				return errMP4
			}
			t.timescale = int64(binary.BigEndian.Uint32(body[at:]))
		case "hdlr":
			if len(body) < 12 {
				return errMP4
			}
			*handler = string(body[8:12])
		case "minf":
			return mp4Path(body, func(stsd []byte) error { return t.readDescription(stsd, *handler) }, "stbl", "stsd")
		}
		return nil
	})
}

// readDescription reads the first sample entry (8.5.2).
func (t *fmp4Track) readDescription(stsd []byte, handler string) error {
	if len(stsd) < 8 {
		return errMP4
	}
	first := true
	return mp4Boxes(stsd[8:], func(kind string, entry []byte) error {
		if !first {
			return nil
		}
		first = false
		switch handler {
		case "vide":
			return t.readVideo(kind, entry)
		case "soun":
			return t.readAudio(kind, entry)
		}
		return nil
	})
}

func (t *fmp4Track) readVideo(kind string, entry []byte) error {
	const fixed = 78 // VisualSampleEntry (12.1.3)
	if len(entry) < fixed {
		return errMP4
	}
	t.track.Kind = media.Video
	if err := t.readLight(entry[fixed:]); err != nil {
		return err
	}
	var config string
	switch kind {
	case "avc1", "avc3":
		t.track.Codec, t.video, config = media.H264, &bitstream.AVC{}, "avcC"
	case "hvc1", "hev1":
		t.track.Codec, t.video, config = media.HEVC, &bitstream.HEVC{}, "hvcC"
	case "av01":
		t.track.Codec, t.video, config = media.AV1, &bitstream.AV1{}, "av1C"
	case "vp09":
		const full = 4
		t.track.Codec, t.video = media.VP9, &bitstream.VP9{}
		t.track.Width = int(binary.BigEndian.Uint16(entry[24:]))
		t.track.Height = int(binary.BigEndian.Uint16(entry[26:]))
		return t.readConfig(entry[fixed:], "vpcC", full)
	default:
		return fmt.Errorf("%w: video %.4q of the source is not taken", media.ErrUnsupported, kind)
	}
	return t.readConfig(entry[fixed:], config, 0)
}

// readLight reads the boxes of HDR (12.1.7, 12.1.8).
func (t *fmp4Track) readLight(boxes []byte) error {
	return mp4Boxes(boxes, func(kind string, body []byte) error {
		switch kind {
		case "mdcv":
			t.stated.Mastering, _ = bitstream.ReadMastering(body)
		case "clli":
			t.stated.Light, _ = bitstream.ReadLight(body)
		}
		return nil
	})
}

// rotationOf reads the matrix of a tkhd from behind its track_ID on (8.3.2): the turn, if it is one by quarters, of a
// picture that is not mirrored.
func rotationOf(b []byte) int {
	const one = 1 << 16
	if len(b) != 68 && len(b) != 72 {
		return 0
	}
	// The duration has 8 bytes in version 1; matrix, width and height are the last 44 bytes of both.
	matrix := b[len(b)-44:]
	at := func(i int) int32 { return int32(binary.BigEndian.Uint32(matrix[4*i:])) }
	switch [4]int32{at(0), at(1), at(3), at(4)} {
	case [4]int32{0, one, -one, 0}:
		return 90
	case [4]int32{-one, 0, 0, -one}:
		return 180
	case [4]int32{0, -one, one, 0}:
		return 270
	}
	return 0
}

func (t *fmp4Track) readAudio(kind string, entry []byte) error {
	const fixed = 28 // AudioSampleEntry (12.2.3)
	if len(entry) < fixed {
		return errMP4
	}
	t.track.Kind = media.Audio
	const full, blockHeader = 4, 4
	switch kind {
	case "mp4a":
		t.track.Codec = media.AAC
		return mp4Path(entry[fixed:], func(esds []byte) error {
			t.track.Config = audioConfigOfESDS(esds)
			if !bitstream.AACConfigOK(t.track.Config) {
				return fmt.Errorf("%w: mp4a audio of the source is no AAC", media.ErrUnsupported)
			}
			return nil
		}, "esds")
	case "Opus":
		t.track.Codec = media.Opus
		return t.readConfig(entry[fixed:], "dOps", 0)
	case "fLaC":
		t.track.Codec = media.FLAC
		err := t.readConfig(entry[fixed:], "dfLa", full+blockHeader)
		if err != nil || len(t.track.Config) < 34 {
			return errMP4
		}
		t.track.Config = t.track.Config[:34]
		t.track.Unit = int64(binary.BigEndian.Uint16(t.track.Config[2:])) // the largest block
		return nil
	case "ac-3":
		t.track.Codec, t.track.Unit = media.AC3, 1536
		return t.readConfig(entry[fixed:], "dac3", 0)
	case "ec-3":
		t.track.Codec = media.EAC3
		return t.readConfig(entry[fixed:], "dec3", 0)
	}
	return fmt.Errorf("%w: audio %.4q of the source is not taken", media.ErrUnsupported, kind)
}

// readConfig keeps the body of the box that holds the decoder configuration, without its first bytes.
func (t *fmp4Track) readConfig(boxes []byte, name string, skip int) error {
	err := mp4Path(boxes, func(body []byte) error {
		if len(body) < skip {
			return errMP4
		}
		t.track.Config = bytes.Clone(body[skip:])
		return nil
	}, name)
	if err == nil && t.track.Config == nil {
		err = errMP4
	}
	return err
}

// audioConfigOfESDS finds the AudioSpecificConfig in the descriptors of an esds box (ISO/IEC 14496-14, 5.6; 14496-1,
// 7.2.6); nil if there is none.
func audioConfigOfESDS(esds []byte) []byte {
	const esDescriptor, decoderConfig, specificInfo = 3, 4, 5
	if len(esds) < 4 {
		return nil
	}
	b := esds[4:]
	for {
		tag, body, rest, ok := mp4Descriptor(b)
		if !ok {
			return nil
		}
		switch {
		case tag == esDescriptor && len(body) >= 3 && body[2]&0xe0 == 0: // no optional fields
			b = body[3:]
		case tag == decoderConfig && len(body) >= 13 && body[0] == 0x40: // MPEG-4 audio
			b = body[13:]
		case tag == specificInfo:
			return bytes.Clone(body)
		default:
			b = rest
		}
	}
}

// mp4Descriptor reads one descriptor, whose length has up to four bytes of seven bits.
func mp4Descriptor(b []byte) (tag byte, body, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	tag, b = b[0], b[1:]
	size := 0
	for i := 0; ; i++ {
		if i == 4 || len(b) == 0 {
			return 0, nil, nil, false
		}
		c := b[0]
		b = b[1:]
		size = size<<7 | int(c&0x7f)
		if c&0x80 == 0 {
			break
		}
	}
	if size > len(b) {
		return 0, nil, nil, false
	}
	return tag, b[:size], b[size:], true
}
