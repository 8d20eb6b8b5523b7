package packager

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"github.com/oxbow-video/oxbow/internal/media"
)

// NAL unit types (ITU-T H.264, table 7-1).
const (
	nalSlice      = 1
	nalIDR        = 5
	nalSEI        = 6
	nalSPS        = 7
	nalPPS        = 8
	nalAUD        = 9
	nalEndSeq     = 10
	nalEndStream  = 11
	nalFiller     = 12
	recoveryPoint = 6 // SEI payload type
)

// Limits of one access unit.
const (
	maxNALUnits   = 500
	maxAccessUnit = 16 << 20
	// maxParameterSets and maxParameterSet bound what an init section carries.
	maxParameterSets = 31
	maxParameterSet  = 4 << 10
)

// parameterSets are those of an init section, in order.
type parameterSets struct {
	sps, pps [][]byte
}

func (s parameterSets) has(nal []byte) bool {
	list := s.sps
	if nal[0]&31 == nalPPS {
		list = s.pps
	}
	return slices.ContainsFunc(list, func(b []byte) bool { return bytes.Equal(b, nal) })
}

func (s parameterSets) equal(o parameterSets) bool {
	return slices.EqualFunc(s.sps, o.sps, bytes.Equal) && slices.EqualFunc(s.pps, o.pps, bytes.Equal)
}

// parseAVCConfig reads an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1).
func parseAVCConfig(b []byte) (parameterSets, error) {
	bad := func(what string) (parameterSets, error) {
		return parameterSets{}, fmt.Errorf("%w: avcC: %s", media.ErrInvalid, what)
	}
	if len(b) < 7 || b[0] != 1 {
		return bad("too short, or not version 1")
	}
	var sets parameterSets
	rest := b[6:]
	read := func(count int, kind byte) ([][]byte, bool) {
		var list [][]byte
		for range count {
			if len(rest) < 2 {
				return nil, false
			}
			size := int(binary.BigEndian.Uint16(rest))
			rest = rest[2:]
			if size > len(rest) || size > maxParameterSet {
				return nil, false
			}
			if size >= 4 || (kind == nalPPS && size >= 2) {
				if rest[0]&31 != kind {
					return nil, false
				}
				list = append(list, bytes.Clone(rest[:size]))
			}
			rest = rest[size:]
		}
		return list, true
	}
	var ok bool
	if sets.sps, ok = read(int(b[5]&31), nalSPS); !ok || len(sets.sps) == 0 {
		return bad("no sequence parameter set")
	}
	if len(rest) == 0 {
		return bad("no picture parameter set")
	}
	count := int(rest[0])
	rest = rest[1:]
	if count > maxParameterSets {
		return bad("too many picture parameter sets")
	}
	if sets.pps, ok = read(count, nalPPS); !ok || len(sets.pps) == 0 {
		return bad("no picture parameter set")
	}
	return sets, nil
}

