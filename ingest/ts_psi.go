package ingest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	maxSection  = 3 + 1021 // of PAT and PMT (2.4.4.4, 2.4.4.9)
	maxPrograms = 16
	tableIDPAT  = 0
	tableIDPMT  = 2
)

// tsSection puts the sections of one PID together (2.4.4). It gives each section that differs from the last one and
// whose checksum is right.
type tsSection struct {
	tsContinuity
	open bool
	buf  []byte
	last []byte // the section given last
}

// drop forgets a section that is not complete.
func (s *tsSection) drop() { s.open, s.started = false, false }

func (s *tsSection) feed(h tsHeader, body []byte, repaired func(string), give func(section []byte)) {
	if h.broken || h.scrambled {
		repaired(repairTSPacket)
		s.drop()
		return
	}
	if body == nil {
		return
	}
	missing, again := s.next(h)
	if again {
		return
	}
	if missing {
		repaired(repairTSContinuity)
		s.open = false
	}
	if !h.start {
		s.add(body, repaired, give)
		return
	}
	if len(body) == 0 || int(body[0]) > len(body)-1 {
		repaired(repairTSPacket)
		s.open = false
		return
	}
	pointer := int(body[0])
	s.add(body[1:1+pointer], repaired, give)
	for body = body[1+pointer:]; len(body) > 0 && body[0] != 0xff; { // 0xff is stuffing
		s.open, s.buf = true, s.buf[:0]
		body = s.add(body, repaired, give)
	}
}

