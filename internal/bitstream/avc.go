package bitstream

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/oxbow-video/oxbow/internal/media"
)

// NAL unit types (H.264, table 7-1).
const (
	avcSlice       = 1
	avcPartitionA  = 2
	avcIDR         = 5
	avcSEI         = 6
	avcSPS         = 7
	avcPPS         = 8
	avcDelimiter   = 9
	avcEndSequence = 10
	avcEndStream   = 11
	avcFiller      = 12
)

// AVC follows one H.264 stream. The zero value is ready: units with 4-byte lengths and no configuration yet.
type AVC struct {
	lengthSize int    // zero is 4
	raw        []byte // the last record that came, to know it again
	sps, pps   []parameterSet
	configured bool // a configuration was given
	changed    bool // the parameter sets are no longer those given last
	scratch    []byte
	sei        sei
}

type parameterSet struct {
	id   uint32
	unit []byte

	refers uint32    // of H.264's PPS: its SPS
	fields avcFields // of H.264's SPS
}

// SetConfig takes an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1). A record without parameter sets is of
// no use yet: they come with the pictures.
func (s *AVC) SetConfig(record []byte) (config []byte, fault Fault) {
	if s.raw != nil && bytes.Equal(record, s.raw) {
		return nil, RepeatedConfig
	}
	sps, pps, ok := parseAVCRecord(record)
	if !ok {
		return nil, BadConfig
	}
	s.raw = bytes.Clone(record)
	s.lengthSize = int(record[4]&3) + 1
	if len(sps) == 0 || len(pps) == 0 {
		return nil, BadConfig
	}
	same := s.configured && !s.changed && equalSets(s.sps, sps) && equalSets(s.pps, pps)
	s.sps, s.pps, s.changed, s.configured = sps, pps, false, true
	if same {
		return nil, RepeatedConfig
	}
	return s.record(), ""
}

func equalSets(a, b []parameterSet) bool {
	return slices.EqualFunc(a, b, func(x, y parameterSet) bool { return x.id == y.id && bytes.Equal(x.unit, y.unit) })
}

func parseAVCRecord(record []byte) (sps, pps []parameterSet, ok bool) {
	if len(record) < 7 || record[0] != 1 {
		return nil, nil, false
	}
	rest := record[5:]
	for _, kind := range []struct {
		nal  byte
		mask byte
		sets *[]parameterSet
	}{{avcSPS, 0x1f, &sps}, {avcPPS, 0xff, &pps}} {
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
			putAVC(kind.sets, rest[:size])
			rest = rest[size:]
		}
	}
	return sps, pps, true
}

// putAVC adds a parameter set, or replaces the one of its id. It says whether that changed anything, and whether the
// set is one that a configuration can hold.
func putAVC(sets *[]parameterSet, unit []byte) (changed, ok bool) {
	unit = bytes.TrimRight(unit, "\x00") // trailing_zero_8bits are no part of it
	id, ok := avcParameterSetID(unit)
	if !ok || len(unit) > maxParameterSet {
		return false, false
	}
	if changed = putSet(sets, id, unit); changed {
		at, _ := searchSet(*sets, id)
		(*sets)[at].describe()
	}
	return changed, true
}

func searchSet(sets []parameterSet, id uint32) (at int, found bool) {
	return slices.BinarySearchFunc(sets, id, func(p parameterSet, id uint32) int { return int(p.id) - int(id) })
}

