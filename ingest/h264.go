package ingest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/oxbow-video/oxbow/internal/media"
)

// NAL unit types (H.264, table 7-1).
const (
	nalSlice = 1
	nalIDR   = 5
	nalSPS   = 7
	nalPPS   = 8
)

// maxParameterSet bounds one SPS or PPS in bytes; those of real encoders have some 10 to 200.
const maxParameterSet = 4096

// avcStream follows one H.264 stream: its decoder configuration, as records and as parameter sets between the pictures,
// and its access units. What it gives has NAL units behind 4-byte lengths, whatever the wire's length size is.
type avcStream struct {
	lengthSize int
	raw        []byte // the last record that came, to know it again
	sps, pps   []parameterSet
	configured bool // a configuration was given
	changed    bool // the parameter sets are no longer those given last
	scratch    []byte
}

type parameterSet struct {
	id   uint32
	unit []byte
}

// accessUnit is what one access unit turned out to be.
type accessUnit struct {
	payload []byte // may be the input, repaired in place
	idr     bool
	picture bool
	config  []byte // a new AVCDecoderConfigurationRecord that holds from this unit on
}

// setRecord takes an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) and gives it back, with its length size
// made 4, if it says something new; else it gives the kind of repair. A record without parameter sets is of no use yet:
// they come with the pictures.
func (s *avcStream) setRecord(record []byte) (config []byte, repair string) {
	if s.raw != nil && bytes.Equal(record, s.raw) {
		return nil, repairRepeatedConfig
	}
	if s.lengthSize == 0 {
		s.lengthSize = 4 // for a stream whose record is torn and whose parameter sets come with the pictures
	}
	sps, pps, ok := parseRecord(record)
	if !ok {
		return nil, repairBadConfig
	}
	s.raw = bytes.Clone(record)
	s.lengthSize = int(record[4]&3) + 1
	if len(sps) == 0 || len(pps) == 0 {
		return nil, repairBadConfig
	}
	s.sps, s.pps, s.changed, s.configured = sps, pps, false, true
	config = bytes.Clone(record)
	config[4] |= 3
	return config, ""
}

func parseRecord(record []byte) (sps, pps []parameterSet, ok bool) {
	if len(record) < 7 || record[0] != 1 {
		return nil, nil, false
	}
	rest := record[5:]
	for _, kind := range []struct {
		nal  byte
		mask byte
		sets *[]parameterSet
	}{{nalSPS, 0x1f, &sps}, {nalPPS, 0xff, &pps}} {
		if len(rest) < 1 {
			return nil, nil, false
		}
		count := int(rest[0] & kind.mask)
		rest = rest[1:]
		for range count {
			if len(rest) < 2 {
				return nil, nil, false
			}
			size := int(binary.BigEndian.Uint16(rest))
			if rest = rest[2:]; size == 0 || len(rest) < size || rest[0]&0x1f != kind.nal {
				return nil, nil, false
			}
			put(kind.sets, rest[:size])
			rest = rest[size:]
		}
	}
	return sps, pps, true
}

// put adds a parameter set, or replaces the one of its id, and says whether that changed anything.
func put(sets *[]parameterSet, unit []byte) bool {
	unit = bytes.TrimRight(unit, "\x00") // trailing_zero_8bits are no part of it
	id, ok := parameterSetID(unit)
	if !ok || len(unit) > maxParameterSet {
		return false
	}
	at, found := slices.BinarySearchFunc(*sets, id, func(p parameterSet, id uint32) int { return int(p.id) - int(id) })
	if found {
		if bytes.Equal((*sets)[at].unit, unit) {
			return false
		}
		(*sets)[at].unit = bytes.Clone(unit)
		return true
	}
	*sets = slices.Insert(*sets, at, parameterSet{id: id, unit: bytes.Clone(unit)})
	return true
}

// accessUnit reads one access unit of the wire. repaired is told of every fault that was passed over.
func (s *avcStream) accessUnit(payload []byte, limit int, repaired func(string)) (accessUnit, error) {
	if s.lengthSize != 4 {
		var err error
		if payload, err = s.widen(payload, limit); err != nil {
			return accessUnit{}, err
		}
	}
	var u accessUnit
	end := 0 // of what is kept
	for at := 0; at < len(payload); {
		if len(payload)-at < 4 {
			repaired(repairTornUnit)
			break
		}
		size := int64(binary.BigEndian.Uint32(payload[at:]))
		if size > int64(len(payload)-at-4) {
			repaired(repairTornUnit)
			break
		}
		next := at + 4 + int(size)
		if size == 0 {
			repaired(repairEmptyUnit)
			at = next
			continue
		}
		s.look(payload[at+4:next], &u)
		if end != at {
			copy(payload[end:], payload[at:next])
		}
		end += next - at
		at = next
	}
	u.payload = payload[:end]
	// By the standard a new SPS holds from an IDR picture on. A stream that never had any must begin somehow.
	if s.changed && u.picture && (u.idr || !s.configured) && len(s.sps) > 0 && len(s.pps) > 0 {
		u.config = s.record()
		s.changed, s.configured = false, true
	}
	return u, nil
}

// look notes what a NAL unit means for its access unit.
func (s *avcStream) look(unit []byte, u *accessUnit) {
	switch kind := unit[0] & 0x1f; {
	case kind == nalIDR:
		u.idr, u.picture = true, true
	case kind >= nalSlice && kind < nalIDR:
		u.picture = true
	case kind == nalSPS:
		s.changed = put(&s.sps, unit) || s.changed
	case kind == nalPPS:
		s.changed = put(&s.pps, unit) || s.changed
	}
}

// widen makes lengths of 1, 2 or 3 bytes into 4. A torn end keeps its wrong length and so is found later.
func (s *avcStream) widen(payload []byte, limit int) ([]byte, error) {
	narrow := max(s.lengthSize, 1)
	s.scratch = s.scratch[:0]
	for rest := payload; len(rest) >= narrow; {
		size := 0
		for _, b := range rest[:narrow] {
			size = size<<8 | int(b)
		}
		rest = rest[narrow:]
		n := min(size, len(rest))
		if len(s.scratch)+4+n > limit {
			return nil, fmt.Errorf("%w: access unit of more than %d bytes", media.ErrTooLarge, limit)
		}
		if size == 0 {
			continue
		}
		s.scratch = binary.BigEndian.AppendUint32(s.scratch, uint32(size))
		s.scratch = append(s.scratch, rest[:n]...)
		rest = rest[n:]
	}
	return s.scratch, nil
}

// record makes an AVCDecoderConfigurationRecord of the parameter sets.
func (s *avcStream) record() []byte {
	first := s.sps[0].unit
	record := []byte{1, first[1], first[2], first[3], 0xff}
	sps, pps := s.sps[:min(len(s.sps), 31)], s.pps[:min(len(s.pps), 255)]
	record = append(record, 0xe0|byte(len(sps)))
	record = appendSets(record, sps)
	record = append(record, byte(len(pps)))
	record = appendSets(record, pps)
	if chroma, luma, chromaDepth, ok := highProfile(first); ok {
		record = append(record, 0xfc|chroma, 0xf8|luma, 0xf8|chromaDepth, 0)
	}
	return record
}

func appendSets(dst []byte, sets []parameterSet) []byte {
	for _, p := range sets {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.unit)))
		dst = append(dst, p.unit...)
	}
	return dst
}
