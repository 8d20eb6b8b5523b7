package ingest

import (
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// FLV codec ids and packet types (Adobe FLV 10.1, E.4.2 and E.4.3; Enhanced RTMP v2).
const (
	flvCodecAVC    = 7
	flvCodecAAC    = 10
	flvExAudio     = 9    // sound format that says: E-RTMP header
	flvExVideo     = 0x80 // bit of the frame type that says so
	flvKeyFrame    = 1    // frame type
	flvCommand     = 5    // frame type "video info/command frame"
	avcHeader      = 0
	avcUnit        = 1
	avcEnd         = 2
	aacHeader      = 0
	aacRaw         = 1
	exStart        = 0
	exCodedFrames  = 1
	exEnd          = 2
	exCodedFramesX = 3 // coded frames without composition time
	exMultitrack   = 5 // of audio
	exVideoTracks  = 6 // multitrack of video
	exModEx        = 7
)

// flvDemuxer takes media out of the bodies of FLV tags, which are RTMP's audio, video and data messages.
type flvDemuxer struct {
	sink     sink
	maxFrame int
	clock    clock
	avc      bitstream.AVC
	frame    media.Frame // reused
}

// video reads a video message. It may repair the body in place.
func (d *flvDemuxer) video(timestamp uint32, body []byte, wall time.Time) error {
	if len(body) == 0 {
		d.sink.repaired(repairEmptyFrame)
		return nil
	}
	if body[0]&flvExVideo != 0 {
		return d.exVideo(timestamp, body, wall)
	}
	if body[0]>>4 == flvCommand {
		d.sink.repaired(repairUnknownPacket)
		return nil
	}
	if codec := body[0] & 0x0f; codec != flvCodecAVC {
		return unsupported(legacyVideo(codec), "video", "H.264")
	}
	if len(body) < 5 {
		d.sink.repaired(repairEmptyFrame)
		return nil
	}
	switch body[1] {
	case avcHeader:
		return d.avcConfig(body[5:])
	case avcUnit:
		return d.avcUnit(timestamp, signed24(body[2:]), body[5:], body[0]>>4&7 == flvKeyFrame, wall)
	case avcEnd:
		return nil // says that the encoder restarts or stops; what it does next is said by what comes
	}
	d.sink.repaired(repairUnknownPacket)
	return nil
}

// audio reads an audio message.
func (d *flvDemuxer) audio(timestamp uint32, body []byte, wall time.Time) error {
	if len(body) == 0 {
		d.sink.repaired(repairEmptyFrame)
		return nil
	}
	switch format := body[0] >> 4; format {
	case flvCodecAAC:
	case flvExAudio:
		return d.exAudio(timestamp, body, wall)
	default:
		return unsupported(legacyAudio(format), "audio", "AAC")
	}
	if len(body) < 2 {
		d.sink.repaired(repairEmptyFrame)
		return nil
	}
	switch body[1] {
	case aacHeader:
		return d.aacConfig(body[2:])
	case aacRaw:
		return d.aacUnit(timestamp, body[2:], wall)
	}
	d.sink.repaired(repairUnknownPacket)
	return nil
}

func (d *flvDemuxer) avcConfig(record []byte) error {
	config, fault := d.avc.SetConfig(record)
	if config == nil {
		d.sink.repaired(string(fault))
		return nil
	}
	return d.sink.configure(trackID{kind: media.Video}, media.Track{Codec: media.H264, Config: config})
}

func (d *flvDemuxer) avcUnit(timestamp uint32, composition int32, payload []byte, key bool, wall time.Time) error {
	unit, err := d.avc.Read(payload, d.maxFrame, func(f bitstream.Fault) { d.sink.repaired(string(f)) })
	if err != nil {
		return err
	}
	if unit.Config != nil {
		err := d.sink.configure(trackID{kind: media.Video}, media.Track{Codec: media.H264, Config: unit.Config})
		if err != nil {
			return err
		}
	}
	if !unit.Picture {
		d.sink.repaired(string(bitstream.NoPicture))
		return nil
	}
	dts := d.clock.unwrap(timestamp)
	d.frame = media.Frame{
		DTS: dts, PTS: dts + time.Duration(composition)*time.Millisecond,
		Sync: unit.Sync, Recovery: unit.Recovery || key && !unit.Sync, Leading: unit.Leading,
		Payload: unit.Payload, Wall: wall,
	}
	return d.sink.write(trackID{kind: media.Video}, &d.frame)
}

func (d *flvDemuxer) aacConfig(config []byte) error {
	if !audioConfigOK(config) {
		d.sink.repaired(string(bitstream.BadConfig))
		return nil
	}
	return d.sink.configure(trackID{kind: media.Audio}, media.Track{Codec: media.AAC, Config: config})
}

func (d *flvDemuxer) aacUnit(timestamp uint32, unit []byte, wall time.Time) error {
	if len(unit) == 0 {
		d.sink.repaired(repairEmptyFrame)
		return nil
	}
	unit, bared := withoutADTS(unit)
	if bared {
		d.sink.repaired(repairADTS)
	}
	dts := d.clock.unwrap(timestamp)
	d.frame = media.Frame{DTS: dts, PTS: dts, Sync: true, Payload: unit, Wall: wall}
	return d.sink.write(trackID{kind: media.Audio}, &d.frame)
}

// data reads a data message: the metadata says which tracks to wait for. Anything else is passed over.
func (d *flvDemuxer) data(body []byte) {
	values, err := decodeAMF0(body)
	if err != nil && len(values) < 2 {
		d.sink.repaired(repairBadMetadata)
		return
	}
	if len(values) > 0 && values[0] == "@setDataFrame" {
		values = values[1:]
	}
	if len(values) < 2 || values[0] != "onMetaData" {
		return
	}
	if object, ok := values[1].(amfObject); ok {
		d.sink.announce(promises(object, "videocodecid", "hasVideo", "width", "videodatarate"),
			promises(object, "audiocodecid", "hasAudio", "audiosamplerate", "audiodatarate"))
	}
}

// promises gives 1 if any of the properties has a value that is not zero, false or empty.
func promises(object amfObject, names ...string) int {
	for _, name := range names {
		switch v := object.get(name).(type) {
		case float64:
			if v != 0 {
				return 1
			}
		case bool:
			if v {
				return 1
			}
		case string:
			if v != "" {
				return 1
			}
		}
	}
	return 0
}

func unsupported(codec, kind, use string) error {
	return fmt.Errorf("%w: %s %s is not supported yet: set the encoder to %s", media.ErrUnsupported, codec, kind, use)
}

// signed24 reads a signed 24-bit number: composition times may be negative.
func signed24(b []byte) int32 {
	return int32(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8) >> 8
}

func legacyVideo(codec byte) string {
	names := [16]string{
		1: "JPEG", 2: "Sorenson H.263", 3: "Screen Video", 4: "VP6", 5: "VP6 with alpha", 6: "Screen Video 2",
		8: "H.263", 9: "MPEG-4 Part 2", 12: "HEVC (H.265)", 13: "AV1", 14: "VVC (H.266)",
	}
	if name := names[codec&15]; name != "" {
		return name
	}
	return fmt.Sprintf("FLV codec %d", codec)
}

func legacyAudio(format byte) string {
	names := [16]string{
		0: "PCM", 1: "ADPCM", 2: "MP3", 3: "PCM", 4: "Nellymoser", 5: "Nellymoser", 6: "Nellymoser",
		7: "G.711 A-law", 8: "G.711 mu-law", 11: "Speex", 13: "Opus", 14: "MP3",
	}
	if name := names[format&15]; name != "" {
		return name
	}
	return fmt.Sprintf("FLV sound format %d", format)
}
