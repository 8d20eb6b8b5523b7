package bitstream

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// testMastering is BT.2020 in 0.00002 and 1000 to 0.0001 candelas per square metre, as SEI has it.
func testMastering() (sei []byte, want media.Mastering) {
	want = media.Mastering{
		Primaries: [3][2]uint16{{8500, 39850}, {6550, 2300}, {35400, 14600}}, White: [2]uint16{15635, 16450},
		Max: 10_000_000, Min: 1,
	}
	for _, p := range append(want.Primaries[:], want.White) {
		sei = binary.BigEndian.AppendUint16(sei, p[0])
		sei = binary.BigEndian.AppendUint16(sei, p[1])
	}
	sei = binary.BigEndian.AppendUint32(sei, want.Max)
	return binary.BigEndian.AppendUint32(sei, want.Min), want
}

// turned makes the payload of a display orientation message: a turn against the clock in 65536ths, and flips.
func turned(turn uint16, across, down bool) []byte {
	v := uint32(turn) << 13
	if across {
		v |= 1 << 30
	}
	if down {
		v |= 1 << 29
	}
	return binary.BigEndian.AppendUint32(nil, v|1<<12)[:3]
}

func message(kind byte, payload []byte) []byte {
	return append([]byte{kind, byte(len(payload))}, payload...)
}

// Both codecs with SEI say how pictures are to be shown, once for each change.
func TestMV4_MV16_DisplayOfSEI(t *testing.T) {
	mastering, wantMastering := testMastering()
	steps := []struct {
		name     string
		messages [][]byte
		want     *media.Display
	}{
		{"nothing", nil, nil},
		{"of no meaning", [][]byte{message(seiLight, make([]byte, 4)), message(seiMastering, make([]byte, 24))}, nil},
		{"a quarter against the clock", [][]byte{message(seiOrientation, turned(1<<14, false, false))}, &media.Display{Rotation: 270}},
		{"again", [][]byte{message(seiOrientation, turned(1<<14+20, false, false))}, nil},
		{"none in a picture", nil, nil},
		{"mirrored", [][]byte{message(seiOrientation, turned(0, true, false))}, nil},
		{"askew", [][]byte{message(seiOrientation, turned(1<<13, false, false))}, nil},
		{"three quarters", [][]byte{message(seiOrientation, turned(3<<14, false, false))}, &media.Display{Rotation: 90}},
		{"just under a whole turn", [][]byte{message(seiOrientation, turned(65535, false, false))}, &media.Display{}},
		{"upside down", [][]byte{message(seiOrientation, turned(0, true, true))}, &media.Display{Rotation: 180}},
		{"cancelled", [][]byte{message(seiOrientation, []byte{0x80})}, &media.Display{}},
		{"torn", [][]byte{message(seiOrientation, []byte{0, 1}), message(seiLight, []byte{1, 2}), message(seiMastering, mastering[:23])}, nil},
		{"light", [][]byte{message(seiLight, []byte{3, 232, 1, 144}), message(seiMastering, mastering)},
			&media.Display{Light: media.ContentLight{Max: 1000, Average: 400}, Mastering: wantMastering}},
		{"repeated", [][]byte{message(seiMastering, mastering)}, nil},
	}
	var avc AVC
	var hevc HEVC
	for _, codec := range []struct {
		name   string
		video  Video
		header []byte
		slice  []byte
	}{{"avc", &avc, []byte{6}, slice(1)}, {"hevc", &hevc, []byte{39 << 1, 1}, []byte{2, 1, 0x80}}} {
		for _, tt := range steps {
			units := [][]byte{codec.slice}
			if tt.messages != nil {
				sei := append(bytes.Clone(codec.header), escaped(append(bytes.Join(tt.messages, nil), 0x80))...)
				units = [][]byte{sei, codec.slice}
			}
			payload := unitsOf(units...)
			u, err := codec.video.Read(bytes.Clone(payload), 1<<20, func(f Fault) { t.Error(f) })
			if err != nil {
				t.Fatal(err)
			}
			if !sameDisplay(u.Display, tt.want) {
				t.Errorf("%s: %s: %+v, want %+v", codec.name, tt.name, u.Display, tt.want)
			}
			if !bytes.Equal(u.Payload, payload) {
				t.Errorf("%s: %s: the messages did not stay in the sample", codec.name, tt.name)
			}
		}
	}
}

