package bitstream

import "bytes"

// NAL unit types (H.265, table 7-1).
const (
	hevcRASLN       = 8
	hevcRASLR       = 9
	hevcFirstIRAP   = 16 // BLA, IDR, CRA
	hevcLastIRAP    = 23
	hevcLastSlice   = 31
	hevcVPS         = 32
	hevcSPS         = 33
	hevcPPS         = 34
	hevcDelimiter   = 35
	hevcEndSequence = 36
	hevcEndStream   = 37
	hevcFiller      = 38
	hevcPrefixSEI   = 39
)

// HEVC follows one H.265 stream. The zero value is ready: units with 4-byte lengths and no configuration yet.
type HEVC struct {
	lengthSize int                              // zero is 4
	raw        []byte                           // the last record that came, to know it again
	sets       [hevcPPS - hevcVPS + 1]paramSets // by type
	configured bool                             // a configuration was given
	changed    bool                             // the parameter sets are no longer those given last
	scratch    []byte
	sei        sei
}

type paramSets = []parameterSet

// SetConfig takes an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1). A record without parameter sets is of
// no use yet: they come with the pictures. What SEI it has is left out of the one form: it is no part of what a decoder
// must have.
func (s *HEVC) SetConfig(record []byte) (config []byte, fault Fault) {
	if s.raw != nil && bytes.Equal(record, s.raw) {
		return nil, RepeatedConfig
	}
	sets, ok := parseHEVCRecord(record)
	if !ok {
		return nil, BadConfig
	}
	s.raw = bytes.Clone(record)
	s.lengthSize = int(record[21]&3) + 1
	eachHEVCUnit(record, func(unit []byte) {
		if hevcType(unit) == hevcPrefixSEI {
			s.sei.read(unit[2:]) // some encoders say the light of HDR here alone; Read tells it
		}
	})
	same := s.configured && !s.changed
	for i := range sets {
		if len(sets[i]) == 0 {
			return nil, BadConfig
		}
		same = same && equalSets(sets[i], s.sets[i])
	}
	s.sets, s.changed, s.configured = sets, false, true
	if same {
		return nil, RepeatedConfig
	}
	return s.record(), ""
}

// put adds a parameter set, or replaces the one of its id. It says whether that changed anything, and whether the set
// is one that a configuration can hold.
func (s *HEVC) put(unit []byte) (changed, ok bool) {
	unit = bytes.TrimRight(unit, "\x00") // trailing_zero_8bits are no part of it
	id, ok := hevcParameterSetID(unit)
	if !ok || len(unit) > maxParameterSet {
		return false, false
	}
	return putSet(&s.sets[hevcType(unit)-hevcVPS], id, unit), true
}

func hevcType(unit []byte) byte { return unit[0] >> 1 & 0x3f }

func hevcIsSet(kind byte) bool { return kind >= hevcVPS && kind <= hevcPPS }

// Read reads one access unit of NAL units behind lengths of the configuration's size. Layers over the first are left
// out: no player asked for them.
func (s *HEVC) Read(payload []byte, limit int, repaired func(Fault)) (Unit, error) {
	payload, err := fourByteLengths(&s.scratch, payload, s.lengthSize, limit)
	if err != nil {
		return Unit{}, err
	}
	var u Unit
	s.sei.captions = s.sei.captions[:0]
	foreign := false // parameter sets that the configuration lacks are kept
	payload, err = filter(payload, repaired, func(unit []byte) bool {
		if len(unit) < 2 {
			repaired(EmptyUnit)
			return false
		}
		if layer := unit[0]&1<<5 | unit[1]>>3; layer > 0 {
			return false
		}
		switch kind := hevcType(unit); {
		case kind <= hevcLastSlice:
			u.Picture = true
			u.Sync = u.Sync || kind >= hevcFirstIRAP && kind <= hevcLastIRAP
			u.Leading = u.Leading || kind == hevcRASLN || kind == hevcRASLR
		case kind == hevcPrefixSEI:
			u.Recovery = s.sei.read(unit[2:]) || u.Recovery
		case hevcIsSet(kind):
			changed, ok := s.put(unit)
			s.changed = s.changed || changed
			foreign = foreign || s.changed && ok
			return s.changed && ok
		case kind >= hevcDelimiter && kind <= hevcFiller:
			return false
		}
		return true
	})
	if err != nil {
		return Unit{}, err
	}
	// New parameter sets hold from a random access point on. A stream that never had any must begin somehow.
	if s.changed && u.Picture && (u.Sync || !s.configured) && s.complete() {
		if s.configured {
			repaired(InBandConfig)
		}
		u.Config = s.record()
		s.changed, s.configured = false, true
		if foreign {
			payload, _ = filter(payload, repaired, func(unit []byte) bool { return !hevcIsSet(hevcType(unit)) })
		}
	}
	u.Payload, u.Captions, u.Display = payload, s.sei.take(), s.sei.display.take()
	return u, nil
}

func (s *HEVC) complete() bool {
	for _, sets := range s.sets {
		if len(sets) == 0 {
			return false
		}
	}
	return true
}
