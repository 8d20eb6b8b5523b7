package bitstream

import (
	"bytes"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/ac3"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/eac3"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg1audio"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/oxbow-video/oxbow/internal/media"
)

func tone(source string, args ...string) []string {
	return append([]string{"-f", "lavfi", "-i", source}, args...)
}

const (
	sine   = "sine=frequency=440:duration=1:sample_rate=48000"
	stereo = "aevalsrc=0.1*sin(440*t)|0.1*sin(550*t):d=1:s=44100"
	six    = "aevalsrc=0.1*sin(440*t)|0|0|0|0|0:d=1:s=48000:c=5.1"
)

// Frames with a header of their own follow each other without a gap, and say what another reader reads in them.
func TestAudioFramesOfEncoders(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ext   string
		args  []string
		parse func([]byte) (AudioFrame, bool)
		want  AudioFrame
		other func(t *testing.T, b []byte, f AudioFrame)
	}{
		{"aac", "adts", tone(sine, "-c:a", "aac"), ParseADTS, AudioFrame{Codec: media.AAC, Samples: 1024, Rate: 48000}, nil},
		{"aac 5.1", "adts", tone(six, "-c:a", "aac"), ParseADTS, AudioFrame{Codec: media.AAC, Samples: 1024, Rate: 48000}, nil},
		{"ac-3", "ac3", tone(sine, "-c:a", "ac3"), ParseAC3, AudioFrame{Codec: media.AC3, Samples: 1536, Rate: 48000}, otherAC3},
		{"ac-3 44.1 kHz", "ac3", tone(stereo, "-c:a", "ac3", "-b:a", "192k"), ParseAC3, AudioFrame{Codec: media.AC3, Samples: 1536, Rate: 44100}, otherAC3},
		{"ac-3 5.1", "ac3", tone(six, "-c:a", "ac3"), ParseAC3, AudioFrame{Codec: media.AC3, Samples: 1536, Rate: 48000}, otherAC3},
		{"e-ac-3", "eac3", tone(sine, "-c:a", "eac3"), ParseAC3, AudioFrame{Codec: media.EAC3, Samples: 1536, Rate: 48000}, otherEAC3},
		{"e-ac-3 5.1", "eac3", tone(six, "-c:a", "eac3"), ParseAC3, AudioFrame{Codec: media.EAC3, Samples: 1536, Rate: 48000}, otherEAC3},
		{"e-ac-3 of short frames", "eac3", tone(stereo, "-c:a", "eac3", "-b:a", "1024k"), ParseAC3, AudioFrame{Codec: media.EAC3, Samples: 1536, Rate: 44100}, nil},
		{"mp3", "mp3", tone(stereo, "-c:a", "libmp3lame", "-write_xing", "0", "-id3v2_version", "0"), ParseMPEGAudio, AudioFrame{Codec: media.MP3, Samples: 1152, Rate: 44100}, otherMPEG},
		{"mp3 22.05 kHz", "mp3", tone(stereo, "-ar", "22050", "-c:a", "libmp3lame", "-write_xing", "0", "-id3v2_version", "0"), ParseMPEGAudio, AudioFrame{Codec: media.MP3, Samples: 576, Rate: 22050}, nil},
		{"mp3 11.025 kHz", "mp3", tone(stereo, "-ar", "11025", "-c:a", "libmp3lame", "-write_xing", "0", "-id3v2_version", "0"), ParseMPEGAudio, AudioFrame{Codec: media.MP3, Samples: 576, Rate: 11025}, nil},
		{"mp3 of changing bit rate", "mp3", tone(stereo, "-c:a", "libmp3lame", "-q:a", "2", "-write_xing", "0", "-id3v2_version", "0"), ParseMPEGAudio, AudioFrame{Codec: media.MP3, Samples: 1152, Rate: 44100}, otherMPEG},
		{"mp2", "mp2", tone(sine, "-c:a", "mp2"), ParseMPEGAudio, AudioFrame{Codec: media.MP2, Samples: 1152, Rate: 48000}, otherMPEG},
		{"mp2 24 kHz", "mp2", tone(sine, "-ar", "24000", "-c:a", "mp2"), ParseMPEGAudio, AudioFrame{Codec: media.MP2, Samples: 1152, Rate: 24000}, otherMPEG},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := encoded(t, tt.ext, tt.args...)
			var first AudioFrame
			count, length := int64(0), len(b)
			for ; len(b) > 0; count++ {
				f, ok := tt.parse(b)
				if !ok || f.Size > len(b) {
					t.Fatalf("frame %d at %d of %d: %+v", count, length-len(b), length, f)
				}
				if count == 0 {
					first = f
				}
				if !f.SameTrack(first) {
					t.Fatalf("frame %d is of another track: %+v, %+v", count, f, first)
				}
				if tt.other != nil {
					tt.other(t, b, f)
				}
				b = b[f.Size:]
			}
			if first.Codec != tt.want.Codec || first.Samples != tt.want.Samples || first.Rate != tt.want.Rate || first.Unsupported {
				t.Errorf("%+v, want %+v", first, tt.want)
			}
			if seconds := float64(count*first.Samples) / float64(first.Rate); seconds < 1 || seconds > 1.2 {
				t.Errorf("%d frames are %.2f s", count, seconds)
			}
		})
	}
}

