package bitstream

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// captions makes the payload of an SEI message.
func captionsMessage(data ...byte) []byte {
	b := append([]byte("\xb5\x00\x31GA94\x03"), 0xc0|byte(len(data)/3), 0xff)
	b = append(append(b, data...), 0xff)
	return append([]byte{4, byte(len(b))}, b...)
}

// escaped puts emulation prevention bytes in.
func escaped(b []byte) (out []byte) {
	zeros := 0
	for _, c := range b {
		if zeros >= 2 && c <= 3 {
			out, zeros = append(out, 3), 0
		}
		if out = append(out, c); c == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return out
}

// What SEI says, of both codecs that have it.
func TestSEI(t *testing.T) {
	one := []byte{0xfc, 0x94, 0x2c, 0xfd, 0x80, 0x80}
	zeros := []byte{0xfc, 0, 0, 0, 0, 0, 0xfa, 0, 0}
	recovery := []byte{6, 1, 0x84}
	long := append([]byte{5, 0xff, 45}, make([]byte, 300)...)
	most := bytes.Repeat(one[:3], 31)
	join := func(b ...[]byte) []byte { return append(bytes.Join(b, nil), 0x80) }
	for _, tt := range []struct {
		name     string
		messages []byte
		captions []byte
		recovery bool
	}{
		{"captions", join(captionsMessage(one...)), one, false},
		{"captions with zeros", join(captionsMessage(zeros...)), zeros, false},
		{"behind a long message of zeros", join(long, captionsMessage(zeros...)), zeros, false},
		{"two messages", join(captionsMessage(one...), captionsMessage(zeros...)), append(bytes.Clone(one), zeros...), false},
		{"with a recovery point", join(captionsMessage(one...), recovery), one, true},
		{"recovery point first", join(recovery, captionsMessage(one...)), one, true},
		{"recovery point behind zeros", join(long, recovery), nil, true},
		{"no more than the limit", join(bytes.Repeat(captionsMessage(most...), 9)), bytes.Repeat(most, 4), false},
		{"not processed", join([]byte{4, 13}, []byte("\xb5\x00\x31GA94\x03\x81\xff\xfc\x94\x2c")), nil, false},
		{"of another provider", join([]byte{4, 13}, []byte("\xb5\x00\x2fGA94\x03\xc1\xff\xfc\x94\x2c")), nil, false},
		{"of another type", join([]byte{4, 13}, []byte("\xb5\x00\x31GA94\x06\xc1\xff\xfc\x94\x2c")), nil, false},
		{"more told than there", join([]byte{4, 13}, []byte("\xb5\x00\x31GA94\x03\xc2\xff\xfc\x94\x2c")), nil, false},
		{"torn", []byte{4, 200, 0xb5, 0, 0x31}, nil, false},
		{"torn number", []byte{0xff, 0xff, 0xff}, nil, false},
		{"none", join([]byte{1, 1, 0}), nil, false},
	} {
		var avc AVC
		var hevc HEVC
		for _, codec := range []struct {
			name   string
			video  Video
			header []byte
			slice  []byte
		}{{"avc", &avc, []byte{6}, slice(1)}, {"hevc", &hevc, []byte{39 << 1, 1}, []byte{2, 1, 0x80}}} {
			for range 2 { // and what came before is forgotten
				unit := append(bytes.Clone(codec.header), escaped(tt.messages)...)
				u, err := codec.video.Read(unitsOf(unit, codec.slice), 1<<20, func(f Fault) { t.Error(f) })
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.captions, u.Captions); diff != "" || u.Recovery != tt.recovery {
					t.Errorf("%s: %s: recovery %v, %s", tt.name, codec.name, u.Recovery, diff)
				}
			}
		}
	}
}
