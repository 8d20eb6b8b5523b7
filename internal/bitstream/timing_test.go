package bitstream

import "testing"

// How long an access unit of AAC is.
func TestAACTiming(t *testing.T) {
	for _, tt := range []struct {
		name          string
		config        []byte
		samples, rate int64
		ok            bool
	}{
		{"LC of 48 kHz", []byte{0x11, 0x90}, 1024, 48000, true},
		{"LC of 44.1 kHz in units of 960", []byte{0x12, 0x14}, 960, 44100, true},
		{"HE of a core of 24 kHz", []byte{0x2b, 0x11, 0x88, 0x00}, 1024, 24000, true},
		{"a rate of its own", []byte{0x17, 0x80, 0x3e, 0x80, 0x10, 0x00}, 1024, 32000, true},
		{"a reserved rate", []byte{0x16, 0x90, 0x00}, 1024, 0, false},
		{"nothing", nil, 1024, 96000, false},
	} {
		samples, rate, ok := AACTiming(tt.config)
		if samples != tt.samples || rate != tt.rate || ok != tt.ok {
			t.Errorf("%s: %d samples at %d, %v", tt.name, samples, rate, ok)
		}
	}
}
