package ingest

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	adtsHeader    = 7
	adtsMaxFrame  = 1<<13 - 1
	aacFrameTicks = 1024 // samples
)

// adtsStream cuts AAC in ADTS (ISO/IEC 14496-3, 1.A.2) into access units. They need not be aligned with PES packets.
type adtsStream struct {
	buf    []byte // the end of the last PES packet, and then this one
	rest   int    // bytes of buf before this PES packet
	known  bool   // config was given to the sink
	config [2]byte
	next   int64 // time of the next access unit in 90 kHz, unwrapped, of origin
	count  int64 // access units since then
	timed  bool  // next is known
}

// cut forgets an access unit whose end was lost.
func (a *adtsStream) cut() { a.buf, a.rest, a.timed = a.buf[:0], 0, false }

// adtsFrame is a header read.
type adtsFrame struct {
	size, header int // of the whole frame, and of its header
	rate         int64
	config       [2]byte // AudioSpecificConfig
	blocks       byte    // raw data blocks, less one
}

// parseADTS reads a header of adtsHeader bytes or more.
func parseADTS(b []byte) (f adtsFrame, ok bool) {
	if b[0] != 0xff || b[1]&0xf6 != 0xf0 {
		return f, false
	}
	rates := [...]int64{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
	objectType, rate := b[2]>>6+1, b[2]>>2&0x0f
	channels := b[2]&1<<2 | b[3]>>6
	f = adtsFrame{
		size: int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5]>>5), header: adtsHeader, blocks: b[6] & 3,
		config: [2]byte{objectType<<3 | rate>>1, rate<<7 | channels<<3},
	}
	if b[1]&1 == 0 {
		f.header += 2 // a checksum
	}
	if int(rate) >= len(rates) || f.size <= f.header {
		return f, false
	}
	f.rate = rates[rate]
	return f, true
}

// aacPacket takes a PES packet of ADTS frames. Its time is that of the first that begins in it.
func (d *tsDemuxer) aacPacket(pes pesPacket, wall time.Time) error {
	a := &d.adts
	if !pes.timed && !a.timed {
		d.sink.repaired(repairTSUntimed)
		return nil
	}
	a.rest = len(a.buf)
	a.buf = append(a.buf, pes.data...)
	at, stamped := 0, !pes.timed
	for len(a.buf)-at >= adtsHeader {
		if at >= a.rest && !stamped {
			a.next, a.count, a.timed, stamped = d.clock.unwrap(pes.pts), 0, true, true
		}
		f, ok := parseADTS(a.buf[at:])
		end := at + f.size
		if ok && end+adtsHeader <= len(a.buf) {
			_, ok = parseADTS(a.buf[end:]) // else the sync word was a likeness in the data
		}
		if !ok {
			// Once for each run of bytes.
			d.sink.repaired(repairADTSSync)
			for at++; at+1 < len(a.buf) && (a.buf[at] != 0xff || a.buf[at+1]&0xf6 != 0xf0); at++ {
			}
			continue
		}
		if end > len(a.buf) {
			break
		}
		if a.timed {
			if err := d.aacFrame(f, a.buf[at+f.header:end], wall); err != nil {
				return err
			}
		}
		at = end
	}
	if left := len(a.buf) - at; left > adtsMaxFrame {
		a.cut()
	} else {
		copy(a.buf, a.buf[at:])
		a.buf = a.buf[:left]
	}
	return nil
}

// aacFrame hands over one access unit.
func (d *tsDemuxer) aacFrame(f adtsFrame, unit []byte, wall time.Time) error {
	a := &d.adts
	pts := media.Duration(a.next, 90000) + media.Duration(a.count*aacFrameTicks, f.rate)
	a.count += int64(f.blocks) + 1
	if channels := f.config[1] >> 3 & 7; channels == 0 || f.blocks > 0 {
		// The channels are told in the data, or the blocks' lengths only by decoding them. No encoder of today does.
		d.note("AAC in a form of ADTS that is not supported")
		return nil
	}
	if !a.known || a.config != f.config {
		a.known, a.config = true, f.config
		err := d.sink.configure(trackID{kind: media.Audio}, media.Track{Codec: media.AAC, Config: f.config[:]})
		if err != nil {
			return err
		}
	}
	d.frame = media.Frame{DTS: pts, PTS: pts, Sync: true, Payload: unit, Wall: wall}
	d.emitted++
	return d.sink.write(trackID{kind: media.Audio}, &d.frame)
}
