package ingest

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// pesOverhead is what a PES header may add to an access unit.
const pesOverhead = 9 + 255

// tsStream puts the PES packets of one PID together (2.4.3.6).
type tsStream struct {
	tsContinuity
	pid     int
	open    bool // a PES packet has begun
	damaged bool // and a part of it is missing
	buf     []byte
	wall    time.Time // when its last byte so far came
}

// follow reads another PID from now on, and says whether it is another.
func (s *tsStream) follow(pid int) bool {
	if s.pid == pid {
		return false
	}
	*s = tsStream{pid: pid, buf: s.buf[:0]}
	return true
}

// elementary takes a packet of a stream.
func (d *tsDemuxer) elementary(s *tsStream, h tsHeader, body []byte, wall time.Time) error {
	if h.broken || h.scrambled {
		d.sink.repaired(repairTSPacket)
		s.damaged = s.open
		return nil // the counter is not followed: the next packet tells that this one is missing
	}
	if body == nil {
		if h.restart {
			s.started = false
		}
		return nil
	}
	missing, again := s.next(h)
	if again && bytes.HasSuffix(s.buf, body) {
		return nil
	}
	if missing || again { // the same counter before other bytes: sixteen are missing
		d.sink.repaired(repairTSContinuity)
		s.damaged = s.open
		if s == &d.audio {
			d.adts.cut()
		}
	}
	if h.start {
		if err := d.finish(s); err != nil {
			return err
		}
		s.open, s.damaged, s.buf = true, false, s.buf[:0]
	}
	if !s.open || s.damaged {
		return nil
	}
	if len(s.buf)+len(body) > d.maxFrame+pesOverhead {
		d.sink.repaired(repairTSTooLarge)
		s.damaged = true
		return nil
	}
	s.buf, s.wall = append(s.buf, body...), wall
	if size, bounded := pesSize(s.buf); bounded && len(s.buf) >= size {
		return d.finish(s)
	}
	return nil
}

// pesSize gives the length of a PES packet that says it; that of video may be open.
func pesSize(head []byte) (size int, bounded bool) {
	if len(head) < 6 {
		return 0, false
	}
	size = int(binary.BigEndian.Uint16(head[4:]))
	return 6 + size, size > 0
}

// finish takes the open PES packet as complete: either it is by its length, or the next one begins.
func (d *tsDemuxer) finish(s *tsStream) error {
	if !s.open {
		return nil
	}
	s.open = false
	packet := s.buf
	if size, bounded := pesSize(packet); bounded {
		s.damaged = s.damaged || len(packet) < size
		packet = packet[:min(size, len(packet))]
	}
	if s.damaged {
		d.damaged(s)
		return nil
	}
	pes, ok := parsePES(packet)
	if !ok {
		d.damaged(s)
		return nil
	}
	if s == &d.audio {
		return d.aacPacket(pes, s.wall)
	}
	return d.avcPacket(pes, s.wall)
}

// damaged counts a PES packet that is dropped.
func (d *tsDemuxer) damaged(s *tsStream) {
	d.sink.repaired(repairTSDamaged)
	if d.kindOf(s) == media.Audio {
		d.adts.cut()
	}
}

// pesPacket is a PES packet taken apart.
type pesPacket struct {
	timed    bool
	pts, dts int64 // 33 bits
	data     []byte
}

func parsePES(p []byte) (pesPacket, bool) {
	if len(p) < 9 || p[0] != 0 || p[1] != 0 || p[2] != 1 || p[6]&0xc0 != 0x80 || p[6]&0x30 != 0 {
		return pesPacket{}, false // not the syntax of audio and video, or scrambled
	}
	header := 9 + int(p[8])
	if header > len(p) {
		return pesPacket{}, false
	}
	pes := pesPacket{data: p[header:]}
	fields := p[9:header]
	const ptsFlag, dtsFlag = 0x80, 0x40
	if p[7]&ptsFlag == 0 {
		return pes, true
	}
	if len(fields) < 5 {
		return pesPacket{}, false
	}
	pes.timed, pes.pts = true, timestamp33(fields)
	pes.dts = pes.pts
	if p[7]&dtsFlag != 0 {
		if len(fields) < 10 {
			return pesPacket{}, false
		}
		pes.dts = timestamp33(fields[5:])
	}
	return pes, true
}

// timestamp33 reads a PTS or DTS field: 33 bits between markers.
func timestamp33(b []byte) int64 {
	return int64(b[0]>>1&7)<<30 | int64(b[1])<<22 | int64(b[2]>>1)<<15 | int64(b[3])<<7 | int64(b[4]>>1)
}

// avcPacket takes an H.264 access unit: encoders send each in a PES packet of its own.
func (d *tsDemuxer) avcPacket(pes pesPacket, wall time.Time) error {
	if !pes.timed {
		d.sink.repaired(repairTSUntimed)
		return nil
	}
	var ok bool
	if d.units, ok = bitstream.ByteStream(d.units[:0], pes.data, d.maxFrame); !ok {
		d.sink.repaired(repairTSTooLarge)
		return nil
	}
	unit, err := d.avc.Read(d.units, d.maxFrame, func(f bitstream.Fault) { d.sink.repaired(string(f)) })
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
	dts := d.clock.unwrap(pes.dts)
	d.frame = media.Frame{
		DTS: media.Duration(dts, 90000), PTS: media.Duration(dts+signed33(pes.pts-pes.dts), 90000),
		Sync: unit.Sync, Recovery: unit.Recovery, Leading: unit.Leading, Payload: unit.Payload, Wall: wall,
	}
	d.emitted++
	return d.sink.write(trackID{kind: media.Video}, &d.frame)
}
