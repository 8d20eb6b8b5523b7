package ingest

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	maxPrograms = 16
	// maxDataStreams bounds the streams of timed metadata of a program.
	maxDataStreams = 8
	tableIDPAT     = 0
	tableIDPMT     = 2
)

// tsProgram is one program of the PAT.
type tsProgram struct {
	number int
	pid    int
	pmt    *tsSection
}

// programTable obeys a PAT (2.4.4.3).
func (d *tsDemuxer) programTable(section []byte) error {
	if section[0] != tableIDPAT {
		return nil
	}
	if section[6] > 0 { // section_number: a PAT of 250 programs and more
		d.note("more programs")
		return nil
	}
	var programs []*tsProgram
	for entry := section[8 : len(section)-4]; len(entry) >= 4; entry = entry[4:] {
		number := int(binary.BigEndian.Uint16(entry))
		pid := int(binary.BigEndian.Uint16(entry[2:]) & 0x1fff)
		if number == 0 { // the network's own PID
			continue
		}
		if len(programs) == maxPrograms && number != d.wanted {
			d.note("more programs")
			continue
		}
		programs = append(programs, d.program(number, pid))
		if len(programs) > maxPrograms {
			break
		}
	}
	d.programs = programs
	if !slices.ContainsFunc(programs, func(p *tsProgram) bool { return p.number == d.chosen }) {
		d.unchoose() // its streams go on until another program is found
	}
	return nil
}

// program gives the program that is known, or a new one.
func (d *tsDemuxer) program(number, pid int) *tsProgram {
	for _, p := range d.programs {
		if p.number == number && p.pid == pid {
			return p
		}
	}
	return &tsProgram{number: number, pid: pid, pmt: &tsSection{
		limit: maxTable, repaired: d.sink.repaired,
		give: func(section []byte) error { return d.mapTable(pid, section) },
	}}
}

// mapTable obeys a PMT (2.4.4.8) that came on a PID.
func (d *tsDemuxer) mapTable(pid int, section []byte) error {
	number := int(binary.BigEndian.Uint16(section[3:]))
	if section[0] != tableIDPMT || len(section) < 16 || !slices.ContainsFunc(d.programs, func(p *tsProgram) bool {
		return p.number == number && p.pid == pid // programs may share a PID
	}) {
		return nil
	}
	entries := section[12 : len(section)-4 : len(section)-4]
	info := int(binary.BigEndian.Uint16(section[10:]) & 0x0fff)
	if info > len(entries) {
		d.sink.repaired(repairTSTable)
		return nil
	}
	if d.chosen != 0 && d.chosen != number || d.wanted != 0 && d.wanted != number {
		d.note(fmt.Sprintf("program %d", number))
		return nil
	}
	found := d.readMap(entries[:info], entries[info:])
	video, audio := found.count(media.Video), found.count(media.Audio)
	if video+audio == 0 {
		if d.chosen == 0 {
			return nil // another program may have some
		}
		d.unchoose()
		found = nil
	} else {
		d.chosen = number
	}
	d.sink.announce(video, audio)
	return d.follow(found)
}

// tsMapped is a stream that a PMT names and that we take.
type tsMapped struct {
	pid  int
	form tsForm
}

type tsMap []tsMapped

func (m tsMap) count(kind media.Kind) (n int) {
	for _, e := range m {
		if e.form.carries.kind() == kind {
			n++
		}
	}
	return n
}

// readMap reads the entries of a PMT.
func (d *tsDemuxer) readMap(program, entries []byte) (found tsMap) {
	for len(entries) >= 5 {
		kind, pid := entries[0], int(binary.BigEndian.Uint16(entries[1:])&0x1fff)
		size := 5 + int(binary.BigEndian.Uint16(entries[3:])&0x0fff)
		if size > len(entries) {
			d.sink.repaired(repairTSTable)
			break
		}
		form, name := tsIdentify(kind, program, entries[5:size])
		entries = entries[size:]
		limit := maxTracksOfKind
		if form.carries.kind() == "" {
			limit = maxDataStreams
		}
		switch {
		case form.carries == carriesNothing:
			d.note(name)
		case pid < tsPIDFirst || pid == tsPIDNull || d.isTable(pid) ||
			slices.ContainsFunc(found, func(e tsMapped) bool { return e.pid == pid }):
			d.sink.repaired(repairTSTable)
		case found.count(form.carries.kind()) == limit:
			d.note("more " + name + " streams")
		default:
			found = append(found, tsMapped{pid: pid, form: form})
		}
	}
	return found
}

func (d *tsDemuxer) isTable(pid int) bool {
	return slices.ContainsFunc(d.programs, func(p *tsProgram) bool { return p.pid == pid })
}

// follow takes these streams from now on. A PID that goes on keeps its track's number; a number that is free goes to
// the next PID of the kind. A track whose PID went is removed unless another PID has its number now: then it is
// configured anew when that sends.
func (d *tsDemuxer) follow(found tsMap) error {
	var kept, left []*tsStream
	for _, s := range d.streams {
		at := slices.IndexFunc(found, func(e tsMapped) bool {
			return e.pid == s.pid && e.form.carries.kind() == s.form.carries.kind()
		})
		if at < 0 {
			left = append(left, s)
			continue
		}
		d.reform(s, found[at].form)
		kept = append(kept, s)
	}
	d.streams = kept
	for _, e := range found {
		if slices.ContainsFunc(d.streams, func(s *tsStream) bool { return s.pid == e.pid }) {
			continue
		}
		id := trackID{kind: e.form.carries.kind()}
		for id.kind != "" && slices.ContainsFunc(d.streams, func(s *tsStream) bool { return s.id == id }) {
			id.number++
		}
		d.streams = append(d.streams, d.newStream(e.pid, id, e.form))
	}
	for _, s := range left {
		s.damaged = s.damaged || s.open && s.headed // what is held is whole if no packet is open
		if err := d.endStream(s); err != nil {
			return err
		}
		if s.id.kind != "" && !slices.ContainsFunc(d.streams, func(n *tsStream) bool { return n.id == s.id }) {
			d.sink.remove(s.id)
		}
	}
	return nil
}

// reform obeys what the PMT says anew of a stream.
func (d *tsDemuxer) reform(s *tsStream, form tsForm) {
	if s.form == form {
		return
	}
	if s.form.carries != form.carries || s.form.channels != form.channels {
		*s = *d.newStream(s.pid, s.id, form)
		return
	}
	s.form, s.renamed = form, true
}

// unchoose has all programs looked at again, those that were passed over too.
func (d *tsDemuxer) unchoose() {
	d.chosen = 0
	for _, p := range d.programs {
		p.pmt.last = nil
	}
}
