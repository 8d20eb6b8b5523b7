package bitstream

import (
	"bytes"
	"fmt"

	"github.com/oxbow-video/oxbow/internal/media"
)

// OBU types (AV1, 6.2.2).
const (
	av1Sequence    = 1
	av1Delimiter   = 2
	av1FrameHeader = 3
	av1Metadata    = 5
	av1Frame       = 6
	av1TileList    = 8
	av1Padding     = 15
)

// AV1 follows one AV1 stream. The zero value is ready: no configuration yet.
//
// Sequence headers stay in the samples though the configuration has them too: a sync sample must have one before its
// first frame (AV1 Codec ISO Media File Format Binding, 2.4).
type AV1 struct {
	raw        []byte // the last record that came, to know it again
	sequence   []byte // the sequence header that holds: what its OBU carries
	still      bool   // it says reduced_still_picture_header
	configured bool   // a configuration was given
	changed    bool   // the sequence header is no longer that given last
	display    display
}

// SetConfig takes an AV1CodecConfigurationRecord (AV1 Codec ISO Media File Format Binding, 2.3.3). A record without a
// sequence header is of no use yet: it comes with the pictures. Metadata in the record is left out of the one form.
func (s *AV1) SetConfig(record []byte) (config []byte, fault Fault) {
	const header = 4
	if s.raw != nil && bytes.Equal(record, s.raw) {
		return nil, RepeatedConfig
	}
	if len(record) < header || record[0] != 0x81 {
		return nil, BadConfig
	}
	var sequence []byte
	_, err := filterOBUs(record[header:], func(Fault) {}, func(kind byte, body []byte) bool {
		switch {
		case kind == av1Sequence && sequence == nil:
			sequence = body
		case kind == av1Metadata:
			s.display.readOBU(body) // Read tells it
		}
		return true
	})
	head, ok := parseAV1Sequence(sequence)
	if err != nil || !ok {
		return nil, BadConfig
	}
	s.raw = bytes.Clone(record)
	same := s.configured && !s.changed && bytes.Equal(s.sequence, sequence)
	s.sequence, s.still, s.changed, s.configured = bytes.Clone(sequence), head.still, false, true
	if same {
		return nil, RepeatedConfig
	}
	return head.record(sequence), ""
}

// Read reads one temporal unit of low-overhead OBUs (5.2).
func (s *AV1) Read(payload []byte, limit int, repaired func(Fault)) (Unit, error) {
	if len(payload) > limit {
		return Unit{}, fmt.Errorf("%w: temporal unit of %d bytes", media.ErrTooLarge, len(payload))
	}
	var u Unit
	payload, err := filterOBUs(payload, repaired, func(kind byte, body []byte) bool {
		switch kind {
		case av1Sequence:
			s.take(body)
		case av1FrameHeader, av1Frame:
			if !u.Picture && len(body) > 0 {
				u.Picture = true
				u.Sync, u.Recovery = s.key(body[0])
			}
		case av1Metadata:
			s.display.readOBU(body)
		case av1Delimiter, av1TileList, av1Padding:
			return false
		}
		return true
	})
	if err != nil {
		return Unit{}, err
	}
	// A sequence header begins a coded video sequence, which begins with a key frame (7.5).
	if s.changed && u.Picture && (u.Sync || u.Recovery || !s.configured) {
		if head, ok := parseAV1Sequence(s.sequence); ok {
			if s.configured {
				repaired(InBandConfig)
			}
			u.Config = head.record(s.sequence)
		}
		s.changed, s.configured = false, true
	}
	u.Payload, u.Display = payload, s.display.take()
	return u, nil
}

// take notes a sequence header.
func (s *AV1) take(body []byte) {
	if bytes.Equal(body, s.sequence) || len(body) > maxParameterSet {
		return
	}
	if head, ok := parseAV1Sequence(body); ok {
		s.sequence, s.still, s.changed = append(s.sequence[:0], body...), head.still, true
	}
}

// key reads the first bits of a frame header (5.9.2). A key frame that is not shown begins what can be decoded, but the
// pictures shown before it is can't (a delayed random access point, 7.6.3).
func (s *AV1) key(first byte) (sync, recovery bool) {
	const keyFrame = 0
	if s.still {
		return true, false
	}
	if showExisting := first&0x80 != 0; showExisting || first>>5&3 != keyFrame {
		return false, false
	}
	shown := first&0x10 != 0
	return shown, !shown
}

// filterOBUs goes through OBUs and closes the gaps that those leave that keep refuses.
func filterOBUs(payload []byte, repaired func(Fault), keep func(kind byte, body []byte) bool) ([]byte, error) {
	var k kept
	for at := 0; at < len(payload); {
		header, size, ok := obuHeader(payload[at:])
		if !ok {
			repaired(TornUnit)
			break
		}
		body, next := at+header, at+header+size
		if keep(payload[at]>>3&0x0f, payload[body:next]) {
			if !k.take(payload, at, next) {
				return nil, fmt.Errorf("%w: temporal unit of more than %d units", media.ErrTooLarge, MaxUnits)
			}
		}
		at = next
	}
	return payload[k.begin:k.end], nil
}

// obuHeader reads where the body of the OBU at the beginning of b begins and how long it is (5.3.1, 5.3.2). One without
// a size goes to the end. It is false if the OBU is not whole.
func obuHeader(b []byte) (header, size int, ok bool) {
	const forbidden, extension, hasSize = 0x80, 0x04, 0x02
	if b[0]&forbidden != 0 {
		return 0, 0, false
	}
	header = 1
	if b[0]&extension != 0 {
		header++
	}
	if header > len(b) {
		return 0, 0, false
	}
	if b[0]&hasSize == 0 {
		return header, len(b) - header, true
	}
	var v uint64
	for i := 0; ; i++ { // leb128() (4.10.5)
		if i == 8 || header == len(b) {
			return 0, 0, false
		}
		c := b[header]
		header++
		v |= uint64(c&0x7f) << (7 * i)
		if c&0x80 == 0 {
			break
		}
	}
	if v > uint64(len(b)-header) {
		return 0, 0, false
	}
	return header, int(v), true
}