// putSet adds a parameter set to a list in the order of ids, and says whether that changed anything.
func putSet(sets *[]parameterSet, id uint32, unit []byte) (changed bool) {
	at, found := searchSet(*sets, id)
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

// Read reads one access unit of NAL units behind lengths of the configuration's size.
func (s *AVC) Read(payload []byte, limit int, repaired func(Fault)) (Unit, error) {
	payload, err := fourByteLengths(&s.scratch, payload, s.lengthSize, limit)
	if err != nil {
		return Unit{}, err
	}
	var u Unit
	s.sei.captions = s.sei.captions[:0]
	foreign := false // parameter sets that the configuration lacks are kept
	payload, err = filter(payload, repaired, func(unit []byte) bool {
		switch kind := unit[0] & 0x1f; {
		case kind >= avcSlice && kind <= avcIDR:
			s.addField(&u, unit)
			u.Sync, u.Picture = u.Sync || kind == avcIDR, true
		case kind == avcSEI:
			u.Recovery = s.sei.read(unit[1:]) || u.Recovery
		case kind == avcSPS || kind == avcPPS:
			sets := &s.sps
			if kind == avcPPS {
				sets = &s.pps
			}
			changed, ok := putAVC(sets, unit)
			s.changed = s.changed || changed
			foreign = foreign || s.changed && ok
			return s.changed && ok
		case kind == avcDelimiter, kind == avcEndSequence, kind == avcEndStream, kind == avcFiller:
			return false
		}
		return true
	})
	if err != nil {
		return Unit{}, err
	}
	// By the standard a new SPS holds from an IDR picture on. A stream that never had any must begin somehow.
	if s.changed && u.Picture && (u.Sync || !s.configured) && len(s.sps) > 0 && len(s.pps) > 0 {
		if s.configured {
			repaired(InBandConfig)
		}
		u.Config = s.record()
		s.changed, s.configured = false, true
		if foreign {
			payload, _ = filter(payload, repaired, func(unit []byte) bool {
				return unit[0]&0x1f != avcSPS && unit[0]&0x1f != avcPPS
			})
		}
	}
	u.Payload, u.Captions, u.Display = payload, s.sei.take(), s.sei.display.take()
	return u, nil
}

// filter goes through NAL units behind 4-byte lengths and closes the gaps that those leave that keep refuses.
func filter(payload []byte, repaired func(Fault), keep func(unit []byte) bool) ([]byte, error) {
	var k kept
	for at := 0; at < len(payload); {
		if len(payload)-at < 4 {
			repaired(TornUnit)
			break
		}
		size := int64(binary.BigEndian.Uint32(payload[at:]))
		if size > int64(len(payload)-at-4) {
			repaired(TornUnit)
			break
		}
		next := at + 4 + int(size)
		switch {
		case size == 0:
			repaired(EmptyUnit)
		case keep(payload[at+4 : next]):
			if !k.take(payload, at, next) {
				return nil, fmt.Errorf("%w: access unit of more than %d units", media.ErrTooLarge, MaxUnits)
			}
		}
		at = next
	}
	return payload[k.begin:k.end], nil
}

// kept is what a filter keeps of a payload, moved together in place.
type kept struct{ begin, end, count int }

// take adds the unit that lies from at to next. It is false for one more than MaxUnits.
func (k *kept) take(payload []byte, at, next int) bool {
	if k.count++; k.count > MaxUnits {
		return false
	}
	if k.begin == k.end { // nothing is kept yet: no need to move
		k.begin, k.end = at, at
	}
	if k.end != at {
		copy(payload[k.end:], payload[at:next])
	}
	k.end += next - at
	return true
}

// fourByteLengths gives a payload of NAL units behind lengths of size bytes, zero is 4, with 4-byte lengths: as it is,
// or in the scratch buffer.
func fourByteLengths(scratch *[]byte, payload []byte, size, limit int) ([]byte, error) {
	if len(payload) > limit {
		return nil, fmt.Errorf("%w: access unit of %d bytes", media.ErrTooLarge, len(payload))
	}
	if size == 4 || size == 0 {
		return payload, nil
	}
	var err error
	*scratch, err = widen((*scratch)[:0], payload, size, limit)
	return *scratch, err
}

// widen makes lengths of 1, 2 or 3 bytes into 4. A torn end keeps its wrong length and so is found later.
func widen(dst, payload []byte, narrow, limit int) ([]byte, error) {
	for rest := payload; len(rest) >= narrow; {
		size := 0
		for _, b := range rest[:narrow] {
			size = size<<8 | int(b)
		}
		rest = rest[narrow:]
		n := min(size, len(rest))
		if len(dst)+4+n > limit {
			return dst, fmt.Errorf("%w: access unit of more than %d bytes", media.ErrTooLarge, limit)
		}
		if size == 0 {
			continue
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(size))
		dst = append(dst, rest[:n]...)
		rest = rest[n:]
	}
	return dst, nil
}

// record makes an AVCDecoderConfigurationRecord of the parameter sets.
func (s *AVC) record() []byte {
	first := s.sps[0].unit
	record := []byte{1, first[1], first[2], first[3], 0xff}
	sps, pps := s.sps[:min(len(s.sps), 31)], s.pps[:min(len(s.pps), 255)]
	record = append(record, 0xe0|byte(len(sps)))
	record = appendSets(record, sps)
	record = append(record, byte(len(pps)))
	record = appendSets(record, pps)
	if chroma, luma, chromaDepth, ok := avcHighProfile(first); ok {
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