// add adds to the open section and gives what is left behind its end.
func (s *tsSection) add(body []byte, repaired func(string), give func([]byte)) (rest []byte) {
	if !s.open {
		return nil
	}
	need := 3
	if len(s.buf) >= 3 {
		need = sectionSize(s.buf)
	}
	for {
		n := min(need-len(s.buf), len(body))
		s.buf, body = append(s.buf, body[:n]...), body[n:]
		if len(s.buf) < need {
			return nil
		}
		size := sectionSize(s.buf)
		if size > maxSection {
			repaired(repairTSTable)
			s.open = false
			return nil
		}
		if need >= size {
			break
		}
		need = size
	}
	s.open = false
	if bytes.Equal(s.buf, s.last) {
		return body
	}
	// Long sections only have a checksum (section_syntax_indicator), and PAT and PMT are long.
	if len(s.buf) < 12 || s.buf[1]&0x80 == 0 || crcMPEG(s.buf) != 0 {
		repaired(repairTSTable)
		return body
	}
	if s.buf[5]&1 == 0 {
		return body // announces what will hold later
	}
	s.last = append(s.last[:0], s.buf...)
	give(s.buf)
	return body
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

// tsProgram is one program of the PAT.
type tsProgram struct {
	number int
	pid    int
	pmt    tsSection
	passed bool // it was counted as one that is not taken
}

// programTable obeys a PAT (2.4.4.3).
func (d *tsDemuxer) programTable(section []byte) {
	if section[0] != tableIDPAT {
		return
	}
	if section[6] > 0 { // section_number: a PAT of 250 programs and more
		d.note("more programs")
		return
	}
	var programs []tsProgram
	for entry := section[8 : len(section)-4]; len(entry) >= 4; entry = entry[4:] {
		number := int(binary.BigEndian.Uint16(entry))
		pid := int(binary.BigEndian.Uint16(entry[2:]) & 0x1fff)
		if number == 0 { // the network's own PID
			continue
		}
		if len(programs) == maxPrograms {
			d.note("more programs")
			break
		}
		known := slices.IndexFunc(d.programs, func(p tsProgram) bool { return p.number == number && p.pid == pid })
		if known >= 0 {
			programs = append(programs, d.programs[known])
			continue
		}
		programs = append(programs, tsProgram{number: number, pid: pid})
	}
	d.programs = programs
	if !slices.ContainsFunc(programs, func(p tsProgram) bool { return p.number == d.chosen }) {
		d.unchoose() // its streams go on until another program is found
	}
}

// mapTable obeys a PMT (2.4.4.8).
func (d *tsDemuxer) mapTable(number int, section []byte) {
	if section[0] != tableIDPMT || int(binary.BigEndian.Uint16(section[3:])) != number || len(section) < 16 {
		return
	}
	entries := section[12 : len(section)-4 : len(section)-4]
	info := int(binary.BigEndian.Uint16(section[10:]) & 0x0fff)
	if info > len(entries) {
		d.sink.repaired(repairTSTable)
		return
	}
	if d.chosen != 0 && d.chosen != number {
		d.pass(number)
		return
	}
	found := struct{ video, audio int }{tsNoPID, tsNoPID}
	for entries = entries[info:]; len(entries) >= 5; {
		kind, pid := entries[0], int(binary.BigEndian.Uint16(entries[1:])&0x1fff)
		size := 5 + int(binary.BigEndian.Uint16(entries[3:])&0x0fff)
		if size > len(entries) {
			d.sink.repaired(repairTSTable)
			break
		}
		descriptors := entries[5:size]
		entries = entries[size:]
		switch {
		case kind == tsTypeH264 && found.video == tsNoPID:
			found.video = pid
		case kind == tsTypeADTS && found.audio == tsNoPID && pid != found.video:
			found.audio = pid
		case kind == tsTypeH264 || kind == tsTypeADTS:
			d.note("a second " + tsTypeName(kind, nil) + " stream")
		default:
			d.note(tsTypeName(kind, descriptors))
		}
	}
	if found.video == tsNoPID && found.audio == tsNoPID {
		if d.chosen == 0 {
			return // another program may have some
		}
		d.unchoose()
	} else {
		d.chosen = number
	}
	d.video.follow(found.video)
	if d.audio.follow(found.audio) {
		d.adts.cut()
	}
	promised := map[bool]int{true: 1}
	d.sink.announce(promised[found.video != tsNoPID], promised[found.audio != tsNoPID])
}

// unchoose has all programs looked at again, those that were passed over too.
func (d *tsDemuxer) unchoose() {
	d.chosen = 0
	for i := range d.programs {
		d.programs[i].pmt.last = nil
	}
}

// pass counts a program that is not taken, once.
func (d *tsDemuxer) pass(number int) {
	for i := range d.programs {
		if p := &d.programs[i]; p.number == number && !p.passed {
			p.passed = true
			d.note("a second program")
		}
	}
}

// Stream types (table 2-34).
const (
	tsTypeH264    = 0x1b
	tsTypeADTS    = 0x0f
	tsTypePrivate = 0x06
)

// tsTypeName names a stream type for people.
func tsTypeName(kind byte, descriptors []byte) string {
	switch kind {
	case tsTypeH264:
		return "H.264"
	case tsTypeADTS:
		return "AAC"
	case tsTypePrivate:
		return privateName(descriptors)
	}
	for _, known := range []struct {
		kind byte
		name string
	}{
		{0x01, "MPEG-1 video"}, {0x02, "MPEG-2 video"}, {0x03, "MPEG-1 audio (MP2, MP3)"}, {0x04, "MPEG-2 audio (MP2, MP3)"},
		{0x10, "MPEG-4 Part 2 video"}, {0x11, "AAC in LATM"}, {0x15, "timed metadata"}, {0x20, "H.264 MVC"},
		{0x21, "JPEG 2000"},
		{0x24, "HEVC (H.265)"}, {0x33, "VVC (H.266)"}, {0x80, "LPCM"}, {0x81, "AC-3"}, {0x82, "DTS"}, {0x86, "SCTE-35 cues"},
		{0x87, "E-AC-3"}, {0xd1, "Dirac"}, {0xea, "VC-1"},
	} {
		if known.kind == kind {
			return known.name
		}
	}
	return fmt.Sprintf("stream type 0x%02x", kind)
}

// privateName says what PES private data are, from their descriptors.
func privateName(descriptors []byte) string {
	for len(descriptors) >= 2 && int(descriptors[1]) <= len(descriptors)-2 {
		tag, body := descriptors[0], descriptors[2:2+int(descriptors[1])]
		descriptors = descriptors[2+len(body):]
		switch {
		case tag == 0x05 && bytes.Equal(body, []byte("Opus")):
			return "Opus"
		case tag == 0x05 && bytes.HasPrefix(body, []byte("HEVC")):
			return "HEVC (H.265)"
		case tag == 0x05 && bytes.HasPrefix(body, []byte("AV01")):
			return "AV1"
		case tag == 0x05 && bytes.HasPrefix(body, []byte("BSSD")):
			return "SMPTE 302M audio"
		case tag == 0x05 && bytes.HasPrefix(body, []byte("KLVA")):
			return "KLV metadata"
		case tag == 0x6a:
			return "AC-3"
		case tag == 0x7a:
			return "E-AC-3"
		case tag == 0x56:
			return "teletext"
		case tag == 0x59:
			return "DVB subtitles"
		}
	}
	return "private data"
}

// kindOf is the kind of track that a stream becomes.
func (d *tsDemuxer) kindOf(s *tsStream) media.Kind {
	if s == &d.video {
		return media.Video
	}
	return media.Audio
}
