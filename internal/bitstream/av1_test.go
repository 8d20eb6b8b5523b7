package bitstream

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func obu(kind byte, body ...byte) []byte {
	return append(binary.AppendUvarint([]byte{kind<<3 | 2}, uint64(len(body))), body...)
}

// What a sample keeps of a temporal unit, and what is said of it.
func TestAV1Sample(t *testing.T) {
	stream := ivfFrames(testdata(t, "av1.ivf"))
	var first AV1
	u, err := first.Read(bytes.Clone(stream[0]), 1<<20, func(Fault) {})
	if err != nil || u.Config == nil {
		t.Fatal(err)
	}
	config := u.Config
	sequence := obu(av1Sequence, first.sequence...)
	key, hidden, inter, again := obu(av1Frame, 0x10), obu(av1Frame, 0x00), obu(av1Frame, 0x30), obu(av1FrameHeader, 0x80)
	still := bytes.Clone(first.sequence)
	still[0] |= 0x18 // still_picture, reduced_still_picture_header
	join := func(b ...[]byte) []byte { return bytes.Join(b, nil) }
	for _, tt := range []struct {
		name                 string
		in, out              []byte
		sync, recovery, pict bool
		fault                Fault
	}{
		{"delimiter, padding and tile list go", join(obu(av1Delimiter), key, obu(av1Padding, 1, 2), obu(av1TileList, 3), obu(4, 1)), join(key, obu(4, 1)), true, false, true, ""},
		{"sequence header stays", join(sequence, key), join(sequence, key), true, false, true, ""},
		{"inter", join(obu(av1Delimiter), inter), inter, false, false, true, ""},
		{"shown again", again, again, false, false, true, ""},
		{"key frame shown later", join(sequence, hidden, inter), join(sequence, hidden, inter), false, true, true, ""},
		{"key frame after an inter frame", join(inter, key), join(inter, key), false, false, true, ""},
		{"last without a size", join(obu(av1Delimiter), []byte{av1Frame << 3, 0x10, 7}), []byte{av1Frame << 3, 0x10, 7}, true, false, true, ""},
		{"with an extension", []byte{av1Frame<<3 | 4 | 2, 0, 1, 0x10}, []byte{av1Frame<<3 | 4 | 2, 0, 1, 0x10}, true, false, true, ""},
		{"torn", join(key, []byte{4<<3 | 2, 9, 1}), key, true, false, true, TornUnit},
		{"torn size", join(key, []byte{4<<3 | 2, 0x80}), key, true, false, true, TornUnit},
		{"forbidden bit", join(key, []byte{0xff}), key, true, false, true, TornUnit},
		{"no picture", obu(av1Delimiter), nil, false, false, false, ""},
	} {
		var s AV1
		if got, fault := s.SetConfig(config); !bytes.Equal(got, config) {
			t.Fatal(fault)
		}
		var fault Fault
		u, err := s.Read(bytes.Clone(tt.in), 1<<20, func(f Fault) { fault = f })
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(u.Payload, tt.out) {
			t.Errorf("%s: %x, want %x", tt.name, u.Payload, tt.out)
		}
		if u.Sync != tt.sync || u.Recovery != tt.recovery || u.Picture != tt.pict || fault != tt.fault || u.Config != nil {
			t.Errorf("%s: %+v, fault %q", tt.name, u, fault)
		}
	}
}

// A still picture's frame header says nothing: the frame is a key frame.
func TestAV1StillPicture(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes")
	}
	frames := ivfFrames(encoded(t, "ivf", "-f", "lavfi", "-i", "testsrc2=size=128x96:rate=1:duration=1", "-pix_fmt", "yuv420p",
		"-c:v", "libaom-av1", "-cpu-used", "8", "-still-picture", "1"))
	var s AV1
	u, err := s.Read(frames[0], 1<<20, func(f Fault) { t.Error(f) })
	if err != nil || !u.Sync || u.Config == nil || !s.still {
		t.Errorf("%+v, %v, still %v", u, err, s.still)
	}
}

// A new sequence header holds from a key frame on.
func TestAV1NewSequence(t *testing.T) {
	stream := ivfFrames(testdata(t, "av1.ivf"))
	var s AV1
	u, err := s.Read(bytes.Clone(stream[0]), 1<<20, func(Fault) {})
	if err != nil {
		t.Fatal(err)
	}
	config := u.Config
	changed := bytes.Clone(s.sequence)
	changed[1] ^= 0x01 // operating_point_idc
	var fault Fault
	if u, err = s.Read(append(obu(av1Sequence, changed...), obu(av1Frame, 0x30)...), 1<<20, func(f Fault) { fault = f }); err != nil || u.Config != nil || fault != "" {
		t.Errorf("%+v, %q, %v", u, fault, err)
	}
	if u, err = s.Read(obu(av1Frame, 0x10), 1<<20, func(f Fault) { fault = f }); err != nil || u.Config == nil || bytes.Equal(u.Config, config) || fault != InBandConfig {
		t.Errorf("%+v, %q, %v", u, fault, err)
	}
}
