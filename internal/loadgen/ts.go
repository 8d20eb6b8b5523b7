package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Of MPEG transport streams (ISO/IEC 13818-1, section 2.4.3).
const (
	tsPacket   = 188
	tsDatagram = 7 * tsPacket // what fits a network's usual packet
	tsSync     = 0x47
	tsClock    = 90_000 // Hz, of PTS, DTS and PCR base
	tsWrap     = 1 << 33
)

// tsClip is the datagrams of a transport stream, with the places of what differs from round to round.
type tsClip struct {
	datagrams [][]byte
	stamps    [][]stamp // of each datagram
	packets   map[uint16]int
	length    int64 // ticks of tsClock
}

// stamp is a time in a datagram: PTS and DTS are spread over five bytes, a PCR's base over five others.
type stamp struct {
	at    int
	pcr   bool
	ticks int64
}

func parseTS(data []byte) (*Clip, error) {
	if len(data) < tsPacket || data[0] != tsSync {
		return nil, fmt.Errorf("%w: no MPEG transport stream", media.ErrInvalid)
	}
	c := &tsClip{packets: map[uint16]int{}}
	clip := &Clip{dial: c.dial}
	first, due := int64(-1), time.Duration(0)
	last := map[uint16][2]int64{} // of each stream: the latest DTS and its distance from the one before
	for len(data) >= tsPacket {
		size := min(len(data)/tsPacket*tsPacket, tsDatagram)
		datagram := data[:size]
		data = data[size:]
		var stamps []stamp
		for at := 0; at < size; at += tsPacket {
			p := datagram[at : at+tsPacket]
			if p[0] != tsSync {
				return nil, fmt.Errorf("%w: a packet does not begin with 0x47", media.ErrInvalid)
			}
			pid := pidOf(p)
			if p[3]&payloadFlag != 0 {
				c.packets[pid]++
			}
			found, dts := stampsOf(p)
			for _, s := range found {
				stamps = append(stamps, stamp{at + s.at, s.pcr, s.ticks})
			}
			if dts < 0 {
				continue
			}
			if first < 0 {
				first = dts
			}
			due = max(due, time.Duration(dts-first)*time.Second/tsClock)
			if before, ok := last[pid]; ok {
				last[pid] = [2]int64{dts, max(dts-before[0], 0)}
			} else {
				last[pid] = [2]int64{dts, 0}
			}
		}
		c.datagrams, c.stamps = append(c.datagrams, datagram), append(c.stamps, stamps)
		clip.due, clip.sizes = append(clip.due, due), append(clip.sizes, size)
	}
	for _, l := range last {
		c.length = max(c.length, l[0]-first+l[1])
	}
	if c.length == 0 {
		return nil, fmt.Errorf("%w: no times in the transport stream", media.ErrInvalid)
	}
	clip.length = time.Duration(c.length) * time.Second / tsClock
	return clip, nil
}

const (
	startFlag      = 0x40 // of byte 1
	adaptationFlag = 0x20 // of byte 3
	payloadFlag    = 0x10
)

func pidOf(p []byte) uint16 { return uint16(p[1]&0x1f)<<8 | uint16(p[2]) }

// stampsOf finds the times in a packet. dts is that of a PES packet which begins here, or -1.
func stampsOf(p []byte) (stamps []stamp, dts int64) {
	body := 4
	if p[3]&adaptationFlag != 0 {
		const pcrFlag = 0x10
		if p[4] >= 7 && p[5]&pcrFlag != 0 {
			base := int64(p[6])<<25 | int64(p[7])<<17 | int64(p[8])<<9 | int64(p[9])<<1 | int64(p[10])>>7
			stamps = append(stamps, stamp{at: 6, pcr: true, ticks: base})
		}
		body += 1 + int(p[4])
	}
	const pesHeader, timeSize = 9, 5
	if p[1]&startFlag == 0 || p[3]&payloadFlag == 0 || body+pesHeader+2*timeSize > tsPacket {
		return stamps, -1
	}
	b := p[body:]
	if b[0] != 0 || b[1] != 0 || b[2] != 1 || b[6]&0xc0 != 0x80 || b[7]&0x80 == 0 {
		return stamps, -1
	}
	for i := range 1 + int(b[7]>>6&1) { // PTS, and DTS where it differs
		at := pesHeader + i*timeSize
		dts = int64(b[at]>>1&7)<<30 | int64(b[at+1])<<22 | int64(b[at+2]>>1)<<15 | int64(b[at+3])<<7 | int64(b[at+4]>>1)
		stamps = append(stamps, stamp{at: body + at, ticks: dts})
	}
	return stamps, dts
}

// put writes a stamp that is shifted by some ticks.
func (s stamp) put(datagram []byte, shift int64) {
	t, b := (s.ticks+shift)%tsWrap, datagram[s.at:]
	if s.pcr {
		b[0], b[1], b[2], b[3] = byte(t>>25), byte(t>>17), byte(t>>9), byte(t>>1)
		b[4] = b[4]&0x7f | byte(t<<7)
		return
	}
	b[0] = b[0]&0xf1 | byte(t>>29)&0x0e
	b[1] = byte(t >> 22)
	b[2] = byte(t>>14) | 1
	b[3] = byte(t >> 7)
	b[4] = byte(t<<1) | 1
}

// srtSender publishes a tsClip.
type srtSender struct {
	gosrt.Conn
	clip *tsClip
	out  [tsDatagram]byte
}

func (c *tsClip) dial(ctx context.Context, target string) (sender, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "srt" {
		return nil, fmt.Errorf("%w: no srt URL", media.ErrInvalid)
	}
	cfg := gosrt.DefaultConfig()
	if err := cfg.UnmarshalQuery(u.RawQuery); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", media.ErrInvalid, u.Host, err)
	}
	conn, err := gosrt.DialWithContext(ctx, "srt", u.Host, cfg)
	if err != nil {
		return nil, err
	}
	return &srtSender{Conn: conn, clip: c}, nil
}

func (s *srtSender) send(step, round int) error {
	out := s.out[:copy(s.out[:], s.clip.datagrams[step])]
	for _, stamp := range s.clip.stamps[step] {
		stamp.put(out, int64(round)*s.clip.length)
	}
	for at := 0; at < len(out); at += tsPacket {
		p := out[at : at+tsPacket]
		p[3] = p[3]&0xf0 | byte(int(p[3])+round*s.clip.packets[pidOf(p)])&0x0f
	}
	_, err := s.Write(out)
	return err
}

func (s *srtSender) flush() error { return nil }

var errClosed = errors.New("connection closed")

func (s *srtSender) wait() error {
	var waste [1500]byte
	for {
		if _, err := s.Read(waste[:]); err != nil {
			return errClosed
		}
	}
}

func (s *srtSender) close() error { return s.Close() }
