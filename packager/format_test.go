package packager

import (
	"errors"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestUnusableTracksAreRefused(t *testing.T) {
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

func FuzzFormat(f *testing.F) {
	f.Add(videoTrack().Config, true)
	f.Add(audioTrack().Config, false)
	f.Fuzz(func(t *testing.T, config []byte, video bool) {
		track := audioTrack()
		if video {
			track = videoTrack()
		}
		track.Config = config
		format, err := newFormat(track)
		if err != nil {
			return
		}
		if again, err := newFormat(format.track); err != nil || !again.sameConfig(format) {
			t.Fatalf("the format's own config %x: %v", format.track.Config, err)
		}
		if init := appendInit(nil, format); len(init) > 1<<18 {
			t.Fatalf("init section of %d bytes", len(init))
		}
	})
}
