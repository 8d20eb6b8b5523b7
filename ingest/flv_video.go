package ingest

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// flvVideo is one track of video.
type flvVideo struct {
	codec  media.Codec
	stream bitstream.Video
	fields fieldPair
	track  media.Track // what the sink was told last; Codec is another one while its configuration is awaited
	// display is what the pictures say, and told what the container says of the light they are to be seen in.
	display, told media.Display
}

func (d *flvDemuxer) videoPacket(p *flvPacket) error {
	switch p.kind {
	case packetStart:
		return d.videoConfig(p)
	case packetFrames:
		if !composed(p.codec) {
			return d.videoUnit(p, 0)
		}
		if len(p.body) < 3 {
			d.sink.repaired(repairEmptyFrame)
			return nil
		}
		composition := signed24(p.body)
		p.body = p.body[3:]
		return d.videoUnit(p, composition)
	case packetFramesX:
		return d.videoUnit(p, 0)
	case packetEnd:
		return nil
	}
	d.sink.repaired(repairUnknownPacket) // AV1 of MPEG-2 transport streams, what is to come
	return nil
}

// videoTrack finds a packet's track, which begins anew with another codec.
func (d *flvDemuxer) videoTrack(p *flvPacket) *flvVideo {
	t := &d.videos[p.number]
	if t.codec != p.codec {
		t.codec, t.stream, t.display = p.codec, newVideo(p.codec), media.Display{}
	}
	if d.fault == nil {
		d.fault = func(f bitstream.Fault) { d.sink.repaired(string(f)) }
	}
	return t
}

func (d *flvDemuxer) videoConfig(p *flvPacket) error {
	t := d.videoTrack(p)
	config, fault := t.stream.SetConfig(p.body)
	if fault != "" {
		d.sink.repaired(string(fault))
	}
	if config == nil {
		return nil
	}
	id := trackID{kind: media.Video, number: p.number}
	if err := t.fields.settle(d.sink, id, bitstream.Field{}, 0, d.maxFrame); err != nil {
		return err
	}
	return d.configureVideo(t, id, &bitstream.Unit{Config: config})
}

func (d *flvDemuxer) configureVideo(t *flvVideo, id trackID, unit *bitstream.Unit) error {
	return d.configure(id, &t.track, media.Track{
		Codec: t.codec, Config: unit.Config, Width: unit.Width, Height: unit.Height, Display: t.display.Over(t.told),
	})
}

// redisplay tells the sink of a track whose pictures are to be shown in another way.
func (d *flvDemuxer) redisplay(t *flvVideo, id trackID) error {
	track := t.track
	track.Display = t.display.Over(t.told)
	if track.Config == nil || track.Codec != t.codec || track.Display == t.track.Display {
		return nil // it goes with the configuration, or is known
	}
	return d.configure(id, &t.track, track)
}

func (d *flvDemuxer) videoUnit(p *flvPacket, composition int32) error {
	t := d.videoTrack(p)
	unit, err := t.stream.Read(p.body, d.maxFrame, d.fault)
	if err != nil {
		return err
	}
	id := trackID{kind: media.Video, number: p.number}
	if unit.Picture {
		if err := t.fields.settle(d.sink, id, unit.Field, len(unit.Payload), d.maxFrame); err != nil {
			return err
		}
	}
	if unit.Display != nil {
		t.display = *unit.Display
	}
	if unit.Config != nil {
		err = d.configureVideo(t, id, &unit)
	} else if unit.Display != nil {
		err = d.redisplay(t, id)
	}
	if err != nil {
		return err
	}
	if !unit.Picture {
		d.sink.repaired(string(bitstream.NoPicture))
		return nil
	}
	if t.track.Config != nil && t.track.Codec != t.codec {
		d.sink.repaired(repairNoConfig)
		return nil
	}
	dts := d.clock.unwrap(p.timestamp) + p.nano
	pts := dts + time.Duration(composition)*time.Millisecond
	// Renditions of one picture have the same captions.
	if len(unit.Captions) > 0 && p.number == 0 {
		if err := d.tell(media.Captions, pts, unit.Captions, p.wall); err != nil {
			return err
		}
	}
	d.frame = media.Frame{
		DTS: dts, PTS: pts,
		Sync: unit.Sync, Recovery: unit.Recovery || p.key && !unit.Sync, Leading: unit.Leading,
		Payload: unit.Payload, Wall: p.wall,
	}
	return t.fields.write(d.sink, id, unit.Field, &d.frame)
}
