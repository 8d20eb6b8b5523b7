package hls

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/bluenviron/gohlslib/v2/pkg/playlist"
	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

var update = flag.Bool("update", false, "write the golden playlists anew")

// golden compares text with testdata/name.
func golden(t *testing.T, name string, text []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(text)); d != "" {
		t.Errorf("%s (run with -update if that is meant):\n%s", name, d)
	}
}

// short is a show of two takes with a lost segment and a filler between them.
func short(c media.Constants, tracks ...media.Track) *sim {
	s := newSim(c, tracks...)
	s.run(3, true)
	s.gap(false)
	s.run(5, false)
	s.open(false)
	s.interrupt()
	s.gap(true)
	s.resume()
	s.run(5, true)
	s.part()
	s.part()
	s.publish()
	return s
}

func TestGoldenPlaylists(t *testing.T) {
	render := func(s *Snapshot, r int, k Kind, skip Skip) []byte {
		return AppendMedia(nil, s, Playlist{Rendition: r, Kind: k}, skip, nil)
	}
	low := short(lowConstants(), videoTrack(), audioTrack())
	live := low.versions[len(low.versions)-1]
	low.end()
	ended := *low.versions[len(low.versions)-1]
	archived := ended
	archived.State = media.Archived
	archived.Measure()
	standard := short(standardConstants(), videoTrack(), audioTrack())
	plain := standard.versions[len(standard.versions)-1]

	golden(t, "live_video.m3u8", render(live, 0, Sliding, SkipNone))
	golden(t, "live_audio.m3u8", render(live, 1, Sliding, SkipNone))
	golden(t, "live_video_skip.m3u8", render(live, 0, Sliding, SkipYes))
	golden(t, "live_video_skip_v2.m3u8", render(live, 0, Sliding, SkipV2))
	golden(t, "live_ended_video.m3u8", render(&ended, 0, Sliding, SkipNone))
	golden(t, "event_video.m3u8", render(live, 0, Whole, SkipNone))
	golden(t, "event_ended_audio.m3u8", render(&ended, 1, Whole, SkipNone))
	golden(t, "vod_video.m3u8", render(&archived, 0, Whole, SkipNone))
	golden(t, "vod_audio.m3u8", render(&archived, 1, Whole, SkipNone))
	golden(t, "standard_video.m3u8", render(plain, 0, Sliding, SkipNone))
	golden(t, "index_live.m3u8", AppendMultivariant(nil, live, "01m9zv8q0000000000000000aa/live/"))
	for name, text := range Static(&archived, "") {
		golden(t, "static_"+name, text)
	}
	audio := newSim(lowConstants(), audioTrack())
	audio.run(2, true)
	golden(t, "index_audio_only.m3u8", AppendMultivariant(nil, audio.publish(), ""))
	video := newSim(lowConstants(), videoTrack())
	video.run(2, true)
	golden(t, "index_video_only.m3u8", AppendMultivariant(nil, video.publish(), ""))
}

func TestMV1_MV2_MV4_MV5_MV6_MV8_MV9_MV10_MV12_CC1_Multivariant(t *testing.T) {
	s := short(lowConstants(), videoTrack(), audioTrack())
	text := AppendMultivariant(nil, s.publish(), "live/")
	var m playlist.Multivariant
	if err := m.Unmarshal(text); err != nil {
		t.Fatal(err)
	}
	rate, average, uri, channels := 30.0, 3_900_000, "live/audio.m3u8", "2"
	want := playlist.Multivariant{
		Version: 6, IndependentSegments: true,
		Variants: []*playlist.MultivariantVariant{{
			Bandwidth: 4_200_000, AverageBandwidth: &average, Codecs: []string{"avc1.64001f", "mp4a.40.2"},
			Resolution: "1280x720", FrameRate: &rate, Audio: "audio", ClosedCaptions: "NONE", URI: "live/video.m3u8",
		}},
		Renditions: []*playlist.MultivariantRendition{{
			Type: "AUDIO", GroupID: "audio", Name: "audio", Language: "und", Autoselect: true, Default: true,
			Channels: &channels, URI: &uri,
		}},
	}
	if d := cmp.Diff(want, m); d != "" {
		t.Error(d)
	}
	s.snap.Independent = false
	if bytes.Contains(AppendMultivariant(nil, s.publish(), ""), []byte("INDEPENDENT")) {
		t.Error("MV-12: INDEPENDENT-SEGMENTS of a show whose segments are not")
	}
}

func TestMV2_MV8_MV16_MultitrackMultivariant(t *testing.T) {
	small := videoTrack()
	small.Name, small.CodecString, small.Width, small.Height = "video2", "hvc1.2.4.L93.B0", 640, 360
	small.Codec, small.VideoRange, small.FrameRate = media.HEVC, "PQ", 29.97
	german, opus, label := audioTrack(), audioTrack(), audioTrack()
	german.Name, german.Language, german.CodecString = "audio2", "de", "mp4a.40.5"
	opus.Name, opus.Codec, opus.CodecString, opus.Channels = "audio3", media.Opus, "Opus", 6
	label.Name, label.Language, label.Label = "audio4", "en", " Director\"s\ncut "
	again := label
	again.Name = "audio5"
	s := newSim(lowConstants(), videoTrack(), small, audioTrack(), german, opus, label, again)
	s.snap.Renditions[1].Bandwidth, s.snap.Renditions[1].AverageBandwidth = 900_000, 800_000
	s.snap.Renditions[4].Bandwidth, s.snap.Renditions[4].AverageBandwidth = 320_000, 310_000
	s.run(2, true)
	text := AppendMultivariant(nil, s.publish(), "live/")
	golden(t, "index_multitrack.m3u8", text)
	var m playlist.Multivariant
	if err := m.Unmarshal(text); err != nil || len(m.Variants) != 4 || len(m.Renditions) != 8 {
		t.Errorf("%v: %d variants, %d renditions", err, len(m.Variants), len(m.Renditions))
	}
	sound := newSim(lowConstants(), audioTrack(), opus, german)
	sound.run(2, true)
	golden(t, "index_multitrack_audio.m3u8", AppendMultivariant(nil, sound.publish(), ""))
	pictures := newSim(lowConstants(), videoTrack(), small)
	pictures.run(2, true)
	golden(t, "index_multitrack_video.m3u8", AppendMultivariant(nil, pictures.publish(), ""))
}

