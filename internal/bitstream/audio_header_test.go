package bitstream

import (
	"bytes"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/flac"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"
	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Configurations are those that another muxer writes for the same stream.
func TestAudioConfigAsOtherMuxer(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes")
	}
	frame := func(parse func([]byte) (AudioFrame, bool)) func([]byte) []byte {
		return func(b []byte) []byte {
			f, _ := parse(b)
			return f.Track().Config
		}
	}
	head := func(b []byte) []byte {
		config, _ := OpusOfHead(b[max(0, bytes.Index(b, []byte("OpusHead"))):])
		return config
	}
	for _, tt := range []struct {
		name, ext, box string
		args           []string
		skip           int // of the box
		config         func(b []byte) []byte
	}{
		{"ac-3", "ac3", "dac3", tone(stereo, "-c:a", "ac3", "-b:a", "192k"), 0, frame(ParseAC3)},
		{"ac-3 5.1", "ac3", "dac3", tone(six, "-c:a", "ac3"), 0, frame(ParseAC3)},
		{"e-ac-3", "eac3", "dec3", tone(sine, "-c:a", "eac3"), 0, frame(ParseAC3)},
		{"e-ac-3 5.1", "eac3", "dec3", tone(six, "-c:a", "eac3"), 0, frame(ParseAC3)},
		{"opus", "ogg", "dOps", tone(sine, "-c:a", "libopus"), 0, head},
		{"opus 5.1", "ogg", "dOps", tone(six, "-c:a", "libopus", "-mapping_family", "1"), 0, head},
		{"flac", "flac", "dfLa", tone(stereo, "-c:a", "flac"), 8, func(b []byte) []byte {
			config, _, _ := FLACOfHeader(b)
			return config
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := encodedFile(t, tt.ext, tt.args...)
			other := box(t, encoded(t, "mp4", "-i", path, "-c", "copy", "-strict", "-2"), tt.box)[tt.skip:]
			if tt.box == "dfLa" { // the number of samples and the checksum are of a file
				other[13] &= 0xf0
				clear(other[14:])
			}
			if diff := cmp.Diff(other, tt.config(encoded(t, tt.ext, "-i", path, "-c", "copy"))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Every first byte that a packet can have.
func TestOpusSamples(t *testing.T) {
	for toc := range 256 {
		for _, packet := range [][]byte{{byte(toc)}, {byte(toc), 1}, {byte(toc), 2}, {byte(toc), 48}} {
			samples, ok := OpusSamples(packet)
			if toc&3 == 3 && len(packet) == 1 {
				if ok {
					t.Errorf("%x: %d", packet, samples)
				}
				continue
			}
			if want := opus.PacketDuration2(packet); samples != want || ok != (want <= opusMaxSamples) {
				t.Errorf("%x: %d, %v; want %d", packet, samples, ok, want)
			}
		}
	}
	for _, packet := range [][]byte{nil, {3, 0}, {0xff, 0x40}} {
		if samples, ok := OpusSamples(packet); ok {
			t.Errorf("%x: %d", packet, samples)
		}
	}
}

// The channels of a transport stream have the layout that libopus gives as many.
func TestOpusOfChannels(t *testing.T) {
	for channels := -1; channels < 12; channels++ {
		config := OpusOfChannels(channels)
		if channels < 1 || channels > 8 {
			if config != nil {
				t.Errorf("%d channels: %x", channels, config)
			}
			continue
		}
		// It is the same as of the identification header that says as much.
		head := []byte("OpusHead\x01\x00\x00\x00\x80\xbb\x00\x00\x00\x00\x00")
		head[9] = byte(channels)
		if channels > 2 {
			head[18] = 1
			head = append(head, config[11:]...)
		}
		if of, ok := OpusOfHead(head); !ok || !bytes.Equal(of, config) {
			t.Errorf("%d channels: %x, %x", channels, config, of)
		}
	}
	config := OpusOfChannels(6)
	if diff := cmp.Diff([]byte{0, 6, 0, 0, 0, 0, 0xbb, 0x80, 0, 0, 1, 4, 2, 0, 4, 1, 2, 3, 5}, config); diff != "" {
		t.Error(diff)
	}
}

func TestOpusHeadRefused(t *testing.T) {
	good := []byte("OpusHead\x01\x06\x38\x01\x80\xbb\x00\x00\x00\x00\x01\x04\x02\x00\x04\x01\x02\x03\x05")
	if _, ok := OpusOfHead(good); !ok {
		t.Fatal("refused")
	}
	for name, change := range map[string]func(b []byte) []byte{
		"another word":           func(b []byte) []byte { b[0] = 'o'; return b },
		"version 16":             func(b []byte) []byte { b[8] = 16; return b },
		"no channel":             func(b []byte) []byte { b[9] = 0; return b },
		"nine channels":          func(b []byte) []byte { b[9] = 9; return b },
		"family 0 of six":        func(b []byte) []byte { b[18] = 0; return b },
		"unknown family":         func(b []byte) []byte { b[18] = 77; return b },
		"no stream":              func(b []byte) []byte { b[19] = 0; return b },
		"more pairs than there":  func(b []byte) []byte { b[20] = 5; return b },
		"a source that is none":  func(b []byte) []byte { b[21] = 6; return b },
		"torn mapping":           func(b []byte) []byte { return b[:len(b)-1] },
		"torn":                   func(b []byte) []byte { return b[:18] },
		"torn before the counts": func(b []byte) []byte { return b[:19] },
	} {
		if config, ok := OpusOfHead(change(bytes.Clone(good))); ok {
			t.Errorf("%s: %x", name, config)
		}
	}
}

func TestFLACHeader(t *testing.T) {
	file := testdata(t, "flac.flac")
	config, unit, ok := FLACOfHeader(file)
	var info flac.StreamInfo
	if err := info.Unmarshal(config); err != nil || !ok {
		t.Fatal(err)
	}
	if unit != int64(info.MaxBlockSize) || info.SampleRate != 48000 || info.ChannelCount != 2 || info.TotalSamples != 0 {
		t.Errorf("unit %d, %+v", unit, info)
	}
	for name, change := range map[string]func(b []byte) []byte{
		"another word":     func(b []byte) []byte { b[0] = 'F'; return b },
		"another block":    func(b []byte) []byte { b[4] = 1; return b },
		"another length":   func(b []byte) []byte { b[7] = 33; return b },
		"no rate":          func(b []byte) []byte { b[18], b[19], b[20] = 0, 0, 0; return b },
		"too small blocks": func(b []byte) []byte { b[8], b[9] = 0, 1; return b },
		"blocks reversed":  func(b []byte) []byte { b[10], b[11] = 0, 16; return b },
		"torn":             func(b []byte) []byte { return b[:41] },
	} {
		if _, _, ok := FLACOfHeader(change(bytes.Clone(file))); ok {
			t.Errorf("%s: taken", name)
		}
	}
}

// eac3Syncframe makes a syncframe of 48 kHz without sound in it: kind, substream, blocks code, channel mode, channel map.
func eac3Syncframe(kind, id, blocks, mode byte, chanmap uint16) []byte {
	const words = 32
	b := make([]byte, words*2)
	b[0], b[1] = 0x0b, 0x77
	b[2], b[3] = kind<<6|id<<3, words-1
	b[4], b[5] = blocks<<4|mode<<1, 16<<3
	if kind == eac3Dependent {
		// 5 bits of level from bit 45 on, no compression, chanmape, chanmap.
		v := (1<<16 | uint32(chanmap)) << (32 - 17 - 3)
		b[6] = byte(v >> 24)
		b[7], b[8] = byte(v>>16), byte(v>>8)
		b[6] = byte(v>>24) & 0x1f
	}
	return b
}

// A sample of E-AC-3 has six blocks of the first independent substream, and what belongs to them.
func TestEAC3Sample(t *testing.T) {
	join := func(b ...[]byte) []byte { return bytes.Join(b, nil) }
	six, three, one := eac3Syncframe(0, 0, 3, 7, 0), eac3Syncframe(0, 0, 2, 2, 0), eac3Syncframe(0, 0, 0, 2, 0)
	second := eac3Syncframe(0, 1, 3, 2, 0)
	back := eac3Syncframe(eac3Dependent, 0, 3, 2, 1<<9) // Lrs/Rrs
	for _, tt := range []struct {
		name   string
		in     []byte
		size   int
		config []byte // without the data rate
	}{
		{"alone", six, 64, []byte{0, 0, 0x20, 0x0e, 0}},
		{"before the next", join(six, six), 64, []byte{0, 0, 0x20, 0x0e, 0}},
		{"with a dependent one", join(six, back, six), 128, []byte{0, 0, 0x20, 0x0e, 0x02, 0x02}},
		{"with two dependent ones", join(six, back, eac3Syncframe(eac3Dependent, 1, 3, 2, 1<<10), six), 192, []byte{0, 0, 0x20, 0x0e, 0x04, 0x03}},
		{"with a second program", join(six, second, six), 128, []byte{0, 1, 0x20, 0x0e, 0, 0x20, 0x04, 0}},
		{"of three blocks each", join(three, three, three), 128, []byte{0, 0, 0x20, 0x04, 0}},
		{"of one block each", join(one, one, one, one, one, one, one), 384, []byte{0, 0, 0x20, 0x04, 0}},
		{"more is needed", join(three), 64 + AC3Header, []byte{0, 0, 0x20, 0x04, 0}},
		{"not whole", six[:40], 64, []byte{0, 0, 0x20, 0x0e, 0}},
		{"before something else", join(six, make([]byte, 20)), 64, []byte{0, 0, 0x20, 0x0e, 0}},
		{"torn by something else", join(three, make([]byte, 20)), 0, nil},
		{"dependent first", join(back, six), 0, nil},
		{"second program first", join(second, six), 0, nil},
		{"of more than any decoder takes", join(six, bytes.Repeat(back, eac3MaxFrames), six), 0, nil},
	} {
		f, ok := ParseAC3(tt.in)
		if ok != (tt.config != nil) || f.Size != tt.size {
			t.Errorf("%s: %+v, %v", tt.name, f, ok)
			continue
		}
		if !ok {
			continue
		}
		config := f.Track().Config
		if rate := int(config[0])<<5 | int(config[1])>>3; rate != tt.size*8*48000/1536/1000 {
			t.Errorf("%s: %d kbit/s", tt.name, rate)
		}
		config[0], config[1] = 0, config[1]&7
		if diff := cmp.Diff(tt.config, config); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		if f.Codec != media.EAC3 || f.Track().Unit != 1536 {
			t.Errorf("%s: %+v", tt.name, f)
		}
	}
}

// Bytes that only look like a header.
func TestAudioHeaderRefused(t *testing.T) {
	adts := []byte{0xff, 0xf1, 0x4c, 0x80, 0x02, 0x00, 0xfc}
	mp3 := []byte{0xff, 0xfb, 0x90, 0x00}
	ac3 := []byte{0x0b, 0x77, 0, 0, 0x14, 0x40, 0x43, 0, 0, 0, 0, 0}
	set := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	for _, tt := range []struct {
		name  string
		parse func([]byte) (AudioFrame, bool)
		good  []byte
		bad   [][]byte
	}{
		{"adts", ParseADTS, adts, [][]byte{
			nil, adts[:6], set(adts, 0, 0xfe), set(adts, 1, 0xf7), set(adts, 2, 0x74) /* rate */, set(adts, 4, 0), /* size */
		}},
		{"mpeg", ParseMPEGAudio, mp3, [][]byte{
			nil, mp3[:3], set(mp3, 0, 0xfe), set(mp3, 1, 0xeb) /* version */, set(mp3, 1, 0xff) /* layer I */, set(mp3, 1, 0xf9), /* no layer */
			set(mp3, 2, 0x00) /* free */, set(mp3, 2, 0xf0) /* bad bit rate */, set(mp3, 2, 0x9c) /* rate */, set(mp3, 3, 2), /* emphasis */
		}},
		{"ac-3", ParseAC3, ac3, [][]byte{
			nil, ac3[:11], set(ac3, 0, 0), set(ac3, 4, 0xc0) /* rate */, set(ac3, 4, 38) /* size */, set(ac3, 5, 9<<3) /* bsid */, set(ac3, 5, 17<<3),
		}},
	} {
		if f, ok := tt.parse(tt.good); !ok {
			t.Errorf("%s: %+v refused", tt.name, f)
		}
		for _, bad := range tt.bad {
			if f, ok := tt.parse(bad); ok {
				t.Errorf("%s: %x taken: %+v", tt.name, bad, f)
			}
		}
	}
	for _, adts := range [][]byte{set(adts, 3, 0x00), set(adts, 6, 0xfd)} {
		if f, ok := ParseADTS(adts); !ok || !f.Unsupported {
			t.Errorf("%x: %+v, %v", adts, f, ok)
		}
	}
}

// bitString makes bytes of zeros and ones; the last is filled with zeros.
func bitString(s string) (b []byte) {
	n := 0
	for _, c := range s {
		if c != '0' && c != '1' {
			continue
		}
		if n%8 == 0 {
			b = append(b, 0)
		}
		b[n/8] |= byte(c-'0') << (7 - n%8)
		n++
	}
	return b
}

// Forms of LATM that ffmpeg does not write.
func TestLATMForms(t *testing.T) {
	const (
		lc     = "00010 0011 0010 000"            // 48 kHz, two channels
		he     = "00101 0110 0010 0011 00010 000" // SBR, told before
		units  = "000 11111111"                   // length with each
		plain  = "0 0"                            // no other data, no checksum
		abc    = "00000011 01100001 01100010 01100011"
		shared = "0 1 000000 0000 000 "
	)
	for _, tt := range []struct {
		name   string
		bits   string
		units  []string
		config []byte
		fails  bool
	}{
		{"plain", "0 " + shared + lc + units + plain + abc, []string{"abc"}, []byte{0x11, 0x90}, false},
		{"told HE-AAC", "0 " + shared + he + units + plain + abc, []string{"abc"}, bitString(he), false},
		{"version 1", "0 1 0 00 11111111 1 000000 0000 000 00 00010000" + lc + units + plain + abc, []string{"abc"}, []byte{0x11, 0x90}, false},
		{"two to a frame", "0 0 1 000001 0000 000" + lc + units + plain + "00000001 01100001 00000001 01100010", []string{"a", "b"}, []byte{0x11, 0x90}, false},
		{"other data and checksum", "0 " + shared + lc + units + "1 1 00000001 0 00000010 1 10101010" + abc, []string{"abc"}, []byte{0x11, 0x90}, false},
		{"before any configuration", "1" + abc, nil, nil, false},
		{"two programs", "0 0 1 000000 0001 000" + lc + units + plain + abc, nil, nil, true},
		{"two layers", "0 0 1 000000 0000 001" + lc + units + plain + abc, nil, nil, true},
		{"version A", "0 1 1 1", nil, nil, true},
		{"CELP", "0 " + shared + lc + "100 000000" + plain + abc, nil, nil, true},
		{"unknown object of unknown length", "0 " + shared + "01000 0011 0010 000" + units + plain + abc, nil, nil, true},
		{"torn unit", "0 " + shared + lc + units + plain + "00000100 01100001", nil, nil, true},
		{"torn configuration", "0 " + shared + "00010", nil, nil, true},
	} {
		body := bitString(tt.bits)
		var l LATM
		got, track, changed, err := l.Read(append([]byte{0x56, 0xe0, byte(len(body))}, body...))
		if (err != nil) != tt.fails || changed != (tt.config != nil) || !bytes.Equal(track.Config, tt.config) {
			t.Errorf("%s: %x, %v, %v", tt.name, track.Config, changed, err)
		}
		var text []string
		for _, u := range got {
			text = append(text, string(u))
		}
		if diff := cmp.Diff(tt.units, text); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}
