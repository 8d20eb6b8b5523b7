package ingest

import (
	"bytes"
	"encoding/binary"
)

// Limits of sections in bytes.
const (
	maxTable   = 3 + 1021 // of PAT and PMT (2.4.4.4, 2.4.4.9)
	maxSection = 3 + 4093 // of private ones (2.4.4.11)
)

// tsSection puts the sections of one PID together (2.4.4). It gives those whose checksum is right, and of tables only
// one that differs from the last.
type tsSection struct {
	tsContinuity
	limit    int
	private  bool // sections are no tables: they have a checksum, but no version
	repaired func(what string)
	give     func(section []byte) error

	open bool
	buf  []byte
	last []byte // the table given last
}

// drop forgets a section that is not complete.
func (s *tsSection) drop() { s.open, s.started = false, false }

func (s *tsSection) feed(h tsHeader, body []byte) error {
	if h.broken || h.scrambled {
		s.repaired(repairTSPacket)
		s.drop()
		return nil
	}
	if body == nil {
		return nil
	}
	missing, again := s.next(h)
	if again {
		return nil
	}
	if missing {
		s.repaired(repairTSContinuity)
		s.open = false
	}
	if !h.start {
		_, err := s.add(body)
		return err
	}
	if len(body) == 0 || int(body[0]) > len(body)-1 {
		s.repaired(repairTSPacket)
		s.open = false
		return nil
	}
	pointer := int(body[0])
	if _, err := s.add(body[1 : 1+pointer]); err != nil {
		return err
	}
	for body = body[1+pointer:]; len(body) > 0 && body[0] != 0xff; { // 0xff is stuffing
		var err error
		s.open, s.buf = true, s.buf[:0]
		if body, err = s.add(body); err != nil {
			return err
		}
	}
	return nil
}

// add adds to the open section and gives what is left behind its end.
func (s *tsSection) add(body []byte) (rest []byte, err error) {
	if !s.open {
		return nil, nil
	}
	need := 3
	if len(s.buf) >= 3 {
		need = sectionSize(s.buf)
	}
	for {
		n := min(need-len(s.buf), len(body))
		s.buf, body = append(s.buf, body[:n]...), body[n:]
		if len(s.buf) < need {
			return nil, nil
		}
		size := sectionSize(s.buf)
		if size > s.limit {
			s.repaired(repairTSTable)
			s.open = false
			return nil, nil
		}
		if need >= size {
			break
		}
		need = size
	}
	s.open = false
	return body, s.complete()
}

// complete gives the section if it is good and news.
func (s *tsSection) complete() error {
	if bytes.Equal(s.buf, s.last) {
		return nil
	}
	// Long sections only have a checksum (section_syntax_indicator), and PAT and PMT are long.
	table := len(s.buf) >= 12 && s.buf[1]&0x80 != 0
	if !table && !s.private || crcMPEG(s.buf) != 0 {
		s.repaired(repairTSTable)
		return nil
	}
	if s.private {
		return s.give(s.buf)
	}
	if s.buf[5]&1 == 0 {
		return nil // announces what will hold later
	}
	s.last = append(s.last[:0], s.buf...)
	return s.give(s.buf)
}

func sectionSize(head []byte) int { return 3 + int(binary.BigEndian.Uint16(head[1:])&0x0fff) }

// crcMPEG is the CRC-32 of annex A. Over a section with its checksum it gives zero. No table: tables come a few times a
// second, and the same again is not checked again.
func crcMPEG(data []byte) uint32 {
	crc := ^uint32(0)
	for _, b := range data {
		crc ^= uint32(b) << 24
		for range 8 {
			crc = crc<<1 ^ 0x04c11db7&-(crc>>31)
		}
	}
	return crc
}
