package ingest

import (
	"bytes"
	"encoding/binary"
)

// tsMux writes small streams by hand.
type tsMux struct {
	out      []byte
	counters map[int]byte
}

func (m *tsMux) packets(pid int, start bool, payload []byte) {
	if m.counters == nil {
		m.counters = map[int]byte{}
	}
	for first := true; first || len(payload) > 0; first = false {
		p := []byte{tsSync, byte(pid >> 8), byte(pid), 0x10 | m.counters[pid]&0x0f}
		if first && start {
			p[1] |= 0x40
		}
		m.counters[pid]++
		if room := tsPacket - 4; len(payload) < room {
			p[3] |= 0x20
			stuffing := room - len(payload) - 1
			p = append(p, byte(stuffing))
			if stuffing > 0 {
				p = append(p, 0)
				p = append(p, bytes.Repeat([]byte{0xff}, stuffing-1)...)
			}
		}
		n := min(tsPacket-len(p), len(payload))
		p = append(p, payload[:n]...)
		payload = payload[n:]
		m.out = append(m.out, p...)
	}
}

func (m *tsMux) section(pid int, table byte, id int, version byte, body []byte) {
	size := 5 + len(body) + 4
	s := []byte{table, 0xb0 | byte(size>>8), byte(size), byte(id >> 8), byte(id), 0xc1 | version<<1, 0, 0}
	s = append(s, body...)
	s = binary.BigEndian.AppendUint32(s, crcMPEG(s))
	m.packets(pid, true, append([]byte{0}, s...))
}

func (m *tsMux) pat(pids ...int) {
	var body []byte
	for i, pid := range pids {
		body = append(body, 0, byte(i+1), 0xe0|byte(pid>>8), byte(pid))
	}
	m.section(tsPIDPAT, tableIDPAT, 1, 0, body)
}

// pmt writes a PMT of pairs of stream type and PID.
func (m *tsMux) pmt(pid, program int, version byte, streams ...int) {
	var list []tsMuxed
	for i := 0; i < len(streams); i += 2 {
		list = append(list, tsMuxed{kind: byte(streams[i]), pid: streams[i+1]})
	}
	m.pmtOf(pid, program, version, list...)
}

// tsMuxed is an entry of a PMT.
type tsMuxed struct {
	kind        byte
	pid         int
	descriptors []byte
}

func (m *tsMux) pmtOf(pid, program int, version byte, streams ...tsMuxed) {
	body := []byte{0xff, 0xff, 0xf0, 0}
	for _, s := range streams {
		body = append(body, s.kind, 0xe0|byte(s.pid>>8), byte(s.pid), 0xf0|byte(len(s.descriptors)>>8), byte(len(s.descriptors)))
		body = append(body, s.descriptors...)
	}
	m.section(pid, tableIDPMT, program, version, body)
}

// descriptor writes a descriptor of bytes.
func descriptor(tag byte, body string) []byte { return append([]byte{tag, byte(len(body))}, body...) }

// pes writes a PES packet whose length is left open.
func (m *tsMux) pes(pid int, pts, dts int64, data []byte) {
	p := []byte{0, 0, 1, 0xe0, 0, 0, 0x80, 0xc0, 10}
	p = append(append(p, stamp33(3, pts)...), stamp33(1, dts)...)
	m.packets(pid, true, append(p, data...))
}

// sized writes a PES packet that says its length; with a negative time it has none.
func (m *tsMux) sized(pid int, pts int64, data []byte) {
	p := []byte{0, 0, 1, 0xbd, 0, 0, 0x80, 0, 0}
	if pts >= 0 {
		p[7], p[8] = 0x80, 5
		p = append(p, stamp33(2, pts)...)
	}
	p = append(p, data...)
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-6))
	m.packets(pid, true, p)
}

func stamp33(mark byte, t int64) []byte {
	return []byte{mark<<4 | byte(t>>29)&0x0e | 1, byte(t >> 22), byte(t>>14) | 1, byte(t >> 7), byte(t<<1) | 1}
}

func annexB(units ...[]byte) (stream []byte) {
	for _, u := range units {
		stream = append(append(stream, 0, 0, 0, 1), u...)
	}
	return stream
}

func adts(unit []byte) []byte {
	size := len(unit) + 7
	return append([]byte{0xff, 0xf1, 0x4c, 0x80 | byte(size>>11), byte(size >> 3), byte(size<<5) | 0x1f, 0xfc}, unit...)
}