func otherAC3(t *testing.T, b []byte, f AudioFrame) {
	var info ac3.SyncInfo
	var bsi ac3.BSI
	if err := info.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	if err := bsi.Unmarshal(b[5:]); err != nil {
		t.Fatal(err)
	}
	if info.FrameSize() != f.Size || int64(info.SampleRate()) != f.Rate {
		t.Fatalf("%+v, %+v", f, info)
	}
	config := f.Track().Config
	v := uint32(config[0])<<16 | uint32(config[1])<<8 | uint32(config[2])
	if byte(v>>22) != info.Fscod || byte(v>>17&31) != bsi.Bsid || byte(v>>11&7) != bsi.Acmod || v>>10&1 == 1 != bsi.LfeOn {
		t.Fatalf("%x, %+v", config, bsi)
	}
}

func otherEAC3(t *testing.T, b []byte, f AudioFrame) {
	var info eac3.SyncInfo
	if err := info.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	if info.FrameSize() != f.Size || int64(info.SampleRate()) != f.Rate {
		t.Fatalf("%+v, %+v", f, info)
	}
}

// otherMPEG is of no use for MPEG-2 layer III, whose frames mediacommon 2.9.5 takes for twice as long as they are.
func otherMPEG(t *testing.T, b []byte, f AudioFrame) {
	var h mpeg1audio.FrameHeader
	if err := h.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	if h.FrameLen() != f.Size || int64(h.SampleRate) != f.Rate || int64(h.SampleCount()) != f.Samples {
		t.Fatalf("%+v, %+v", f, h)
	}
}

// An ADTS frame gives the same access unit and configuration as another reader's.
func TestADTSOfEncoder(t *testing.T) {
	b := encoded(t, "adts", tone(stereo, "-c:a", "aac")...)
	var packets mpeg4audio.ADTSPackets
	if err := packets.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	for i, p := range packets {
		f, ok := ParseADTS(b)
		if !ok {
			t.Fatal(i)
		}
		config, err := mpeg4audio.AudioSpecificConfig{Type: p.Type, SampleRate: p.SampleRate, ChannelConfig: p.ChannelConfig, ChannelCount: p.ChannelCount}.Marshal() //nolint:staticcheck // set both
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b[f.Header:f.Size], p.AU) || !bytes.Equal(config, f.Track().Config) {
			t.Fatalf("frame %d differs", i)
		}
		if au, ok := WithoutADTS(b[:f.Size]); !ok || !bytes.Equal(au, p.AU) {
			t.Fatalf("frame %d keeps its header", i)
		}
		b = b[f.Size:]
	}
}

// What LATM carries is what ADTS carries of the same encoder.
func TestLATMOfEncoder(t *testing.T) {
	for _, args := range [][]string{
		tone(stereo, "-c:a", "aac", "-bitexact"), tone(six, "-c:a", "aac", "-bitexact"), tone(sine, "-c:a", "aac", "-bitexact"),
	} {
		adts := encoded(t, "adts", args...)
		loas := encoded(t, "loas", append(args, "-f", "latm", "-smc-interval", "5")...)
		var l LATM
		frames := 0
		for len(loas) > 0 {
			size, ok := l.Parse(loas)
			if !ok || size > len(loas) {
				t.Fatalf("frame %d: size %d of %d", frames, size, len(loas))
			}
			units, track, changed, err := l.Read(loas[:size])
			if err != nil || len(units) != 1 {
				t.Fatalf("frame %d: %d units, %v", frames, len(units), err)
			}
			f, ok := ParseADTS(adts)
			if !ok || !bytes.Equal(units[0], adts[f.Header:f.Size]) {
				t.Fatalf("frame %d: another unit", frames)
			}
			if changed != (frames == 0) {
				t.Fatalf("frame %d: changed is %v", frames, changed)
			}
			if changed && (track.Codec != media.AAC || track.Unit != 0 || !bytes.HasPrefix(track.Config, f.Track().Config)) {
				t.Fatalf("%+v, want %x", track, f.Track().Config)
			}
			frames++
			adts, loas = adts[f.Size:], loas[size:]
		}
		if frames < 40 || len(adts) > 0 {
			t.Errorf("%d frames, %d bytes left", frames, len(adts))
		}
	}
}
