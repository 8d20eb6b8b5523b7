package ingest

import (
	"bytes"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	tsPacket   = 188
	tsSync     = 0x47
	tsPIDPAT   = 0
	tsPIDNull  = 0x1fff
	tsPIDFirst = 0x10 // those below are the tables'
	maxSkipped = 16   // kinds of stream remembered by name
)

// tsDemuxer takes media out of an MPEG transport stream (ISO/IEC 13818-1, which the sections below are of). Every byte
// is looked at a bounded number of times, and nothing is allocated once the buffers have grown to the stream's frames.
//
// One program is taken: the one that was asked for, else the first whose PMT names a stream that we support; of that
// all streams that we support. A frame that a lost or damaged packet belonged to is dropped, never handed over as good.
// What lies between one PES packet with a time and the next is cut into access units; two fields are one sample,
// however they come.
type tsDemuxer struct {
	sink     sink
	maxFrame int

	carry  []byte // a packet whose end is in the next datagram
	synced bool

	pat      *tsSection
	programs []*tsProgram
	wanted   int // program_number that was asked for; 0 is the first that is supported
	chosen   int // program_number of the program that is taken; 0 while none is
	streams  []*tsStream
	clock    tsClock

	units   []byte              // scratch: an access unit with lengths for start codes
	frame   media.Frame         // reused
	datum   media.TimedMetadata // likewise
	picture int64               // PTS of the last picture of the first video track in 90 kHz, unwrapped
	shown   bool                // there was one
	emitted int64               // frames handed to the sink
	skipped []string            // what was not taken, by name, each once
}

// newTSDemuxer makes a demuxer of one program: that of the number, or with 0 the first that is supported.
func newTSDemuxer(out sink, maxFrame, program int) *tsDemuxer {
	d := &tsDemuxer{sink: out, maxFrame: maxFrame, wanted: program, carry: make([]byte, 0, tsPacket)}
	d.pat = &tsSection{limit: maxTable, repaired: out.repaired, give: d.programTable}
	return d
}

// feed takes the next bytes of the stream: any number, not only whole packets.
func (d *tsDemuxer) feed(data []byte, wall time.Time) error {
	if n := len(d.carry); n > 0 {
		rest := min(tsPacket-n, len(data))
		d.carry = append(d.carry, data[:rest]...)
		if len(d.carry) < tsPacket {
			return nil
		}
		packet := d.carry
		d.carry = d.carry[:0]
		if rest < len(data) && data[rest] != tsSync {
			// The two halves are of different packets, since the bytes between were lost.
			d.sink.repaired(repairTSSync)
			d.synced = false
		} else {
			data = data[rest:]
			if err := d.packet(packet, wall); err != nil {
				return err
			}
		}
	}
	for len(data) > 0 {
		if data[0] != tsSync || !d.synced && len(data) > tsPacket && data[tsPacket] != tsSync {
			if d.synced {
				d.sink.repaired(repairTSSync)
				d.synced = false
			}
			skip := bytes.IndexByte(data[1:], tsSync)
			if skip < 0 {
				return nil
			}
			data = data[1+skip:]
			continue
		}
		if len(data) < tsPacket {
			d.carry = append(d.carry, data...)
			return nil
		}
		d.synced = true
		if err := d.packet(data[:tsPacket:tsPacket], wall); err != nil {
			return err
		}
		data = data[tsPacket:]
	}
	return nil
}

// gap says that bytes are missing before those that feed is given next. Continuity counters alone don't tell the loss
// of sixteen packets from that of none.
func (d *tsDemuxer) gap() {
	d.carry = d.carry[:0]
	d.pat.drop()
	for _, p := range d.programs {
		p.pmt.drop()
	}
	for _, s := range d.streams {
		s.lose()
		s.started = false
	}
}

// flush hands over the frames whose end only the end of the stream shows.
func (d *tsDemuxer) flush() error {
	for _, s := range d.streams {
		if err := d.endPES(s); err != nil {
			return err
		}
		if err := d.endStream(s); err != nil {
			return err
		}
	}
	return nil
}

// packet takes one transport packet (2.4.3.2).
func (d *tsDemuxer) packet(p []byte, wall time.Time) error {
	pid := int(p[1]&0x1f)<<8 | int(p[2])
	if pid == tsPIDNull {
		return nil
	}
	h := tsHeader{
		start: p[1]&0x40 != 0, broken: p[1]&0x80 != 0, scrambled: p[3]&0xc0 != 0, counter: p[3] & 0x0f,
	}
	body := p[4:]
	if p[3]&0x20 != 0 { // adaptation field
		size := int(body[0])
		if size > len(body)-1 {
			d.sink.repaired(repairTSPacket)
			h.broken = true
			size = len(body) - 1
		}
		if size > 0 {
			h.restart, h.random = body[1]&0x80 != 0, body[1]&0x40 != 0
		}
		body = body[1+size:]
	}
	if p[3]&0x10 == 0 {
		body = nil // no payload, and then the counter stands still
	}
	for _, s := range d.streams {
		if s.pid != pid {
			continue
		}
		if s.section != nil {
			s.wall = wall
			return s.section.feed(h, body)
		}
		return d.elementary(s, h, body, wall)
	}
	if pid == tsPIDPAT {
		return d.pat.feed(h, body)
	}
	for _, program := range d.programs {
		if program.pid == pid {
			return program.pmt.feed(h, body)
		}
	}
	return nil
}

// tsHeader is what a packet's header says of its payload.
type tsHeader struct {
	start     bool // a PES packet or a section begins here
	broken    bool // transport_error_indicator, or it does not parse
	scrambled bool
	restart   bool // discontinuity_indicator: the counter may jump
	random    bool // random_access_indicator: decoding may begin here
	counter   byte
}

// tsContinuity follows the continuity_counter of one PID (2.4.3.3).
type tsContinuity struct {
	started bool
	last    byte
	doubled bool // the last packet came twice, which is allowed once
}

// next says whether packets are missing before this one, and whether it is the last one again.
func (c *tsContinuity) next(h tsHeader) (missing, again bool) {
	switch {
	case !c.started || h.restart:
	case h.counter == c.last && !c.doubled:
		c.doubled = true
		return false, true
	default:
		missing = h.counter != (c.last+1)&0x0f
	}
	c.started, c.last, c.doubled = true, h.counter, false
	return missing, false
}

// tsClock unwraps 33-bit timestamps of 90 kHz. One clock serves all streams of the program, so that their offset is
// kept; a step of less than 13 hours either way is read right.
type tsClock struct {
	last    int64
	started bool
}

func (c *tsClock) unwrap(timestamp int64) int64 {
	if !c.started {
		c.started, c.last = true, timestamp
	}
	c.last = c.near(timestamp)
	return c.last
}

// near unwraps a timestamp that the clock is not set by.
func (c *tsClock) near(timestamp int64) int64 { return c.last + signed33(timestamp-c.last) }

// signed33 reads the low 33 bits as a signed number.
func signed33(v int64) int64 { return v << 31 >> 31 }

// note remembers what is not taken, for the publisher's user to read, and counts it once.
func (d *tsDemuxer) note(what string) {
	if slices.Contains(d.skipped, what) {
		return
	}
	if len(d.skipped) < maxSkipped {
		d.skipped = append(d.skipped, what)
	}
	d.sink.repaired(repairTSSkipped)
}
