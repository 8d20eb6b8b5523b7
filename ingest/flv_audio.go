package ingest

import (
	"cmp"
	"time"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// flvAudio is one track of audio.
type flvAudio struct {
	codec    media.Codec
	track    media.Track          // what the sink was told last; Codec is another one while its configuration is awaited
	config   []byte               // of Opus: what its packets' length is awaited for
	header   bitstream.AudioFrame // of the last frame that has its own header
	channels int                  // that a multichannel configuration said
}

func (d *flvDemuxer) audioPacket(p *flvPacket) error {
	t := &d.audios[p.number]
	if t.codec != p.codec {
		*t = flvAudio{codec: p.codec, track: t.track, channels: t.channels}
	}
	switch p.kind {
	case packetStart:
		return d.audioConfig(t, p)
	case packetFrames:
		switch p.codec {
		case media.AAC:
			return d.aacUnit(t, p)
		case media.Opus:
			return d.opusPacket(t, p)
		case media.FLAC:
			return d.writeAudio(t, p, 0, p.body)
		default:
			return d.headedFrames(t, p)
		}
	case packetEnd:
		return nil
	case packetChannels:
		return d.channels(t, p.body)
	}
	d.sink.repaired(repairUnknownPacket)
	return nil
}

// audioConfig reads a sequence start. Those of AC-3, E-AC-3 and MP3, if there are any, are empty.
func (d *flvDemuxer) audioConfig(t *flvAudio, p *flvPacket) error {
	switch p.codec {
	case media.AAC:
		if bitstream.AACConfigOK(p.body) {
			return d.configureAudio(t, p.number, media.Track{Codec: media.AAC, Config: p.body})
		}
	case media.Opus:
		config, ok := bitstream.OpusOfHead(p.body)
		if len(p.body) == 0 {
			const stereo = 2
			config, ok = bitstream.OpusOfChannels(cmp.Or(t.channels, stereo)), true
		}
		if ok && config != nil {
			t.config = config
			if t.track.Codec == media.Opus { // else the first packet's length completes it
				return d.configureAudio(t, p.number, media.Track{Codec: media.Opus, Config: config, Unit: t.track.Unit})
			}
			return nil
		}
	case media.FLAC:
		header := p.body
		if len(header) == 34 { // ffmpeg's extradata: STREAMINFO alone
			header = append([]byte("fLaC\x80\x00\x00\x22"), header...)
		}
		if config, unit, ok := bitstream.FLACOfHeader(header); ok {
			return d.configureAudio(t, p.number, media.Track{Codec: media.FLAC, Config: config, Unit: unit})
		}
	default:
		return nil
	}
	d.sink.repaired(string(bitstream.BadConfig))
	return nil
}

func (d *flvDemuxer) configureAudio(t *flvAudio, number int, track media.Track) error {
	return d.configure(trackID{kind: media.Audio, number: number}, &t.track, track)
}

func (d *flvDemuxer) aacUnit(t *flvAudio, p *flvPacket) error {
	unit, bared := bitstream.WithoutADTS(p.body)
	if bared {
		d.sink.repaired(repairADTS)
	}
	return d.writeAudio(t, p, 0, unit)
}

// opusPacket writes a packet. The first one, and one of another length, complete the configuration.
func (d *flvDemuxer) opusPacket(t *flvAudio, p *flvPacket) error {
	samples, ok := bitstream.OpusSamples(p.body)
	if !ok {
		d.sink.repaired(repairEmptyFrame)
		return nil
	}
	if t.config != nil && (t.track.Codec != media.Opus || t.track.Unit != samples) {
		track := media.Track{Codec: media.Opus, Config: t.config, Unit: samples}
		if err := d.configureAudio(t, p.number, track); err != nil {
			return err
		}
	}
	return d.writeAudio(t, p, 0, p.body)
}

// headedFrames writes frames that have their own header, which is their configuration, too: one of them in a message,
// as a rule.
func (d *flvDemuxer) headedFrames(t *flvAudio, p *flvPacket) error {
	var later time.Duration
	for rest := p.body; len(rest) > 0; {
		frame, ok := parseHeaded(p.codec, rest)
		if !ok || frame.Size < 1 || frame.Size > len(rest) || frame.Unsupported {
			d.sink.repaired(repairAudioFrame)
			return nil
		}
		if t.track.Codec != frame.Codec || !frame.SameTrack(t.header) {
			t.header = frame
			if err := d.configureAudio(t, p.number, frame.Track()); err != nil {
				return err
			}
		}
		if err := d.writeAudio(t, p, later, rest[:frame.Size]); err != nil {
			return err
		}
		later += media.Duration(frame.Samples, frame.Rate)
		rest = rest[frame.Size:]
	}
	return nil
}

func parseHeaded(codec media.Codec, b []byte) (bitstream.AudioFrame, bool) {
	if codec == media.MP3 {
		if len(b) < bitstream.MPEGAudioHeader {
			return bitstream.AudioFrame{}, false
		}
		return bitstream.ParseMPEGAudio(b)
	}
	if len(b) < bitstream.AC3Header {
		return bitstream.AudioFrame{}, false
	}
	return bitstream.ParseAC3(b)
}

// writeAudio writes an access unit that is later by some time than its message.
func (d *flvDemuxer) writeAudio(t *flvAudio, p *flvPacket, later time.Duration, unit []byte) error {
	if len(unit) == 0 {
		d.sink.repaired(repairEmptyFrame)
		return nil
	}
	if t.track.Config != nil && t.track.Codec != t.codec && !headed(t.codec) {
		d.sink.repaired(repairNoConfig)
		return nil
	}
	dts := d.clock.unwrap(p.timestamp) + p.nano + later
	d.frame = media.Frame{DTS: dts, PTS: dts, Sync: true, Payload: unit, Wall: p.wall}
	return d.sink.write(trackID{kind: media.Audio, number: p.number}, &d.frame)
}

// headed says that frames of a codec are their own configuration. What calls itself MP3 may be MP2, and AC-3 E-AC-3.
func headed(codec media.Codec) bool {
	return codec == media.MP3 || codec == media.AC3 || codec == media.EAC3
}

// channels reads a multichannel configuration. Only Opus needs it, for a sequence start that is empty: what else there
// is says its channels itself.
func (d *flvDemuxer) channels(t *flvAudio, body []byte) error {
	const unspecified, native, custom = 0, 1, 2
	if len(body) < 2 {
		d.sink.repaired(repairUnknownPacket)
		return nil
	}
	order, count, rest := body[0], int(body[1]), len(body)-2
	if order == custom && rest < count || order == native && rest < 4 || order > custom || count == 0 {
		d.sink.repaired(repairUnknownPacket)
		return nil
	}
	t.channels = count
	return nil
}
