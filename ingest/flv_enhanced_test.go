package ingest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// Audio that carries its own header, and the headers of audio that has one for all.
var (
	mp3Frame  = append([]byte{0xff, 0xfb, 0x90, 0x64}, make([]byte, 413)...) // MPEG-1 layer III, 128 kbit/s, 44100 Hz
	mp3Of48k  = append([]byte{0xff, 0xfb, 0x94, 0x64}, make([]byte, 380)...) // the same at 48000 Hz
	ac3Frame  = append([]byte{0x0b, 0x77, 0, 0, 0x08, 0x40, 0x4f, 0xff}, make([]byte, 248)...)
	opusHead  = "OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00"
	opus20ms  = "\xfc\x01\x02" // TOC: CELT, 20 ms, stereo, one frame
	opus10ms  = "\xf4\x01\x02"
	flacStart = "fLaC\x80\x00\x00\x22\x10\x00\x10\x00\x00\x00\x0e\x00\x20\x00\x0a\xc4\x42\xf0" + strings.Repeat("\x00", 20)
)

// ex makes an E-RTMP message: a flags byte, what is before the body, the body.
func ex(flags byte, head string, body []byte) []byte {
	return append(append([]byte{flags}, head...), body...)
}

// sized puts a track's id and size before its share.
func sized(number byte, body []byte) []byte {
	return append([]byte{number, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// describeTracks says what tracks were set, with codec, unit, language and label; then frames as track@pts.
func describeTracks(p *recPublication) string {
	var b strings.Builder
	for _, tracks := range p.tracks {
		for _, t := range tracks {
			fmt.Fprintf(&b, "%s:%s", t.Name, t.Codec)
			if t.Unit > 0 {
				fmt.Fprintf(&b, "/%d", t.Unit)
			}
			if t.Language != "" || t.Label != "" {
				fmt.Fprintf(&b, "(%s %s)", t.Language, t.Label)
			}
			b.WriteByte(' ')
		}
		b.WriteString("| ")
	}
	if len(p.tracks) > 0 {
		last := p.tracks[len(p.tracks)-1]
		for _, f := range p.frames {
			fmt.Fprintf(&b, "%s@%v ", last[f.Track].Name, f.PTS)
		}
	}
	return strings.TrimSpace(b.String())
}

var exTracks = metadata(
	amfProperty{"videocodecid", float64(fourAVC)}, amfProperty{"audiocodecid", float64(fourOpus)},
	amfProperty{"videoTrackIdInfoMap", amfObject{{"1", amfObject{{"width", 640.0}}}}},
	amfProperty{"audioTrackIdInfoMap", amfObject{
		{"0", amfObject{{"language", "en"}, {"lang", "x"}}}, {"1", amfObject{{"language", "de"}, {"label", "Deut\"\nsch\xff"}}},
		{"9", amfObject{}}, {"x", amfObject{}}, {"-1", amfObject{}},
	}},
)

var exCases = []struct {
	name   string
	tags   []tag
	want   string
	repair string
}{
	{name: "a legacy header and E-RTMP's are one track", tags: []tag{
		data(onlyVideo), video(0, videoConfig(testRecord)), video(0, videoUnit(0, idr(1))),
		video(0, ex(0x90, "avc1", testRecord)), video(40, ex(0xa3, "avc1", unitsOf(slice(1)))),
	}, want: "video:h264 | video@0s video@40ms", repair: repairRepeatedConfig},
	{name: "one track in a message", tags: []tag{
		data(exTracks), video(0, ex(0x96, "\x00avc1\x00", testRecord)), video(0, ex(0x96, "\x00avc1\x01", otherRecord)),
		audio(0, ex(0x95, "\x00mp4a\x00", testASC)), audio(0, ex(0x95, "\x00mp4a\x01", testASC)),
		video(0, ex(0x96, "\x01avc1\x01\x00\x00\x50", unitsOf(idr(1)))), video(0, ex(0x96, "\x03avc1\x00", unitsOf(idr(1)))),
		audio(23, ex(0x95, "\x01mp4a\x01", []byte{1})),
	}, want: "video:h264 video2:h264 audio:aac(en ) audio2:aac(de Deutsch) | video2@80ms video@0s audio2@23ms", repair: repairTrackLimit},
	{name: "many tracks in a message", tags: []tag{
		video(0, join(ex(0x96, "\x10avc1", sized(0, testRecord)), sized(3, otherRecord))), audio(0, audioConfig(testASC)),
		video(40, join(ex(0x96, "\x11avc1", sized(3, append([]byte{0, 0, 40}, unitsOf(idr(1))...))), sized(0, append([]byte{0, 0, 0}, unitsOf(idr(2))...)))),
	}, want: "video:h264 video4:h264 audio:aac | video4@80ms video@40ms"},
	{name: "many tracks of many codecs in a message", tags: []tag{
		data(onlyAudio),
		audio(0, join(ex(0x95, "\x20mp4a", sized(0, testASC)), []byte("fLaC"), sized(1, []byte(flacStart)))),
		audio(0, join(ex(0x95, "\x21fLaC", sized(1, []byte{9})), []byte("mp4a"), sized(0, []byte{8}))),
	}, want: "audio:aac audio2:flac/4096 | audio2@0s audio@0s"},
	{name: "a track past the limit is passed over", tags: []tag{
		data(onlyVideo), video(0, ex(0x96, "\x00avc1\x00", testRecord)), video(0, ex(0x96, "\x00avc1\x08", testRecord)),
		video(0, ex(0x96, "\x03avc1\x00", unitsOf(idr(1)))), video(0, ex(0x96, "\x03avc1\xff", unitsOf(idr(1)))),
	}, want: "video:h264 | video@0s", repair: repairTrackLimit},
	{name: "multitrack messages that end too early", tags: []tag{
		video(0, []byte{0x96}), video(0, []byte("\x96\x00av")), video(0, []byte("\x96\x00avc1")), video(0, []byte("\x96\x10avc1\x00\x00")),
		video(0, []byte("\x96\x10avc1\x00\x00\x00\x09a")), video(0, []byte("\x96\x20avc")), video(0, []byte("\x96\x20avc1")),
		video(0, []byte("\x96\x30avc1\x00")), video(0, []byte("\x96\x06avc1\x00\x00")),
	}, want: "", repair: repairEmptyFrame},

	{name: "nanoseconds", tags: []tag{
		data(onlyVideo), video(0, ex(0x90, "avc1", testRecord)),
		video(33, ex(0x97, "\x02\x05\x16\x15\x03avc1", unitsOf(idr(1)))),                            // 333333
		video(66, ex(0xa7, "\x02\x0a\x2c\x2b\x07\x00\x00\x1favc1\x00", nil)),                        // then an unknown one of one byte; no pictures
		video(99, ex(0xa7, "\x00\xff\x17\x02\xff\xff\xff\x03avc1", unitsOf(slice(1)))),              // an unknown one; too many nanoseconds
		video(132, ex(0xa7, "\xff\x00\xff"+strings.Repeat("x", 256)+"\x13avc1", unitsOf(slice(1)))), // an unknown one of 256 bytes
	}, want: "video:h264 | video@33.333333ms video@99.999999ms video@132ms"},

	{name: "Opus", tags: []tag{
		data(onlyAudio), audio(0, ex(0x90, "Opus", []byte(opusHead))), audio(0, ex(0x91, "Opus", []byte(opus20ms))),
		audio(0, ex(0x90, "Opus", []byte(opusHead))), audio(20, ex(0x91, "Opus", []byte(opus20ms))),
		audio(40, ex(0x91, "Opus", []byte(opus10ms))), audio(50, ex(0x91, "Opus", nil)),
	}, want: "audio:opus/960 | audio:opus/480 | audio@0s audio@20ms audio@40ms", repair: repairEmptyFrame},
	{name: "Opus with an empty sequence start and a channel configuration", tags: []tag{
		data(onlyAudio), audio(0, ex(0x94, "Opus", []byte{1, 6, 0, 0, 6, 0x3f})), audio(0, ex(0x90, "Opus", nil)),
		audio(0, ex(0x91, "Opus", []byte(opus20ms))), audio(20, ex(0x94, "Opus", []byte{2, 6, 0})), audio(20, ex(0x94, "Opus", []byte{9})),
	}, want: "audio:opus/960 | audio@0s", repair: repairUnknownPacket},
	{name: "FLAC", tags: []tag{
		data(onlyAudio), audio(0, ex(0x90, "fLaC", []byte("flac"))), audio(0, ex(0x90, "fLaC", []byte(flacStart))),
		audio(85, ex(0x91, "fLaC", []byte{0xff, 0xf8})),
	}, want: "audio:flac/4096 | audio@85ms", repair: string(bitstream.BadConfig)},
	{name: "FLAC with nothing but STREAMINFO", tags: []tag{
		data(onlyAudio), audio(0, ex(0x90, "fLaC", []byte(flacStart[8:]))), audio(0, ex(0x91, "fLaC", []byte{0xff, 0xf8})),
	}, want: "audio:flac/4096 | audio@0s"},
	{name: "MP3 is its own configuration", tags: []tag{
		data(onlyAudio), audio(0, ex(0x2f, "", mp3Frame)), audio(26, ex(0x91, ".mp3", mp3Frame)),
		audio(52, ex(0x2f, "", join(mp3Frame, mp3Frame))), audio(104, ex(0x2f, "", mp3Frame[:100])), audio(104, ex(0x2f, "", []byte{1})),
		audio(104, ex(0xef, "", mp3Of48k)), audio(105, ex(0x90, ".mp3", nil)),
	}, want: "audio:mp3/1152 | audio:mp3/1152 | audio@0s audio@26ms audio@52ms audio@78.122449ms audio@104ms", repair: repairAudioFrame},
	{name: "AC-3 is its own configuration", tags: []tag{
		data(onlyAudio), audio(0, ex(0x91, "ac-3", ac3Frame)), audio(32, ex(0x91, "ac-3", ac3Frame)), audio(64, ex(0x92, "ac-3", nil)),
	}, want: "audio:ac3/1536 | audio@0s audio@32ms"},
	{name: "another codec on the same track", tags: []tag{
		data(onlyAudio), audio(0, audioConfig(testASC)), audio(0, audioUnit(1)),
		audio(20, ex(0x91, "fLaC", []byte{1})), // its configuration is awaited
		audio(40, ex(0x90, "fLaC", []byte(flacStart))), audio(40, ex(0x91, "fLaC", []byte{1})), audio(60, ex(0x91, ".mp3", mp3Frame)),
		audio(86, audioUnit(1)), audio(86, audioConfig(testASC)), audio(86, audioUnit(1)),
	}, want: "audio:aac | audio:flac/4096 | audio:mp3/1152 | audio:aac | audio@0s audio@40ms audio@60ms audio@86ms", repair: repairNoConfig},
	{name: "metadata that comes late names the tracks", tags: []tag{
		audio(0, ex(0x95, "\x00mp4a\x00", testASC)), video(0, videoConfig(testRecord)), video(0, videoUnit(0, idr(1))), audio(0, audioUnit(1)),
		data(metadata(amfProperty{"audiocodecid", 10.0}, amfProperty{"language", "fr"})), data(metadata(amfProperty{"audiocodecid", 10.0}, amfProperty{"language", "fr"})),
		audio(23, audioUnit(1)),
	}, want: "video:h264 audio:aac | video:h264 audio:aac(fr ) | video@0s audio@0s audio@23ms"},
	{name: "colours, commands, ends, reserved packets", tags: []tag{
		data(onlyVideo), video(0, ex(0x84, "avc1", appendAMF0(nil, "colorInfo", amfObject{{"colorConfig", amfObject{{"bitDepth", 10.0}}}}))),
		video(0, []byte{0xd1, 0}), video(0, ex(0x92, "avc1", nil)), video(0, ex(0x95, "avc1", nil)), video(0, ex(0x9f, "avc1", nil)), audio(0, ex(0x93, "mp4a", nil)),
		video(0, ex(0x91, "avc1", []byte{0})),
	}, want: "", repair: repairUnknownPacket},
}

func TestEnhancedFLV(t *testing.T) {
	for _, tt := range exCases {
		t.Run(tt.name, func(t *testing.T) {
			p := &recPublication{rec: newRecorder()}
			d, l := newTestDemuxer(t, p)
			if err := d.feed(tt.tags...); err != nil {
				t.Fatal(err)
			}
			if got := describeTracks(p); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if tt.repair != "" && repairs(l, tt.repair) == 0 {
				t.Errorf("no %s was counted", tt.repair)
			}
		})
	}
}

func TestTrackNames(t *testing.T) {
	for _, tt := range []struct {
		object amfObject
		want   trackName
	}{
		{nil, trackName{}},
		{amfObject{{"language", "pt-BR"}, {"title", "Português"}}, trackName{language: "pt-BR", label: "Português"}},
		{amfObject{{"lang", "\",URI=\"x"}, {"label", ""}, {"name", "a\"b\r\nc\xff"}}, trackName{label: "abc"}},
		{amfObject{{"language", 1.0}, {"label", strings.Repeat("x", 200)}}, trackName{label: strings.Repeat("x", maxTrackName)}},
	} {
		if got := nameOf(tt.object); got != tt.want {
			t.Errorf("%v: got %+v, want %+v", tt.object, got, tt.want)
		}
	}
}

// What the connect command promises is what is taken.
func TestFourCCs(t *testing.T) {
	for _, kind := range []media.Kind{media.Video, media.Audio} {
		for _, text := range fourCCsOf(kind) {
			fourCC := uint32(text[0])<<24 | uint32(text[1])<<16 | uint32(text[2])<<8 | uint32(text[3])
			if _, ok := codecOf(kind, fourCC); !ok {
				t.Errorf("%s is promised and not taken", text)
			}
		}
	}
}
