package ingest

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// maxAudioPES bounds a PES packet of audio in bytes: one that gives its length has at most 64 KiB, as it must.
	maxAudioPES = 1 << 20
	// maxTSHeld bounds what all streams together hold in bytes: a few of the largest access units.
	maxTSHeld = 64 << 20
)

// tsStream puts the PES packets of one PID together (2.4.3.6).
//
// Of audio and metadata it holds one PES packet. Of video it holds what lies between one time and the next, which is an
// access unit as a rule: some encoders give one several PES packets, of which only the first has a time, and some give
// several of them one PES packet.
type tsStream struct {
	tsContinuity
	pid     int
	form    tsForm
	id      trackID // without a kind for metadata
	limit   int     // of what is held, in bytes
	renamed bool    // the PMT gave another language

	packet []byte // the last one's payload, to know a repeated packet
	open   bool   // a PES packet has begun
	headed bool   // and its header was taken off
	sized  bool   // and says its length
	left   int    // bytes of it to come then
	jump   bool   // it began with a random_access_indicator
	wall   time.Time

	buf     []byte // what is held, and then the open packet's header as long as it is not complete
	mark    int    // where that begins
	head    pesHeader
	random  bool // what is held began with a random_access_indicator
	pending bool // access units are held
	damaged bool // a part of what is held is missing

	section *tsSection
	picture *tsPicture
	audio   *tsAudio
	data    *tsData
}

func (d *tsDemuxer) newStream(pid int, id trackID, form tsForm) *tsStream {
	s := &tsStream{pid: pid, id: id, form: form}
	switch {
	case id.kind == media.Video:
		s.limit = d.maxFrame
		s.picture = newTSPicture(form.carries, d.sink.repaired)
	case id.kind == media.Audio:
		s.limit = min(maxAudioPES, d.maxFrame)
		s.audio = newTSAudio(form.carries)
	case form.carries == carriesSCTE35:
		s.section = &tsSection{limit: maxSection, private: true, repaired: d.sink.repaired}
		s.data = &tsData{}
		s.section.give = func(section []byte) error { return d.cue(s.data, section, s.wall) }
	default:
		s.limit = min(media.MaxMetadata, d.maxFrame)
		s.data = &tsData{}
	}
	return s
}

// lose says that bytes are missing.
func (s *tsStream) lose() {
	s.damaged = s.damaged || s.open || s.pending
	switch {
	case s.section != nil:
		s.section.drop()
	case s.audio != nil:
		s.audio.cut()
	case s.data != nil:
		s.data.cut()
	}
}

// elementary takes a packet of a stream.
func (d *tsDemuxer) elementary(s *tsStream, h tsHeader, body []byte, wall time.Time) error {
	if h.broken || h.scrambled {
		d.sink.repaired(repairTSPacket)
		s.lose()
		return nil // the counter is not followed: the next packet tells that this one is missing
	}
	if body == nil {
		if h.restart {
			s.started = false
		}
		return nil
	}
	missing, again := s.next(h)
	if again && bytes.Equal(s.packet, body) {
		return nil
	}
	s.packet = append(s.packet[:0], body...)
	if missing || again { // the same counter before other bytes: sixteen are missing
		d.sink.repaired(repairTSContinuity)
		s.lose()
	}
	if h.start {
		if err := d.endPES(s); err != nil {
			return err
		}
		s.begin(h.random)
	}
	if !s.open {
		return nil
	}
	s.wall = wall
	if s.headed {
		return d.hold(s, body)
	}
	s.buf = append(s.buf, body...)
	return d.beginPES(s)
}

// begin begins a PES packet.
func (s *tsStream) begin(random bool) {
	s.open, s.headed, s.sized, s.jump = true, false, false, random
	if s.damaged || !s.pending {
		s.buf = s.buf[:0]
	}
	if s.picture == nil {
		s.damaged = false
	}
	s.mark = len(s.buf)
}

