package bitstream

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/av1"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/vp9"
	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

func picture(args ...string) []string {
	return append([]string{"-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=2"}, args...)
}

// follow reads a whole stream, which must have no fault, and gives the units with payloads of their own.
func follow(t *testing.T, s Video, units [][]byte) (read []Unit) {
	t.Helper()
	for i, b := range units {
		u, err := s.Read(bytes.Clone(b), 1<<20, func(f Fault) { t.Errorf("unit %d: %s", i, f) })
		if err != nil {
			t.Fatal(err)
		}
		if !u.Picture {
			t.Errorf("unit %d has no picture", i)
		}
		u.Payload = bytes.Clone(u.Payload)
		read = append(read, u)
	}
	return read
}

// What encoders make: one configuration, that of another muxer, at the first picture; random access points where
// another demuxer has them; and no second look at the same configuration.
func TestVideoOfEncoders(t *testing.T) {
	hevc := func(params string, more ...string) []string {
		return append(picture(append(more, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=10:"+params)...), "-f", "hevc")
	}
	for _, tt := range []struct {
		name, ext, box string
		codec          media.Codec
		args           []string
		same           func(t *testing.T, config, other []byte)
	}{
		{"avc", "h264", "avcC", media.H264, picture("-pix_fmt", "yuv420p", "-c:v", "libx264", "-g", "10", "-bf", "2"), sameBytes},
		{"hevc closed", "hevc", "hvcC", media.HEVC, hevc("open-gop=0:aud=1:repeat-headers=1", "-pix_fmt", "yuv420p"), sameHEVC},
		{"hevc open", "hevc", "hvcC", media.HEVC, hevc("open-gop=1:bframes=3:repeat-headers=1", "-pix_fmt", "yuv420p"), sameHEVC},
		{"hevc 10 bit", "hevc", "hvcC", media.HEVC, hevc("repeat-headers=1", "-pix_fmt", "yuv420p10le"), sameHEVC},
		{"hevc 4:2:2", "hevc", "hvcC", media.HEVC, hevc("repeat-headers=1", "-pix_fmt", "yuv422p"), sameHEVC},
		{"hevc with temporal layers", "hevc", "hvcC", media.HEVC, hevc("temporal-layers=1:b-adapt=0:bframes=3", "-pix_fmt", "yuv420p"), sameHEVC},
		{"av1 libaom", "ivf", "av1C", media.AV1, picture("-pix_fmt", "yuv420p", "-c:v", "libaom-av1", "-cpu-used", "8", "-g", "10", "-crf", "50"), sameAV1},
		{"av1 libaom 4:4:4", "ivf", "av1C", media.AV1, picture("-pix_fmt", "yuv444p", "-c:v", "libaom-av1", "-cpu-used", "8", "-g", "10", "-crf", "50"), sameAV1},
		{"av1 libaom 10 bit", "ivf", "av1C", media.AV1, picture("-pix_fmt", "yuv420p10le", "-c:v", "libaom-av1", "-cpu-used", "8", "-g", "10", "-crf", "50"), sameAV1},
		{"av1 libaom real time", "ivf", "av1C", media.AV1, picture("-pix_fmt", "yuv420p", "-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-g", "10"), sameAV1},
		{"av1 svt", "ivf", "av1C", media.AV1, picture("-pix_fmt", "yuv420p", "-c:v", "libsvtav1", "-preset", "12", "-g", "10"), sameAV1},
		{"vp9", "ivf", "vpcC", media.VP9, picture("-pix_fmt", "yuv420p", "-c:v", "libvpx-vp9", "-cpu-used", "8", "-g", "10", "-lag-in-frames", "10", "-auto-alt-ref", "1"), sameVP9},
		{"vp9 4:4:4", "ivf", "vpcC", media.VP9, picture("-pix_fmt", "yuv444p", "-c:v", "libvpx-vp9", "-cpu-used", "8", "-g", "10"), sameVP9},
		{"vp9 10 bit", "ivf", "vpcC", media.VP9, picture("-pix_fmt", "yuv420p10le", "-c:v", "libvpx-vp9", "-cpu-used", "8", "-g", "10"), sameVP9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if testing.Short() {
				t.Skip("encodes")
			}
			path := encodedFile(t, tt.ext, tt.args...)
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			other := box(t, encoded(t, "mp4", "-i", path, "-c", "copy", "-strict", "-2"), tt.box)
			var s Video
			units := ivfFrames
			switch tt.codec {
			case media.H264, media.HEVC:
				s = new(HEVC)
				if tt.codec == media.H264 {
					s = new(AVC)
				}
				units = func(b []byte) [][]byte { return accessUnits(t, tt.codec, b) }
			case media.AV1:
				s = new(AV1)
			case media.VP9:
				s = new(VP9)
			}
			read := follow(t, s, units(file))
			var sync []bool
			for i, u := range read {
				sync = append(sync, u.Sync)
				if (u.Config != nil) != (i == 0) {
					t.Errorf("unit %d: configuration %x", i, u.Config)
				}
			}
			if diff := cmp.Diff(keyFrames(t, path), sync); diff != "" {
				t.Errorf("random access points: %s", diff)
			}
			if len(read) == 0 || slices.Index(sync[1:], true) < 0 {
				t.Fatal("no second random access point")
			}
			tt.same(t, read[0].Config, other)
			otherReader(t, tt.codec, read)
			if tt.codec == media.VP9 {
				if read[0].Width != 128 || read[0].Height != 96 {
					t.Errorf("%dx%d", read[0].Width, read[0].Height)
				}
				return
			}
			// Its own record and the other muxer's are taken for what they are.
			if config, fault := s.SetConfig(read[0].Config); config != nil || fault != RepeatedConfig {
				t.Errorf("its own: %x, %q", config, fault)
			}
			if config, fault := s.SetConfig(other); config != nil || fault != RepeatedConfig {
				t.Errorf("the other muxer's: %x, %q", config, fault)
			}
		})
	}
}

func sameBytes(t *testing.T, config, other []byte) {
	if diff := cmp.Diff(other, config); diff != "" {
		t.Error(diff)
	}
}

// sameHEVC passes over what only the VUI says (segmentation and with it parallelism), and SEI.
func sameHEVC(t *testing.T, config, other []byte) {
	if diff := cmp.Diff(other[:13], config[:13]); diff != "" {
		t.Errorf("profile: %s", diff)
	}
	if diff := cmp.Diff(other[16:22], config[16:22]); diff != "" {
		t.Errorf("pictures: %s", diff)
	}
	sets, ok := parseHEVCRecord(other)
	own, ownOK := parseHEVCRecord(config)
	if !ok || !ownOK {
		t.Fatal("not read")
	}
	for i := range sets {
		if !equalSets(sets[i], own[i]) {
			t.Errorf("parameter sets of type %d differ", hevcVPS+i)
		}
	}
}

// sameAV1 takes metadata off the other record.
func sameAV1(t *testing.T, config, other []byte) {
	header, size, ok := obuHeader(other[4:])
	if !ok {
		t.Fatal("not read")
	}
	sameBytes(t, config, other[:4+header+size])
}

// sameVP9 passes over the level: the frame rate is not told.
func sameVP9(t *testing.T, config, other []byte) {
	other = bytes.Clone(other[4:12])
	other[1] = config[1]
	sameBytes(t, config, other)
}

// otherReader looks at the samples with mediacommon's eyes.
func otherReader(t *testing.T, codec media.Codec, read []Unit) {
	t.Helper()
	for i, u := range read {
		switch codec {
		case media.HEVC:
			var au [][]byte
			_, err := filter(bytes.Clone(u.Payload), func(f Fault) { t.Error(f) }, func(unit []byte) bool {
				au = append(au, unit)
				if kind := hevcType(unit); kind >= hevcVPS && kind <= hevcFiller {
					t.Errorf("unit %d has a NAL unit of type %d", i, kind)
				}
				return true
			})
			if err != nil || h265.IsRandomAccess(au) != u.Sync {
				t.Errorf("unit %d: sync %v, %v", i, u.Sync, err)
			}
		case media.AV1:
			var tu av1.Bitstream
			if err := tu.Unmarshal(u.Payload); err != nil {
				t.Fatalf("unit %d: %v", i, err)
			}
			for _, obu := range tu {
				if kind := obu[0] >> 3 & 15; kind == av1Delimiter || kind == av1Padding {
					t.Errorf("unit %d has an OBU of type %d", i, kind)
				}
			}
			if av1.IsRandomAccess2(tu) != u.Sync { // these encoders send a sequence header with key frames only
				t.Errorf("unit %d: sync %v", i, u.Sync)
			}
		case media.VP9:
			if vp9.IsRandomAccess(u.Payload) != u.Sync {
				t.Errorf("unit %d: sync %v", i, u.Sync)
			}
		}
	}
	if codec == media.HEVC {
		sets, _ := parseHEVCRecord(read[0].Config)
		var sps h265.SPS
		if err := sps.Unmarshal(sets[1][0].unit); err != nil {
			t.Fatal(err)
		}
		own, ok := parseHEVCSPS(sets[1][0].unit)
		if !ok || own.id != uint32(sps.ID) || uint32(own.chroma) != sps.ChromaFormatIdc ||
			uint32(own.depth) != sps.BitDepthLumaMinus8 || own.layers != sps.MaxSubLayersMinus1+1 {
			t.Errorf("%+v, want %+v", own, sps)
		}
	}
}

// The pictures of an open group that lead a CRA picture are marked.
func TestHEVCLeadingPictures(t *testing.T) {
	var s HEVC
	kinds := ""
	for _, u := range follow(t, &s, accessUnits(t, media.HEVC, testdata(t, "hevc.hevc"))) {
		switch {
		case u.Sync:
			kinds += "S"
		case u.Leading:
			kinds += "l"
		default:
			kinds += "."
		}
	}
	if want := "S....Slll....Slll..."; kinds != want {
		t.Errorf("%s, want %s", kinds, want)
	}
}

// Parameter sets with a new meaning hold from the next random access point on.
func TestHEVCNewParameterSets(t *testing.T) {
	units := accessUnits(t, media.HEVC, testdata(t, "hevc.hevc"))
	var s HEVC
	first, err := s.Read(bytes.Clone(units[0]), 1<<20, func(Fault) {})
	if err != nil {
		t.Fatal(err)
	}
	pps := bytes.Clone(s.sets[2][0].unit)
	pps[len(pps)-1] ^= 0x10
	slice := []byte{1 << 1, 1, 0x80}
	var faults []Fault
	note := func(f Fault) { faults = append(faults, f) }
	u, err := s.Read(unitsOf(pps, slice), 1<<20, note)
	if err != nil || u.Config != nil || !bytes.Equal(u.Payload, unitsOf(pps, slice)) {
		t.Errorf("in the middle: %+v, %v", u, err)
	}
	key := []byte{19 << 1, 1, 0x80}
	u, err = s.Read(unitsOf(pps, key), 1<<20, note)
	if err != nil || u.Config == nil || bytes.Equal(u.Config, first.Config) || !bytes.Equal(u.Payload, unitsOf(key)) {
		t.Errorf("at a random access point: %+v, %v", u, err)
	}
	if diff := cmp.Diff([]Fault{InBandConfig}, faults); diff != "" {
		t.Error(diff)
	}
}

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

func BenchmarkVideo(b *testing.B) {
	for _, stream := range videoStreams(b) {
		b.Run(stream.name, func(b *testing.B) {
			s, buffer, at := stream.make(), make([]byte, 0, 1<<20), 0
			b.ReportAllocs()
			for b.Loop() {
				buffer = append(buffer[:0], stream.units[at%len(stream.units)]...)
				if _, err := s.Read(buffer, 1<<20, func(Fault) {}); err != nil {
					b.Fatal(err)
				}
				at++
			}
		})
	}
}