func TestMV8_SecondAudioTrackIsNoDefault(t *testing.T) {
	second := audioTrack()
	second.Name, second.Language = "audio2", "de"
	s := newSim(lowConstants(), videoTrack(), audioTrack(), second)
	s.run(1, true)
	golden(t, "index_two_audio.m3u8", AppendMultivariant(nil, s.publish(), ""))
	audioOnly := newSim(lowConstants(), audioTrack(), second)
	audioOnly.run(1, true)
	golden(t, "index_two_audio_only.m3u8", AppendMultivariant(nil, audioOnly.publish(), ""))
}

func TestLIF5_SYN5_VODLeavesFillersOut(t *testing.T) {
	s := life(lowConstants(), videoTrack(), audioTrack())
	v := *s.versions[len(s.versions)-1]
	v.State = media.Archived
	for r := range v.Renditions {
		for name, text := range map[string][]byte{
			"vod": AppendMedia(nil, &v, Playlist{Rendition: r, Kind: Whole}, SkipYes, nil), "static": Static(&v, "")[v.Renditions[r].Name+".m3u8"],
		} {
			p := parse(t, text)
			if p.version != 6 || p.kind != "VOD" || !p.endlist || len(p.control) > 0 || p.partInf != "" || p.skipped > 0 {
				t.Errorf("%s: %+v", name, p)
			}
			want, breaks, gaps := 0, 0, 0
			for _, seg := range v.Renditions[r].Segments {
				if !seg.Filler {
					want++
				}
			}
			for _, seg := range p.segments {
				if len(seg.parts) > 0 {
					t.Errorf("%s: parts in %d", name, seg.msn)
				}
				if seg.breaks {
					breaks++
				}
				if seg.gap {
					gaps++
				}
			}
			if len(p.segments) != want || breaks != 2 || gaps != 1 {
				t.Errorf("%s: %d segments, want %d; %d breaks, %d gaps", name, len(p.segments), want, breaks, gaps)
			}
		}
	}
}

func TestMV1_MV6_Measure(t *testing.T) {
	s := newSim(lowConstants(), videoTrack(), audioTrack())
	s.run(10, false)
	s.gap(false)
	s.timeline[0].perPart *= 3 // one segment of three times the rate
	s.run(1, false)
	s.timeline[0].perPart /= 3
	s.run(10, false)
	v := s.publish()
	v.Measure()
	audio := int64(8 * 8000 * 48000 / (23 * 1024))
	const video = 250_000 * 8 * 2
	if peak := int64(3*video) + audio; v.Bandwidth < peak || v.Bandwidth > peak+2 {
		t.Errorf("peak %d, want %d", v.Bandwidth, peak)
	}
	if average := int64(video*23/21) + audio; v.AverageBandwidth < average || v.AverageBandwidth > average+2 {
		t.Errorf("average %d, want %d", v.AverageBandwidth, average)
	}
}

func TestMeasureOfAShortRecording(t *testing.T) {
	s := newSim(lowConstants(), videoTrack())
	s.open(false)
	s.part()
	s.end()
	v := s.publish()
	v.Measure()
	if v.Bandwidth != 4_000_000 || v.AverageBandwidth != 4_000_000 {
		t.Errorf("%d %d", v.Bandwidth, v.AverageBandwidth)
	}
}

func TestCheckFindsBrokenSnapshots(t *testing.T) {
	breaks := map[string]func(*Snapshot){
		"target duration": func(s *Snapshot) { s.Constants.TargetDuration = 0 },
		"msn":             func(s *Snapshot) { s.Renditions[0].Segments[2].MSN = 7 },
		"take":            func(s *Snapshot) { s.Renditions[0].Segments[2].Take = 9 },
		"timescale":       func(s *Snapshot) { s.Takes[0].Tracks = []media.Track{{Name: "video"}} },
		"parts":           func(s *Snapshot) { s.Renditions[0].Parts = make([][]media.Part, 99) },
		"open":            func(s *Snapshot) { s.Renditions[0].Open = &OpenSegment{MSN: 1, Take: 1} },
	}
	for name, breakIt := range breaks {
		s := newSim(lowConstants(), videoTrack())
		s.run(4, false)
		v := s.publish()
		if err := v.Check(); err != nil {
			t.Fatal(err)
		}
		breakIt(v)
		if v.Check() == nil {
			t.Errorf("%s: not found", name)
		}
	}
}

func TestSEQ8_WindowHasSixSegments(t *testing.T) {
	s := newSim(lowConstants(), videoTrack())
	s.snap.Window = 0
	s.run(20, false)
	if p := parse(t, AppendMedia(nil, s.publish(), Playlist{Kind: Sliding}, SkipNone, nil)); len(p.segments) != 6 || p.sequence != 15 {
		t.Errorf("%d segments from %d", len(p.segments), p.sequence)
	}
}