// beginPES takes the header off the open packet once it is complete.
func (d *tsDemuxer) beginPES(s *tsStream) error {
	packet := s.buf[s.mark:]
	if len(packet) < 9 || len(packet) < 9+int(packet[8]) {
		return nil
	}
	size := 9 + int(packet[8])
	head, ok := parsePES(packet[:size])
	if length := int(binary.BigEndian.Uint16(packet[4:])); length > 0 {
		s.sized, s.left = true, 6+length-size
		ok = ok && s.left >= 0
	}
	if !ok {
		s.buf, s.open = s.buf[:s.mark], false
		d.sink.repaired(repairTSDamaged)
		s.lose()
		return nil
	}
	s.headed = true
	if head.timed {
		head.pts -= head.dts
		head.dts = d.clock.unwrap(head.dts)
		head.pts = head.dts + signed33(head.pts)
		if s.picture != nil && s.id.number == 0 {
			d.picture, d.shown = head.pts, true
		}
	}
	payload := packet[size:]
	if s.picture == nil {
		s.head, s.buf = head, s.buf[:0]
		return d.hold(s, payload)
	}
	if head.timed || !s.pending {
		s.buf = s.buf[:s.mark]
		if err := d.endUnits(s, head); err != nil {
			return err
		}
		s.mark, s.head, s.random, s.pending, s.damaged = 0, head, s.jump, true, false
	}
	s.buf = s.buf[:s.mark]
	return d.hold(s, payload) // which lies behind, in the same array
}

// hold adds to what is held.
func (d *tsDemuxer) hold(s *tsStream, body []byte) error {
	if s.damaged {
		return nil
	}
	if s.sized {
		body = body[:min(len(body), s.left)]
		s.left -= len(body)
	}
	if need := len(s.buf) + len(body); need > s.limit || need > cap(s.buf) && d.held()+need > maxTSHeld {
		d.sink.repaired(repairTSTooLarge)
		s.damaged = true
		return nil
	}
	s.buf = append(s.buf, body...)
	if s.sized && s.left == 0 {
		return d.endPES(s)
	}
	return nil
}

// held is the bytes of memory that the streams have.
func (d *tsDemuxer) held() (sum int) {
	for _, s := range d.streams {
		sum += cap(s.buf)
	}
	return sum
}

// endPES takes the open PES packet as complete: either it is by its length, or the next one begins.
func (d *tsDemuxer) endPES(s *tsStream) error {
	if !s.open {
		return nil
	}
	s.open = false
	if !s.headed {
		s.buf = s.buf[:s.mark]
	}
	torn := !s.headed || s.sized && s.left > 0
	if s.picture != nil {
		if s.damaged = s.damaged || torn; s.damaged && !s.pending {
			d.sink.repaired(repairTSDamaged)
			s.damaged = false
		}
		return nil // what is held may go on
	}
	if s.damaged || torn {
		d.sink.repaired(repairTSDamaged)
		s.lose()
		s.damaged = false
		return nil
	}
	switch {
	case s.audio != nil && s.form.carries == carriesOpus:
		return d.opusPacket(s)
	case s.audio != nil:
		return d.audioPacket(s)
	}
	return d.dataPacket(s)
}

// pesHeader is what a PES packet's header says.
type pesHeader struct {
	timed    bool
	pts, dts int64 // 90 kHz, 33 bits of it before they are unwrapped
}

// parsePES reads a header that is complete.
func parsePES(p []byte) (h pesHeader, ok bool) {
	if p[0] != 0 || p[1] != 0 || p[2] != 1 || p[6]&0xc0 != 0x80 || p[6]&0x30 != 0 {
		return h, false // not the syntax of audio and video, or scrambled
	}
	fields := p[9:]
	const ptsFlag, dtsFlag = 0x80, 0x40
	if p[7]&ptsFlag == 0 {
		return h, true
	}
	if len(fields) < 5 {
		return h, false
	}
	h.timed, h.pts = true, timestamp33(fields)
	h.dts = h.pts
	if p[7]&dtsFlag != 0 {
		if len(fields) < 10 {
			return h, false
		}
		h.dts = timestamp33(fields[5:])
	}
	return h, true
}

// timestamp33 reads a PTS or DTS field: 33 bits between markers.
func timestamp33(b []byte) int64 {
	return int64(b[0]>>1&7)<<30 | int64(b[1])<<22 | int64(b[2]>>1)<<15 | int64(b[3])<<7 | int64(b[4]>>1)
}
