package ingest

import (
	"encoding/binary"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Multitrack types (Enhanced RTMP v2, AvMultitrackType).
const (
	tracksOne        = 0 // one track's id before its share
	tracksMany       = 1 // ids and sizes, one codec
	tracksManyCodecs = 2 // FourCCs, ids and sizes
)

// exHeader is the head of an E-RTMP message (Enhanced RTMP v2, ExAudioTagHeader and ExVideoTagHeader).
type exHeader struct {
	packet byte
	multi  bool
	tracks byte // multitrack type
	fourCC uint32
	nano   time.Duration
	rest   []byte
}

// parseExHeader reads up to the shares of the tracks. ok is false for a message that ends inside its header.
func parseExHeader(kind media.Kind, body []byte) (h exHeader, ok bool) {
	h = exHeader{packet: body[0] & 0x0f, rest: body[1:]}
	for h.packet == packetModEx {
		if !h.modEx() {
			return h, false
		}
	}
	if kind == media.Video && h.packet != packetMetadata && body[0]>>4&7 == flvCommand {
		return h, true // a command in the place of the FourCC
	}
	if kind == media.Video && h.packet == packetVideoTracks || kind == media.Audio && h.packet == packetAudioTracks {
		if len(h.rest) < 1 {
			return h, false
		}
		h.multi, h.tracks, h.packet, h.rest = true, h.rest[0]>>4, h.rest[0]&0x0f, h.rest[1:]
		if h.tracks == tracksManyCodecs {
			return h, true
		}
	}
	if len(h.rest) < 4 {
		return h, false
	}
	h.fourCC, h.rest = binary.BigEndian.Uint32(h.rest), h.rest[4:]
	return h, true
}

// modEx reads one modifier before the packet. Of those that there are the nanosecond offset alone says something.
func (h *exHeader) modEx() bool {
	const timestampOffsetNano, maxNano = 0, 999_999
	if len(h.rest) < 1 {
		return false
	}
	size := int(h.rest[0]) + 1
	h.rest = h.rest[1:]
	if size == 256 {
		if len(h.rest) < 2 {
			return false
		}
		size = int(binary.BigEndian.Uint16(h.rest)) + 1
		h.rest = h.rest[2:]
	}
	if len(h.rest) < size+1 {
		return false
	}
	data, next := h.rest[:size], h.rest[size]
	h.packet, h.rest = next&0x0f, h.rest[size+1:]
	if next>>4 == timestampOffsetNano && size >= 3 {
		h.nano = min(time.Duration(uint24(data)), maxNano)
	}
	return true
}

// ex reads an E-RTMP message: the shares of all its tracks.
func (d *flvDemuxer) ex(kind media.Kind, p flvPacket, body []byte) error {
	h, ok := parseExHeader(kind, body)
	switch {
	case !ok:
		d.sink.repaired(repairEmptyFrame)
		return nil
	case h.fourCC == 0 && !h.multi, h.tracks > tracksManyCodecs:
		d.sink.repaired(repairUnknownPacket)
		return nil
	}
	p.kind, p.nano = h.packet, h.nano
	if !h.multi {
		p.body = h.rest
		return d.exTrack(kind, &p, h.fourCC)
	}
	for {
		more, ok := h.next(&p)
		if !ok {
			d.sink.repaired(repairEmptyFrame)
			return nil
		}
		if err := d.exTrack(kind, &p, h.fourCC); err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
}

// next cuts off the share of a multitrack message's next track; more says that another follows. ok is false if the
// message ends inside it.
func (h *exHeader) next(p *flvPacket) (more, ok bool) {
	if h.tracks == tracksManyCodecs {
		if len(h.rest) < 4 {
			return false, false
		}
		h.fourCC, h.rest = binary.BigEndian.Uint32(h.rest), h.rest[4:]
	}
	if len(h.rest) < 1 {
		return false, false
	}
	p.number, h.rest = int(h.rest[0]), h.rest[1:]
	size := len(h.rest)
	if h.tracks != tracksOne {
		if len(h.rest) < 3 || len(h.rest)-3 < uint24(h.rest) {
			return false, false
		}
		size, h.rest = uint24(h.rest), h.rest[3:]
	}
	p.body, h.rest = h.rest[:size:size], h.rest[size:]
	return len(h.rest) > 0, true
}

// exTrack reads one track's share.
func (d *flvDemuxer) exTrack(kind media.Kind, p *flvPacket, fourCC uint32) error {
	if p.number >= maxTracksOfKind {
		d.sink.repaired(repairTrackLimit)
		return nil
	}
	if kind == media.Video && p.kind == packetMetadata {
		return d.videoMetadata(p)
	}
	var ok bool
	if p.codec, ok = codecOf(kind, fourCC); !ok {
		return unsupported(kind, fourCCName(fourCC))
	}
	if kind == media.Video {
		return d.videoPacket(p)
	}
	return d.audioPacket(p)
}
