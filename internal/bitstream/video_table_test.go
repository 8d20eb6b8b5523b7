package bitstream

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// hevcConfig is the configuration that x265's stream makes.
func hevcConfig(t *testing.T) []byte {
	t.Helper()
	var s HEVC
	u, err := s.Read(bytes.Clone(accessUnits(t, media.HEVC, testdata(t, "hevc.hevc"))[0]), 1<<20, func(Fault) {})
	if err != nil || u.Config == nil {
		t.Fatal(err)
	}
	return u.Config
}

// What a sample keeps of an access unit, and what is said of it.
func TestHEVCSample(t *testing.T) {
	nal := func(kind byte, body ...byte) []byte { return append([]byte{kind << 1, 1}, body...) }
	config := hevcConfig(t)
	known, _ := parseHEVCRecord(config)
	trail, idr, cra, bla, radl, rasl := nal(1, 0x80), nal(19, 0x80), nal(21, 0x80), nal(16, 0x80), nal(7, 0x80), nal(9, 0x80)
	recovery := nal(39, 6, 1, 0x84, 0x80)
	layer := []byte{1 << 1, 1<<3 | 1, 0x80}
	for _, tt := range []struct {
		name    string
		in, out []byte
		want    Unit
		fault   Fault
	}{
		{"delimiter, end and filler go", unitsOf(nal(35, 0x50), idr, nal(36), nal(37), nal(38, 0xff)), unitsOf(idr), Unit{Picture: true, Sync: true}, ""},
		{"known sets go", unitsOf(known[0][0].unit, known[1][0].unit, known[2][0].unit, cra), unitsOf(cra), Unit{Picture: true, Sync: true}, ""},
		{"with zeros behind", unitsOf(append(bytes.Clone(known[2][0].unit), 0, 0), bla), unitsOf(bla), Unit{Picture: true, Sync: true}, ""},
		{"trailing", unitsOf(trail), unitsOf(trail), Unit{Picture: true}, ""},
		{"leading that can be decoded", unitsOf(radl), unitsOf(radl), Unit{Picture: true}, ""},
		{"leading", unitsOf(rasl), unitsOf(rasl), Unit{Picture: true, Leading: true}, ""},
		{"recovery point", unitsOf(recovery, trail), unitsOf(recovery, trail), Unit{Picture: true, Recovery: true}, ""},
		{"a second layer goes", unitsOf(trail, layer), unitsOf(trail), Unit{Picture: true}, ""},
		{"sets that are none go", unitsOf(nal(33, 1), nal(34), trail), unitsOf(trail), Unit{Picture: true}, ""},
		{"half a header", unitsOf([]byte{2}, trail), unitsOf(trail), Unit{Picture: true}, EmptyUnit},
		{"torn", append(unitsOf(trail), 0, 0, 1), unitsOf(trail), Unit{Picture: true}, TornUnit},
		{"no picture", unitsOf(nal(35, 0x50)), nil, Unit{}, ""},
	} {
		for _, narrow := range []bool{false, true} {
			var s HEVC
			record, in := bytes.Clone(config), bytes.Clone(tt.in)
			if narrow && tt.fault != "" {
				continue
			}
			if narrow { // lengths of two bytes
				record[21] &^= 2
				in = nil
				_, _ = filter(bytes.Clone(tt.in), func(Fault) {}, func(unit []byte) bool {
					in = append(append(in, 0, byte(len(unit))), unit...)
					return true
				})
			}
			if got, fault := s.SetConfig(record); !bytes.Equal(got, config) {
				t.Fatalf("%x, %q", got, fault)
			}
			var fault Fault
			u, err := s.Read(in, 1<<20, func(f Fault) { fault = f })
			if err != nil || !bytes.Equal(u.Payload, tt.out) || fault != tt.fault {
				t.Errorf("%s: %x, want %x; fault %q; %v", tt.name, u.Payload, tt.out, fault, err)
			}
			if u.Payload = nil; !cmp.Equal(tt.want, u) {
				t.Errorf("%s: %s", tt.name, cmp.Diff(tt.want, u))
			}
		}
	}
}

// Records that can't be used are passed over, and what comes with the pictures is.
func TestBadConfig(t *testing.T) {
	hevc, sequence := hevcConfig(t), []byte{0x81, 0, 0, 0}
	set := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	var av1 AV1
	u, err := av1.Read(ivfFrames(testdata(t, "av1.ivf"))[0], 1<<20, func(Fault) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		video  Video
		record []byte
	}{
		{"hevc empty", new(HEVC), nil},
		{"hevc without sets", new(HEVC), set(hevc[:23], 22, 0)},
		{"hevc of a later version", new(HEVC), set(hevc, 0, 2)},
		{"hevc torn", new(HEVC), hevc[:len(hevc)-1]},
		{"hevc torn array", new(HEVC), hevc[:25]},
		{"hevc with a set in another's place", new(HEVC), set(hevc, 23, 0xa1)},
		{"av1 empty", new(AV1), nil},
		{"av1 without a sequence header", new(AV1), sequence},
		{"av1 torn", new(AV1), u.Config[:8]},
		{"av1 of another version", new(AV1), set(u.Config, 0, 0x82)},
		{"av1 with another OBU", new(AV1), append(bytes.Clone(sequence), obu(av1Padding, 1)...)},
	} {
		if config, fault := tt.video.SetConfig(tt.record); config != nil || fault != BadConfig {
			t.Errorf("%s: %x, %q", tt.name, config, fault)
		}
	}
	for _, s := range videoStreams(t) {
		video := s.make()
		video.SetConfig([]byte{1, 2, 3})
		if u, err := video.Read(bytes.Clone(s.units[0]), 1<<20, func(Fault) {}); err != nil || u.Config == nil {
			t.Errorf("%s: %+v, %v", s.name, u, err)
		}
	}
}

// Nothing longer than the limit, in bytes or in units, is read.
func TestVideoLimits(t *testing.T) {
	for _, s := range videoStreams(t) {
		if _, err := s.make().Read(s.units[0], len(s.units[0])-1, func(Fault) {}); !errors.Is(err, media.ErrTooLarge) {
			t.Errorf("%s: %v", s.name, err)
		}
	}
	for name, tt := range map[string]struct {
		video Video
		unit  []byte
	}{
		"avc": {new(AVC), unitsOf(slice(1))}, "hevc": {new(HEVC), unitsOf([]byte{2, 1, 0x80})}, "av1": {new(AV1), obu(4, 1)},
	} {
		if _, err := tt.video.Read(bytes.Repeat(tt.unit, MaxUnits), 1<<20, func(Fault) {}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := tt.video.Read(bytes.Repeat(tt.unit, MaxUnits+1), 1<<20, func(Fault) {}); !errors.Is(err, media.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
