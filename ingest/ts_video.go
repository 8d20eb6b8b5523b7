package ingest

import (
	"bytes"
	"cmp"
	"errors"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// tsPicture is what is known of a video stream.
type tsPicture struct {
	codec media.Codec
	video bitstream.Video
	fault func(bitstream.Fault)

	fields fieldPair
	// config and display are what the sink was told, or will be with the first configuration.
	config  []byte
	display media.Display

	marked bool  // a picture told by itself that decoding may begin with it
	step   int64 // between the last access units in 90 kHz; 0 if it is not known
}

func newTSPicture(carries tsCarries, repaired func(string)) *tsPicture {
	p := &tsPicture{codec: media.H264, video: &bitstream.AVC{}, fault: func(f bitstream.Fault) { repaired(string(f)) }}
	if carries == carriesHEVC {
		p.codec, p.video = media.HEVC, &bitstream.HEVC{}
	}
	return p
}

// endStream hands over what is held at the end of a stream.
func (d *tsDemuxer) endStream(s *tsStream) error {
	if s.picture == nil {
		return nil
	}
	if err := d.endUnits(s, pesHeader{}); err != nil {
		return err
	}
	return s.picture.fields.settle(d.sink, s.id, bitstream.Field{}, 0, d.maxFrame)
}

// endUnits hands over the access units that are held, now that others begin with a header; the stream's end has none.
// Of several the first has the time of the PES packet; the others follow it in even steps, in DTS and PTS: that they
// are shown in another order only the pictures would tell.
func (d *tsDemuxer) endUnits(s *tsStream, next pesHeader) error {
	if !s.pending {
		return nil
	}
	s.pending = false
	if s.damaged {
		s.damaged = false
		d.sink.repaired(repairTSDamaged)
		return nil
	}
	if !s.head.timed {
		d.sink.repaired(repairTSUntimed)
		return nil
	}
	var ok bool
	if d.units, ok = bitstream.ByteStream(d.units[:0], s.buf, d.maxFrame); !ok {
		d.sink.repaired(repairTSTooLarge)
		return nil
	}
	p, count := s.picture, int64(1)
	first := bitstream.FirstUnit(d.units, p.codec)
	for at := first; at < len(d.units); count++ {
		at += bitstream.FirstUnit(d.units[at:], p.codec)
	}
	if count > 1 {
		d.sink.repaired(repairTSSplit)
	}
	step := p.interval(next, s.head, count)
	for rest := d.units; ; {
		if err := d.unit(s, rest[:first:first]); err != nil {
			return err
		}
		if rest = rest[first:]; len(rest) == 0 {
			return nil
		}
		first = bitstream.FirstUnit(rest, p.codec)
		s.head.dts, s.head.pts, s.random = s.head.dts+step, s.head.pts+step, false
	}
}

// interval gives the time between access units that lie between two headers, in 90 kHz.
func (p *tsPicture) interval(next, head pesHeader, count int64) int64 {
	const most, usual = 90000, 3600 // 25 pictures a second
	if step := (next.dts - head.dts) / count; next.timed && step > 0 && step <= most {
		p.step = step
	}
	return cmp.Or(p.step, usual)
}

// unit hands over one access unit.
func (d *tsDemuxer) unit(s *tsStream, units []byte) error {
	p := s.picture
	unit, err := p.video.Read(units, d.maxFrame, p.fault)
	if errors.Is(err, media.ErrTooLarge) {
		d.sink.repaired(repairTSTooLarge)
		return nil
	} else if err != nil {
		return err
	}
	if unit.Picture {
		if err := p.fields.settle(d.sink, s.id, unit.Field, len(unit.Payload), d.maxFrame); err != nil {
			return err
		}
	}
	if unit.Display != nil {
		p.display = *unit.Display
	}
	if unit.Config != nil {
		p.config = bytes.Clone(unit.Config)
	}
	if p.config != nil && (unit.Config != nil || unit.Display != nil) {
		if err := d.sink.configure(s.id, media.Track{Codec: p.codec, Config: p.config, Display: p.display}); err != nil {
			return err
		}
	}
	if !unit.Picture {
		d.sink.repaired(string(bitstream.NoPicture))
		return nil
	}
	return d.writePicture(s, &unit)
}

func (d *tsDemuxer) writePicture(s *tsStream, unit *bitstream.Unit) error {
	if s.id.number == 0 && unit.Captions != nil {
		if err := d.tell(media.Captions, s.head.pts, unit.Captions, s.wall); err != nil {
			return err
		}
	}
	// The transport's word for a random access point counts only of a stream that has none of its own: some multiplexers
	// set it everywhere.
	p := s.picture
	p.marked = p.marked || unit.Sync || unit.Recovery
	d.frame = media.Frame{
		DTS: media.Duration(s.head.dts, 90000), PTS: media.Duration(s.head.pts, 90000), Sync: unit.Sync,
		Recovery: unit.Recovery || s.random && !p.marked, Leading: unit.Leading, Payload: unit.Payload, Wall: s.wall,
	}
	d.emitted++
	return p.fields.write(d.sink, s.id, unit.Field, &d.frame)
}