func sameDisplay(a, b *media.Display) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// AV1 has other units and another order; the record's metadata counts, too.
func TestMV16_DisplayOfAV1(t *testing.T) {
	_, want := testMastering()
	obu := func(body ...byte) []byte { return append([]byte{av1Metadata<<3 | 2, byte(len(body))}, body...) }
	mdcv := []byte{2}
	for _, p := range [][2]uint16{want.Primaries[2], want.Primaries[0], want.Primaries[1], want.White} {
		for _, v := range p {
			mdcv = binary.BigEndian.AppendUint16(mdcv, uint16((uint64(v)<<16+25000)/50000))
		}
	}
	mdcv = binary.BigEndian.AppendUint32(mdcv, 1000<<8)
	mdcv = binary.BigEndian.AppendUint32(mdcv, 2) // 0.000122, nearly 0.0001
	cll := obu(1, 3, 232, 1, 144, 0x80)
	light := media.ContentLight{Max: 1000, Average: 400}
	var s AV1
	frame := []byte{av1Frame<<3 | 2, 1, 0x10}
	read := func(obus ...[]byte) *media.Display {
		t.Helper()
		payload := append(bytes.Join(obus, nil), frame...)
		u, err := s.Read(bytes.Clone(payload), 1<<20, func(f Fault) { t.Error(f) })
		if err != nil || !bytes.Equal(u.Payload, payload) {
			t.Fatalf("% x, %v", u.Payload, err)
		}
		return u.Display
	}
	if got := read(obu(1, 0), obu(2, 0, 0), obu(), obu(4, 1, 2, 3)); got != nil {
		t.Errorf("of torn metadata and timecodes: %+v", got)
	}
	if got := read(cll); !sameDisplay(got, &media.Display{Light: light}) {
		t.Errorf("%+v", got)
	}
	if got := read(cll, obu(append(mdcv, 0x80)...)); !sameDisplay(got, &media.Display{Light: light, Mastering: want}) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := read(cll); got != nil {
		t.Errorf("repeated: %+v", got)
	}
}

// Some encoders say the light of HDR in the configuration alone.
func TestMV16_DisplayOfAnHEVCRecord(t *testing.T) {
	mastering, want := testMastering()
	sei := append([]byte{39 << 1, 1}, append(escaped(message(seiMastering, mastering)), 0x80)...)
	record := append(make([]byte, hevcRecordHeader), 39, 0, 1, 0, byte(len(sei)))
	record[0], record[21], record[hevcRecordHeader-1] = 1, 3, 1
	record = append(record, sei...)
	var s HEVC
	s.SetConfig(record)
	u, err := s.Read(unitsOf([]byte{2, 1, 0x80}), 1<<20, func(f Fault) { t.Error(f) })
	if err != nil || !sameDisplay(u.Display, &media.Display{Mastering: want}) {
		t.Errorf("%+v, %v", u.Display, err)
	}
}

func FuzzDisplay(f *testing.F) {
	mastering, _ := testMastering()
	f.Add(seiOrientation, turned(1<<14, false, false))
	f.Add(seiMastering, mastering)
	f.Add(seiLight, []byte{3, 232, 1, 144})
	f.Add(0, append([]byte{2}, mastering...))
	f.Fuzz(func(t *testing.T, kind int, b []byte) {
		var d display
		d.read(kind, b)
		d.readOBU(b)
		if r := d.now.Rotation; r%90 != 0 || r < 0 || r > 270 {
			t.Errorf("turned by %d", r)
		}
	})
}