// appendAVCConfig writes an AVCDecoderConfigurationRecord for 4-byte lengths.
func appendAVCConfig(b []byte, sets parameterSets, sps *h264.SPS) []byte {
	b = append(b, 1, sets.sps[0][1], sets.sps[0][2], sets.sps[0][3], 0xfc|3, 0xe0|byte(len(sets.sps)))
	for _, s := range sets.sps {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	b = append(b, byte(len(sets.pps)))
	for _, s := range sets.pps {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	switch sets.sps[0][1] {
	case 100, 110, 122, 144, 244:
		b = append(b, 0xfc|byte(sps.ChromaFormatIdc), 0xf8|byte(sps.BitDepthLumaMinus8))
		b = append(b, 0xf8|byte(sps.BitDepthChromaMinus8), 0)
	}
	return b
}

// accessUnit is what a look at a frame's NAL units found.
type accessUnit struct {
	vcl      bool // it has a picture
	idr      bool
	recovery bool // a recovery point SEI: intra refresh begins here
	foreign  bool // it carries a parameter set that the init section lacks
}

// inspect looks at the NAL units of a frame, each behind a 4-byte length. The error is an ErrInvalid for a length past
// the end, an ErrTooLarge past the limits.
func inspect(payload []byte, sets parameterSets) (accessUnit, error) {
	var au accessUnit
	if len(payload) > maxAccessUnit {
		return au, fmt.Errorf("access unit of %d bytes: %w", len(payload), media.ErrTooLarge)
	}
	count := 0
	for rest := payload; len(rest) > 0; {
		nal, next, ok := nextNAL(rest)
		if !ok {
			return au, fmt.Errorf("%w: NAL unit length past the frame's end", media.ErrInvalid)
		}
		rest = next
		if len(nal) == 0 {
			continue
		}
		if count++; count > maxNALUnits {
			return au, fmt.Errorf("access unit of more than %d NAL units: %w", maxNALUnits, media.ErrTooLarge)
		}
		switch kind := nal[0] & 31; {
		case kind >= nalSlice && kind <= nalIDR:
			au.vcl = true
			au.idr = au.idr || kind == nalIDR
		case kind == nalSEI:
			au.recovery = au.recovery || hasRecoveryPoint(nal[1:])
		case kind == nalSPS || kind == nalPPS:
			au.foreign = au.foreign || !sets.has(nal)
		}
	}
	return au, nil
}

func nextNAL(b []byte) (nal, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	size := binary.BigEndian.Uint32(b)
	if uint64(size) > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+size], b[4+size:], true
}

// hasRecoveryPoint looks for the payload type in an SEI message list (7.3.2.3.1). Emulation prevention can only
// lengthen payloads that come before, which at worst hides a recovery point.
func hasRecoveryPoint(b []byte) bool {
	for len(b) > 2 {
		kind, size := 0, 0
		for len(b) > 0 && b[0] == 0xff {
			kind, b = kind+255, b[1:]
		}
		if len(b) == 0 {
			return false
		}
		kind, b = kind+int(b[0]), b[1:]
		for len(b) > 0 && b[0] == 0xff {
			size, b = size+255, b[1:]
		}
		if len(b) == 0 {
			return false
		}
		size, b = size+int(b[0]), b[1:]
		if kind == recoveryPoint {
			return true
		}
		if size > len(b) {
			return false
		}
		b = b[size:]
	}
	return false
}

// appendSample appends the NAL units that belong into a sample: no delimiters, no filler, no parameter set that the
// init section has (CMF-14). A foreign one stays: a decoder needs it until the next take's init section has it.
func appendSample(dst, payload []byte, sets parameterSets) []byte {
	for rest := payload; len(rest) > 0; {
		nal, next, ok := nextNAL(rest)
		if !ok {
			break // inspect refused such a frame
		}
		rest = next
		if len(nal) == 0 {
			continue
		}
		switch kind := nal[0] & 31; {
		case kind == nalAUD, kind == nalEndSeq, kind == nalEndStream, kind == nalFiller:
			continue
		case (kind == nalSPS || kind == nalPPS) && sets.has(nal):
			continue
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(nal)))
		dst = append(dst, nal...)
	}
	return dst
}

// merge gives the sets with those of a frame over them: if the frame carries any SPS, the frame's are all there are,
// and likewise for PPS. ok is false if the result could not stand in an init section.
func (s parameterSets) merge(payload []byte) (merged parameterSets, ok bool) {
	var in parameterSets
	for rest := payload; len(rest) > 0; {
		nal, next, good := nextNAL(rest)
		if !good {
			break
		}
		rest = next
		if len(nal) < 2 || len(nal) > maxParameterSet {
			continue
		}
		switch nal[0] & 31 {
		case nalSPS:
			in.sps = appendUnique(in.sps, nal)
		case nalPPS:
			in.pps = appendUnique(in.pps, nal)
		}
	}
	if len(in.sps) == 0 {
		in.sps = s.sps
	}
	if len(in.pps) == 0 {
		in.pps = s.pps
	}
	ok = len(in.sps) > 0 && len(in.pps) > 0 && len(in.sps) <= maxParameterSets && len(in.pps) <= maxParameterSets &&
		len(in.sps[0]) >= 4
	return in, ok
}

func appendUnique(list [][]byte, nal []byte) [][]byte {
	if slices.ContainsFunc(list, func(b []byte) bool { return bytes.Equal(b, nal) }) {
		return list
	}
	return append(list, bytes.Clone(nal))
}
