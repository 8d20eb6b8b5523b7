package ingest

import (
	"fmt"
	"time"
)

// exHeader is the head of an E-RTMP packet (Enhanced RTMP v2, "Enhanced Audio" and "Enhanced Video").
type exHeader struct {
	packet byte
	fourCC string
	body   []byte
}

// parseExHeader reads past the ModEx prefixes, which carry nothing that we need (nanosecond offsets), to the FourCC.
// ok is false for a packet that ends inside its header.
func parseExHeader(body []byte, multitrack byte) (h exHeader, ok bool) {
	h = exHeader{packet: body[0] & 0x0f, body: body[1:]}
	for h.packet == exModEx {
		if len(h.body) < 1 {
			return h, false
		}
		size := int(h.body[0]) + 1
		h.body = h.body[1:]
		if size == 256 {
			if len(h.body) < 2 {
				return h, false
			}
			size = int(h.body[0])<<8 | int(h.body[1]) + 1
			h.body = h.body[2:]
		}
		if len(h.body) < size+1 {
			return h, false
		}
		h.packet = h.body[size] & 0x0f
		h.body = h.body[size+1:]
	}
	if h.packet == multitrack {
		return h, true
	}
	if len(h.body) < 4 {
		return h, false
	}
	h.fourCC, h.body = string(h.body[:4]), h.body[4:]
	return h, true
}

func (d *flvDemuxer) exVideo(timestamp uint32, body []byte, wall time.Time) error {
	if body[0]>>4&7 == flvCommand {
		d.sink.repaired(repairUnknownPacket)
		return nil
	}
	h, ok := parseExHeader(body, exVideoTracks)
	if !ok {
		d.sink.repaired(repairEmptyFrame)
		return nil
	}
	if h.packet == exVideoTracks {
		return unsupported("multitrack", "video", "one track")
	}
	if h.fourCC != "avc1" {
		return unsupported(codecName(h.fourCC), "video", "H.264")
	}
	switch h.packet {
	case exStart:
		return d.avcConfig(h.body)
	case exCodedFrames:
		if len(h.body) < 3 {
			d.sink.repaired(repairEmptyFrame)
			return nil
		}
		return d.avcUnit(timestamp, signed24(h.body), h.body[3:], body[0]>>4&7 == flvKeyFrame, wall)
	case exCodedFramesX:
		return d.avcUnit(timestamp, 0, h.body, body[0]>>4&7 == flvKeyFrame, wall)
	case exEnd:
		return nil
	}
	d.sink.repaired(repairUnknownPacket) // metadata (HDR), MPEG-2 TS start
	return nil
}

func (d *flvDemuxer) exAudio(timestamp uint32, body []byte, wall time.Time) error {
	h, ok := parseExHeader(body, exMultitrack)
	if !ok {
		d.sink.repaired(repairEmptyFrame)
		return nil
	}
	if h.packet == exMultitrack {
		return unsupported("multitrack", "audio", "one track")
	}
	if h.fourCC != "mp4a" {
		return unsupported(codecName(h.fourCC), "audio", "AAC")
	}
	switch h.packet {
	case exStart:
		return d.aacConfig(h.body)
	case exCodedFrames:
		return d.aacUnit(timestamp, h.body, wall)
	case exEnd:
		return nil
	}
	d.sink.repaired(repairUnknownPacket) // multichannel configuration
	return nil
}

// codecName names a FourCC for people.
func codecName(fourCC string) string {
	for _, known := range []struct{ fourCC, name string }{
		{"hvc1", "HEVC (H.265)"}, {"vvc1", "VVC (H.266)"}, {"av01", "AV1"}, {"vp09", "VP9"}, {"vp08", "VP8"},
		{"Opus", "Opus"}, {"fLaC", "FLAC"}, {"ac-3", "AC-3"}, {"ec-3", "E-AC-3"}, {".mp3", "MP3"},
	} {
		if known.fourCC == fourCC {
			return fmt.Sprintf("%s %s", fourCC, known.name)
		}
	}
	return fmt.Sprintf("codec %q", fourCC)
}
