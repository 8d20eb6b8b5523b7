package packager

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

func testSets() parameterSets {
	return parameterSets{sps: [][]byte{testSPS}, pps: [][]byte{testPPS}}
}

func TestSamplesLoseDelimitersFillerAndKnownParameterSets(t *testing.T) {
	idr, sei, other := []byte{0x65, 1}, []byte{6, 5, 1, 0, 0x80}, []byte{0x68, 1, 2}
	tests := []struct {
		name    string
		payload []byte
		want    []byte
		au      accessUnit
	}{
		{"delimiter and known sets", nals([]byte{9, 0xf0}, testSPS, testPPS, sei, idr), nals(sei, idr), accessUnit{vcl: true, idr: true}},
		{"filler and ends", nals(idr, []byte{12, 0xff}, []byte{10}, []byte{11}), nals(idr), accessUnit{vcl: true, idr: true}},
		{"foreign set stays", nals(other, idr), nals(other, idr), accessUnit{vcl: true, idr: true, foreign: true}},
		{"empty units", nals(nil, idr, nil), nals(idr), accessUnit{vcl: true, idr: true}},
		{"sets alone", nals(testSPS, testPPS), nil, accessUnit{}},
		{"nothing", nil, nil, accessUnit{}},
		{"recovery point", nals([]byte{6, 5, 2, 9, 9, 6, 1, 0x84, 0x80}, []byte{0x41, 1}),
			nals([]byte{6, 5, 2, 9, 9, 6, 1, 0x84, 0x80}, []byte{0x41, 1}), accessUnit{vcl: true, recovery: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			au, err := inspect(test.payload, testSets())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.au, au, cmp.AllowUnexported(accessUnit{})); diff != "" {
				t.Error(diff)
			}
			if got := appendSample(nil, test.payload, testSets()); !bytes.Equal(got, test.want) {
				t.Errorf("sample %x, want %x", got, test.want)
			}
		})
	}
}

func TestMalformedFramesAreErrors(t *testing.T) {
	many := bytes.Repeat(nals([]byte{0x41}), maxNALUnits+1)
	for name, test := range map[string]struct {
		payload []byte
		want    error
	}{
		"length past the end": {[]byte{0, 0, 0, 9, 0x65}, media.ErrInvalid},
		"half a length":       {[]byte{0, 0}, media.ErrInvalid},
		"largest length":      {[]byte{0xff, 0xff, 0xff, 0xff, 0x65}, media.ErrInvalid},
		"too many units":      {many, media.ErrTooLarge},
		"too many bytes":      {make([]byte, maxAccessUnit+1), media.ErrTooLarge},
	} {
		if _, err := inspect(test.payload, testSets()); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMergedParameterSets(t *testing.T) {
	sps, pps := []byte{0x67, 1, 2, 3}, []byte{0x68, 9}
	merged, ok := testSets().merge(nals(sps, pps, pps))
	if !ok || !merged.equal(parameterSets{sps: [][]byte{sps}, pps: [][]byte{pps}}) {
		t.Errorf("%v %+v", ok, merged)
	}
	merged, ok = testSets().merge(nals(testPPS))
	if !ok || !merged.equal(testSets()) {
		t.Errorf("identical sets: %v %+v", ok, merged)
	}
}

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

func FuzzInspect(f *testing.F) {
	f.Add(nals([]byte{9, 0xf0}, testSPS, testPPS, []byte{0x65, 1}))
	f.Add([]byte{0, 0, 0, 9, 0x65})
	f.Add(nals([]byte{6, 0xff, 0xff, 1, 0xff}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		au, err := inspect(payload, testSets())
		if err != nil {
			return
		}
		out := appendSample(nil, payload, testSets())
		if len(out) > len(payload) {
			t.Fatalf("a sample of %d bytes from %d", len(out), len(payload))
		}
		if again, err := inspect(out, testSets()); err != nil || again.vcl != au.vcl || again.idr != au.idr {
			t.Fatalf("sample reads as %+v, %v, the frame as %+v", again, err, au)
		}
		if sets, ok := testSets().merge(payload); ok && (len(sets.sps) == 0 || len(sets.pps) == 0) {
			t.Fatal("merged sets are empty")
		}
	})
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
