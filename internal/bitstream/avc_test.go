package bitstream

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Parameter sets of x264.
var (
	testSPS = []byte{0x67, 0x42, 0xc0, 0x0a, 0xda, 0x0f, 0x0a, 0x68, 0x40, 0x00, 0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x0c, 0x83, 0xc4, 0x8a, 0x80}
	testPPS = []byte{0x68, 0xce, 0x0f, 0xc8}
)

func unitsOf(units ...[]byte) []byte {
	var b []byte
	for _, u := range units {
		b = binary.BigEndian.AppendUint32(b, uint32(len(u)))
		b = append(b, u...)
	}
	return b
}

func recordOf(sps, pps []byte) []byte {
	b := []byte{1, sps[1], sps[2], sps[3], 0xff, 0xe1, 0, byte(len(sps))}
	b = append(b, sps...)
	b = append(b, 1, 0, byte(len(pps)))
	return append(b, pps...)
}

func idr(n byte) []byte   { return []byte{0x65, 0x88, n} }
func slice(n byte) []byte { return []byte{0x41, 0x9a, n} }

// A record made of parameter sets says what a muxer's would.
func TestAVCRecordOfParameterSets(t *testing.T) {
	high := []byte{0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60}
	for _, tt := range []struct {
		name     string
		sps, pps []byte
		want     []byte
	}{
		{"baseline", testSPS, testPPS, recordOf(testSPS, testPPS)},
		{"high", high, testPPS, append(recordOf(high, testPPS), 0xfd, 0xf8, 0xf8, 0)},
	} {
		var s AVC
		s.SetConfig([]byte{1, 0, 0, 0, 0xff, 0xe0, 0})
		u, err := s.Read(unitsOf(tt.sps, tt.pps, idr(1)), 1<<20, func(Fault) {})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, u.Config); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		// And it is read as it was written.
		if sps, pps, ok := parseAVCRecord(u.Config); !ok || len(sps) != 1 || len(pps) != 1 {
			t.Errorf("%s: not read back", tt.name)
		}
		if diff := cmp.Diff(unitsOf(idr(1)), u.Payload); diff != "" {
			t.Errorf("%s: sample: %s", tt.name, diff)
		}
	}
}

// What a sample keeps of an access unit, and what is said of it.
func TestAVCSample(t *testing.T) {
	delimiter, filler := []byte{9, 0xf0}, []byte{12, 0xff}
	recovery := []byte{6, 6, 1, 0x84, 0x80}
	other := append([]byte{}, testSPS...)
	other[3] = 0x0b
	for _, tt := range []struct {
		name   string
		in     []byte
		out    []byte
		sync   bool
		rec    bool
		config []byte
		fault  Fault
	}{
		{"delimiter and filler go", unitsOf(delimiter, idr(1), filler, idr(2)), unitsOf(idr(1), idr(2)), true, false, nil, ""},
		{"known sets go", unitsOf(testSPS, testPPS, slice(1)), unitsOf(slice(1)), false, false, nil, ""},
		{"new sets before an IDR become a configuration", unitsOf(other, testPPS, idr(1)), unitsOf(idr(1)), true, false, recordOf(other, testPPS), InBandConfig},
		{"and elsewhere stay", unitsOf(other, slice(1)), unitsOf(other, slice(1)), false, false, nil, ""},
		{"intra refresh", unitsOf(recovery, slice(1)), unitsOf(recovery, slice(1)), false, true, nil, ""},
		{"empty", unitsOf(nil, slice(1)), unitsOf(slice(1)), false, false, nil, EmptyUnit},
		{"torn", append(unitsOf(slice(1)), 0, 0, 0, 9, 1), unitsOf(slice(1)), false, false, nil, TornUnit},
	} {
		var s AVC
		if config, fault := s.SetConfig(recordOf(testSPS, testPPS)); config == nil {
			t.Fatal(fault)
		}
		var fault Fault
		u, err := s.Read(tt.in, 1<<20, func(f Fault) { fault = f })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.out, u.Payload); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		if diff := cmp.Diff(tt.config, u.Config); diff != "" {
			t.Errorf("%s: configuration: %s", tt.name, diff)
		}
		if u.Sync != tt.sync || u.Recovery != tt.rec || fault != tt.fault {
			t.Errorf("%s: sync %v, recovery %v, fault %q", tt.name, u.Sync, u.Recovery, fault)
		}
	}
}
