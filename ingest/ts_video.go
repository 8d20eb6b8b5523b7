package ingest

import (
	"errors"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// tsPicture is what is known of a video stream.
type tsPicture struct {
	codec media.Codec
	video bitstream.Video
	fault func(bitstream.Fault)

	marked bool // a picture told by itself that decoding may begin with it
}

func newTSPicture(carries tsCarries, repaired func(string)) *tsPicture {
	p := &tsPicture{codec: media.H264, video: &bitstream.AVC{}, fault: func(f bitstream.Fault) { repaired(string(f)) }}
	if carries == carriesHEVC {
		p.codec, p.video = media.HEVC, &bitstream.HEVC{}
	}
	return p
}

// endUnit hands over the access unit that is held: the next one begins.
func (d *tsDemuxer) endUnit(s *tsStream) error {
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
	p := s.picture
	unit, err := p.video.Read(d.units, d.maxFrame, p.fault)
	if errors.Is(err, media.ErrTooLarge) {
		d.sink.repaired(repairTSTooLarge)
		return nil
	} else if err != nil {
		return err
	}
	if unit.Config != nil {
		if err := d.sink.configure(s.id, media.Track{Codec: p.codec, Config: unit.Config}); err != nil {
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
	return d.sink.write(s.id, &d.frame)
}
