package ingest

import (
	"bytes"
	"time"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// FLV frame types and headers (Adobe FLV 10.1, E.4.2 and E.4.3).
const (
	flvExAudio  = 9    // sound format that says: E-RTMP header
	flvExVideo  = 0x80 // bit of the frame type that says so
	flvKeyFrame = 1    // frame type
	flvCommand  = 5    // frame type "video info/command frame"
)

// Packet types (Enhanced RTMP v2, VideoPacketType and AudioPacketType). The first three are those of FLV's AVC and AAC,
// too.
const (
	packetStart       = 0 // decoder configuration
	packetFrames      = 1 // coded frames; those of AVC and HEVC behind a composition time
	packetEnd         = 2 // the encoder restarts or stops; what it does next is said by what comes
	packetFramesX     = 3 // coded video without composition time
	packetMetadata    = 4 // of video: AMF0
	packetChannels    = 4 // of audio: multichannel configuration
	packetAudioTracks = 5 // multitrack of audio
	packetVideoTracks = 6 // multitrack of video
	packetModEx       = 7
)

// flvDemuxer takes media out of the bodies of FLV tags, which are RTMP's audio, video and data messages. What a legacy
// header and an E-RTMP header say of one codec is the same track.
type flvDemuxer struct {
	sink     sink
	maxFrame int
	clock    clock
	videos   [maxTracksOfKind]flvVideo
	audios   [maxTracksOfKind]flvAudio
	names    map[trackID]trackName // what the metadata calls the tracks
	fault    func(bitstream.Fault) // made once: it escapes
	frame    media.Frame           // reused
	timed    media.TimedMetadata   // reused
}

// flvPacket is one track's share of an audio or video message.
type flvPacket struct {
	number    int // of the track among its kind
	codec     media.Codec
	kind      byte
	key       bool // the container says key frame
	timestamp uint32
	nano      time.Duration // what ModEx adds to the timestamp
	body      []byte
	wall      time.Time
}

// video reads a video message. It may repair the body in place.
func (d *flvDemuxer) video(timestamp uint32, body []byte, wall time.Time) error {
	if len(body) == 0 {
		d.sink.repaired(repairEmptyFrame)
		return nil
	}
	p := flvPacket{timestamp: timestamp, wall: wall, key: body[0]>>4&7 == flvKeyFrame}
	if body[0]&flvExVideo != 0 {
		return d.ex(media.Video, p, body)
	}
	if body[0]>>4 == flvCommand {
		d.sink.repaired(repairUnknownPacket)
		return nil
	}
	codec, ok := legacyVideo(body[0] & 0x0f)
	if !ok {
		return unsupported(media.Video, legacyVideoName(body[0]&0x0f))
	}
	if len(body) < 5 {
		d.sink.repaired(repairEmptyFrame)
		return nil
	}
	// A composition time is in packets of every type here, in E-RTMP only where there is something composed.
	p.codec, p.kind, p.body = codec, body[1], body[5:]
	switch p.kind {
	case packetStart, packetEnd:
		return d.videoPacket(&p)
	case packetFrames:
		p.body = body[2:]
		return d.videoPacket(&p)
	}
	d.sink.repaired(repairUnknownPacket)
	return nil
}

// audio reads an audio message. An empty one says that there is silence (Enhanced RTMP v2, AudioPacketType).
func (d *flvDemuxer) audio(timestamp uint32, body []byte, wall time.Time) error {
	if len(body) == 0 {
		d.sink.repaired(repairEmptyFrame)
		return nil
	}
	p := flvPacket{timestamp: timestamp, wall: wall}
	format := body[0] >> 4
	if format == flvExAudio {
		return d.ex(media.Audio, p, body)
	}
	codec, ok := legacyAudio(format)
	if !ok {
		return unsupported(media.Audio, legacyAudioName(format))
	}
	if len(body) < 2 {
		d.sink.repaired(repairEmptyFrame)
		return nil
	}
	p.codec, p.kind, p.body = codec, packetFrames, body[1:]
	if codec == media.AAC {
		p.kind, p.body = body[1], body[2:]
	}
	if p.kind > packetFrames {
		d.sink.repaired(repairUnknownPacket)
		return nil
	}
	return d.audioPacket(&p)
}

// configure tells the sink of a track's configuration, with the name that the metadata gave it. told is what it was
// told last, and is set.
func (d *flvDemuxer) configure(id trackID, told *media.Track, track media.Track) error {
	name := d.names[id]
	track.Language, track.Label = name.language, name.label
	track.Config = bytes.Clone(track.Config)
	*told = track
	return d.sink.configure(id, track)
}

// signed24 reads a signed 24-bit number: composition times may be negative.
func signed24(b []byte) int32 {
	return int32(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8) >> 8
}

// uint24 reads an unsigned 24-bit number.
func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }
