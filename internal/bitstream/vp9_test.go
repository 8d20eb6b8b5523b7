package bitstream

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func vp9KeyFrame(width, height uint16) []byte {
	// Marker, profile 0, key frame, shown; sync code; BT.709, studio range.
	b := []byte{0x82, 0x49, 0x83, 0x42, 0x40 | byte((width-1)>>12)}
	v := uint32(width-1)<<16 | uint32(height-1)
	return append(b, byte(v>>20), byte(v>>12), byte(v>>4), byte(v<<4), 0)
}

// What containers say of VP9, and what a configuration is made of.
func TestVP9Config(t *testing.T) {
	body := []byte{0, 41, 0x82, 9, 16, 9, 0, 0}
	want := []byte{0, 10, 0x82, 1, 1, 1, 0, 0}
	for _, tt := range []struct {
		name   string
		record []byte
		fault  Fault
		want   []byte
	}{
		{"nothing", nil, "", want},
		{"body", body, "", []byte{0, 41, 0x82, 9, 16, 9, 0, 0}},
		{"box", append([]byte{1, 0, 0, 0}, body...), "", []byte{0, 41, 0x82, 9, 16, 9, 0, 0}},
		{"nothing known", []byte{0, 0, 0x82, 2, 2, 2, 0, 0}, "", want},
		{"of another profile", []byte{2, 41, 0xa2, 9, 16, 9, 0, 0}, "", want},
		{"short", body[:5], BadConfig, want},
		{"no such profile", []byte{9, 41, 0x82, 9, 16, 9, 0, 0}, BadConfig, want},
	} {
		var s VP9
		if config, fault := s.SetConfig(tt.record); config != nil || fault != tt.fault {
			t.Errorf("%s: %x, %q", tt.name, config, fault)
		}
		u, err := s.Read(vp9KeyFrame(320, 108), 1<<20, func(f Fault) { t.Error(f) })
		if err != nil || !u.Sync || u.Width != 320 || u.Height != 108 {
			t.Errorf("%s: %+v, %v", tt.name, u, err)
		}
		if tt.want[1] == 10 {
			tt.want[1] = 11 // 60 frames a second of this size
		}
		if diff := cmp.Diff(tt.want, u.Config); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		if _, fault := s.SetConfig(tt.record); tt.fault == "" && fault != RepeatedConfig {
			t.Errorf("%s: again: %q", tt.name, fault)
		}
	}
}

// A new size is a new configuration, at a key frame; anything that is no frame is none.
func TestVP9Frames(t *testing.T) {
	var s VP9
	for _, tt := range []struct {
		name          string
		in            []byte
		pict, sync    bool
		width, height int
		fault         Fault
	}{
		{"inter at the beginning", []byte{0x86, 0}, true, false, 0, 0, ""},
		{"key", vp9KeyFrame(64, 48), true, true, 64, 48, ""},
		{"the same", vp9KeyFrame(64, 48), true, true, 0, 0, ""},
		{"inter", []byte{0x86, 0}, true, false, 0, 0, ""},
		{"shown again", []byte{0x88}, true, false, 0, 0, ""},
		{"another size", vp9KeyFrame(65536-1, 48), true, true, 65535, 48, InBandConfig},
		{"torn", vp9KeyFrame(64, 48)[:6], false, false, 0, 0, TornUnit},
		{"no marker", []byte{0x00, 1}, false, false, 0, 0, TornUnit},
		{"empty", nil, false, false, 0, 0, EmptyUnit},
	} {
		var fault Fault
		u, err := s.Read(tt.in, 1<<20, func(f Fault) { fault = f })
		if err != nil || u.Picture != tt.pict || u.Sync != tt.sync || u.Width != tt.width || u.Height != tt.height || fault != tt.fault || (u.Config != nil) != (tt.width > 0) {
			t.Errorf("%s: %+v, %q, %v", tt.name, u, fault, err)
		}
	}
}
