package bitstream

import (
	"fmt"
	"slices"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Where the next access unit begins among NAL units that follow each other.
func TestFirstUnit(t *testing.T) {
	avc := map[byte][]byte{
		'D': {9, 0xf0}, 'S': testSPS, 'P': testPPS, 'E': {6, 1, 0}, 'I': idr(1), 'i': {0x65, 0x08, 1}, 'A': slice(1),
		'a': {0x41, 0x1a, 1}, 'C': {0x43, 0x88}, 'x': {20, 0x80, 1}, 'p': {14, 0x80, 1}, 'f': {12, 0xff}, 'z': {1}, '0': {},
	}
	hevc := map[byte][]byte{
		'D': {35 << 1, 1, 0x50}, 'S': {33 << 1, 1, 1}, 'E': {39 << 1, 1, 1}, 'e': {40 << 1, 1, 1}, 'I': {19 << 1, 1, 0x80},
		'A': {1 << 1, 1, 0x80}, 'a': {1 << 1, 1, 0x40}, 'x': {1 << 1, 9, 0x80}, 'z': {1 << 1},
	}
	for _, tt := range []struct {
		codec media.Codec
		units string
		want  int // of them
	}{
		{media.H264, "", 0},
		{media.H264, "DSPEI", 5},
		{media.H264, "DSPEIii", 7},
		{media.H264, "DSPEIiiDA", 7},
		{media.H264, "IA", 1},
		{media.H264, "IiSPEA", 2},
		{media.H264, "IfA", 2},
		{media.H264, "IpipA", 3},
		{media.H264, "IESx", 4}, // what goes before a slice of another view
		{media.H264, "ACCDA", 3},
		{media.H264, "aDA", 1}, // the first slice is lost
		{media.H264, "DDD", 3},
		{media.H264, "IDz0", 4},
		{media.HEVC, "DSEI", 4},
		{media.HEVC, "IaxeDA", 4},
		{media.HEVC, "IA", 1},
		{media.HEVC, "IzEAA", 2},
	} {
		t.Run(fmt.Sprintf("%s %s", tt.codec, tt.units), func(t *testing.T) {
			kinds := avc
			if tt.codec == media.HEVC {
				kinds = hevc
			}
			var units [][]byte
			for i := range len(tt.units) {
				units = append(units, kinds[tt.units[i]])
			}
			want := len(unitsOf(units[:tt.want]...))
			if got := FirstUnit(unitsOf(units...), tt.codec); got != want {
				t.Errorf("%d of %d bytes", got, want)
			}
		})
	}
	torn := slices.Concat(unitsOf(idr(1)), []byte{0, 0, 0, 9, 0x65})
	if got := FirstUnit(torn, media.H264); got != len(torn) {
		t.Errorf("%d of %d torn bytes", got, len(torn))
	}
}
