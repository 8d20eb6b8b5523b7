package packager

import (
	"errors"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestCMF22_UnusableTracksAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*media.Track)
		want   error
	}{
		"codec":     {func(t *media.Track) { t.Codec = "vp8" }, media.ErrUnsupported},
		"kind":      {func(t *media.Track) { t.Kind = media.Audio }, media.ErrUnsupported},
		"name":      {func(t *media.Track) { t.Name = "../x" }, media.ErrBadName},
		"no config": {func(t *media.Track) { t.Config = nil }, media.ErrInvalid},
		"no PPS":    {func(t *media.Track) { t.Config = t.Config[:8+len(testSPS)] }, media.ErrInvalid},
		"broken SPS": {func(t *media.Track) {
			t.Config = append([]byte{1, 100, 0, 30, 255, 225, 0, 4, 0x67, 100, 0, 30}, 1, 0, 2, 0x68, 1)
		}, media.ErrInvalid},
	} {
		track := videoTrack()
		test.change(&track)
		if _, err := newFormat(track); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	audio := audioTrack()
	for _, config := range [][]byte{nil, {}, {0xff}, {0x11}} {
		audio.Config = config
		if _, err := newFormat(audio); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("AAC config %x: %v", config, err)
		}
	}
}

func TestTrackIsFilledIn(t *testing.T) {
	v, err := newFormat(videoTrack())
	if err != nil {
		t.Fatal(err)
	}
	if got := v.track; got.Width != 640 || got.Height != 360 || got.Timescale != 90000 || got.FrameRate != 30 ||
		got.CodecString != "avc1.64001e" {
		t.Errorf("video %+v", got)
	}
	a, err := newFormat(audioTrack())
	if err != nil {
		t.Fatal(err)
	}
	if got := a.track; got.SampleRate != 48000 || got.Channels != 2 || got.Timescale != 48000 || got.CodecString != "mp4a.40.2" {
		t.Errorf("audio %+v", got)
	}
	he := audioTrack()
	he.Config = []byte{0x2b, 0x11, 0x88, 0x00} // SBR over 24 kHz
	h, err := newFormat(he)
	if err != nil {
		t.Fatal(err)
	}
	if got := h.track; got.CodecString != "mp4a.40.5" || got.Timescale != 24000 || got.SampleRate != 48000 {
		t.Errorf("HE-AAC %+v", got)
	}
}

func TestPicturesPastTheLimitAreRefused(t *testing.T) {
	for _, c := range []struct {
		limit         string
		width, height int
		fits          bool
	}{
		{"", 7680, 4320, true}, {"1920x1080", 1920, 1080, true}, {"1920x1080", 1080, 1920, true},
		{"1920x1080", 1920, 1088, false}, {"1280x720", 1920, 1080, false}, {"1920x1080", 2560, 720, false},
	} {
		err := checkResolution(c.limit, c.width, c.height)
		if (err == nil) != c.fits || (err != nil && (!errors.Is(err, media.ErrLimit) || !strings.Contains(err.Error(), c.limit))) {
			t.Errorf("%d x %d, limit %q: %v", c.width, c.height, c.limit, err)
		}
	}
	st := mustStudio(t, t.TempDir())
	p := st.publish(1, func(s *media.Settings) { s.MaxResolution = "320x180" })
	if err := p.SetTracks([]media.Track{videoTrack()}); !errors.Is(err, media.ErrLimit) {
		t.Errorf("640 x 360 of at most 320 x 180: %v", err)
	}
}

func FuzzFormat(f *testing.F) {
	kinds := []struct {
		kind   media.Kind
		codec  media.Codec
		config []byte
	}{
		{media.Video, media.H264, videoTrack().Config},
		{media.Video, media.HEVC, hevcRecord()},
		{media.Video, media.AV1, []byte{0x81, 0, 0x0c, 0, 0x0a, 0x0b, 0, 0, 0, 0x24, 0xc4, 0xff, 0xdf, 0, 0x68, 0x02, 0}},
		{media.Video, media.VP9, []byte{0, 10, 0x82, 2, 2, 2, 0, 0}},
		{media.Audio, media.AAC, audioTrack().Config},
		{media.Audio, media.Opus, opusTrack("audio", 960).Config},
		{media.Audio, media.FLAC, append([]byte{4, 0x80, 4, 0x80, 0, 0, 0, 0, 0, 0, 0x0b, 0xb8, 0x02, 0xf0}, make([]byte, 20)...)},
		{media.Audio, media.AC3, []byte{0x10, 0x3d, 0xe0}},
		{media.Audio, media.EAC3, []byte{0x07, 0xc0, 0x20, 0x0f, 0x02, 0x01}},
		{media.Audio, media.MP3, []byte{0xff, 0xfb, 0, 0}},
		{media.Audio, media.MP2, []byte{0xff, 0xfd, 0x04, 0xc0}},
	}
	for i, k := range kinds {
		f.Add(k.config, i)
	}
	f.Fuzz(func(t *testing.T, config []byte, which int) {
		k := kinds[uint(which)%uint(len(kinds))]
		track := media.Track{Name: "track", Kind: k.kind, Codec: k.codec, Config: config, Width: 640, Height: 360}
		if k.codec == media.Opus {
			track.Unit = 960
		}
		format, err := newFormat(track)
		if err != nil {
			return
		}
		if again, err := newFormat(format.track); err != nil || !again.sameConfig(format) {
			t.Fatalf("the format's own config %x: %v", format.track.Config, err)
		}
		if init := appendInit(nil, format); len(init) > 1<<18 || len(format.silence) > 1<<18 {
			t.Fatalf("init section of %d bytes, silence of %d", len(init), len(format.silence))
		}
		if tr := &format.track; tr.Timescale <= 0 || tr.CodecString == "" || (k.kind == media.Audio && format.unit <= 0) {
			t.Fatalf("%+v", tr)
		}
	})
}

// hevcRecord is a configuration of x265's: Main, 160 x 90.
func hevcRecord() []byte {
	vps := []byte{0x40, 1, 0x0c, 1, 0xff, 0xff, 1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x1e, 0x95, 0x98, 0x09}
	sps := []byte{0x42, 1, 1, 1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x1e, 0xa0, 0x0a, 0x08, 0x0d, 0x96, 0x56, 0x69, 0x24,
		0xca, 0xf0, 0x10, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 1, 0x90, 0x80}
	b := []byte{1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 30, 0xf0, 0, 0xfc, 0xfd, 0xf8, 0xf8, 0, 0, 0x0f, 2}
	for i, unit := range [][]byte{vps, sps} {
		b = append(b, 0xa0|byte(i), 0, 1, 0, byte(len(unit)))
		b = append(b, unit...)
	}
	return b
}

func TestHEVCName(t *testing.T) {
	for want, record := range map[string][]byte{
		"hvc1.1.6.L30.90":       hevcRecord(),
		"hvc1.A2.4.H153.B0.0.1": {1, 0x62, 0x20, 0, 0, 0, 0xb0, 0, 1, 0, 0, 0, 153},
		"hvc1.4.10000010.L93":   {1, 4, 0x08, 0, 0, 0x08, 0, 0, 0, 0, 0, 0, 93},
	} {
		if got := hevcName(record); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
