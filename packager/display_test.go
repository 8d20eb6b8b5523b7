package packager

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// The colours of HDR are in the sample entry of every codec, and playlists say the range.
func TestMV16_CMF14_ColoursOfHDR(t *testing.T) {
	codecs := map[media.Codec]string{
		media.H264: "-c:v libx264 -preset ultrafast -pix_fmt yuv420p10le",
		media.HEVC: "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -tag:v hvc1",
		media.AV1:  "-c:v libaom-av1 -cpu-used 8 -usage realtime -pix_fmt yuv420p10le",
		media.VP9:  "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -profile:v 2 -pix_fmt yuv420p10le",
	}
	entries := map[media.Codec]string{media.H264: "avc1", media.HEVC: "hvc1", media.AV1: "av01", media.VP9: "vp09"}
	for codec, options := range codecs {
		for transfer, want := range map[string]string{"smpte2084": "PQ", "arib-std-b67": "HLG", "bt709": ""} {
			t.Run(string(codec)+" "+transfer, func(t *testing.T) {
				e := encoding{codec: codec, width: 160, options: strings.Fields(options + " -t 0.4 -g 10 " +
					"-color_primaries bt2020 -color_trc " + transfer + " -colorspace bt2020nc")} //nolint:misspell // ffmpeg's word
				switch codec {
				case media.HEVC:
					e.options = append(e.options, "-x265-params",
						"log-level=error:colorprim=bt2020:transfer="+transfer+":colormatrix=bt2020nc")
				case media.H264:
					e.options = append(e.options, "-x264-params", "colorprim=bt2020:transfer="+transfer+":colormatrix=bt2020nc")
				}
				track, _ := readClip(t, mustEncode(t, e), e)
				f, err := newFormat(track)
				if err != nil {
					t.Fatal(err)
				}
				if f.track.VideoRange != want {
					t.Errorf("range %q, want %q", f.track.VideoRange, want)
				}
				name := mustInit(t, f)
				got := probe(t, name)
				for _, line := range []string{
					"codec_tag_string=" + entries[codec], "color_transfer=" + transfer, "color_primaries=bt2020", "color_space=bt2020nc", //nolint:misspell // ffprobe's
				} {
					if !slices.Contains(got, line) {
						t.Errorf("no %s in %v", line, got)
					}
				}
			})
		}
	}
}

// mustInit writes a format's init section into a file.
func mustInit(tb testing.TB, f *format) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "init.mp4")
	if err := os.WriteFile(name, appendInit(nil, f), 0o600); err != nil {
		tb.Fatal(err)
	}
	return name
}

// What the publisher said of the light and of the turn is read by ffprobe, whose rotation is against the clock.
func TestMV4_MV16_CMF14_DisplayInTheInitSection(t *testing.T) {
	light := media.ContentLight{Max: 1000, Average: 400}
	mastering := media.Mastering{
		Primaries: [3][2]uint16{{8500, 39850}, {6550, 2300}, {35400, 14600}}, White: [2]uint16{15635, 16450},
		Max: 10_000_000, Min: 50,
	}
	for rotation, said := range map[int]string{0: "", 90: "rotation=-90", 180: "rotation=-180", 270: "rotation=90"} {
		track := videoTrack()
		track.Display = media.Display{Rotation: rotation, Light: light, Mastering: mastering}
		f, err := newFormat(track)
		if err != nil {
			t.Fatal(err)
		}
		width, height := 640, 360
		if rotation == 90 || rotation == 270 {
			width, height = height, width
		}
		if f.track.Width != width || f.track.Height != height {
			t.Errorf("MV-4: turned by %d the picture is %d x %d", rotation, f.track.Width, f.track.Height)
		}
		got := strings.Fields(mustRun(t, "ffprobe", "-v", "error", "-show_streams", "-of", "default=noprint_wrappers=1", mustInit(t, f)))
		want := []string{
			"width=640", "height=360", "red_x=35400/50000", "green_y=39850/50000", "blue_x=6550/50000", "white_point_y=16450/50000",
			"max_luminance=10000000/10000", "min_luminance=50/10000", "max_content=1000", "max_average=400",
		}
		if said != "" {
			want = append(want, said)
		} else if i := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "rotation=") }); i >= 0 {
			t.Errorf("%s of an upright picture", got[i])
		}
		for _, line := range want {
			if !slices.Contains(got, line) && line != "rotation=-180" || line == "rotation=-180" && !slices.Contains(got, line) &&
				!slices.Contains(got, "rotation=180") {
				t.Errorf("turned by %d: no %s in %v", rotation, line, got)
			}
		}
	}
}

// A turn needs another init section, and so a take; the light alone does not.
func TestMV4_MV16_TurnBeginsATake(t *testing.T) {
	onStage(t, func(s *stage) {
		p, src := s.open()
		s.play(p, src, 4*time.Second)
		lit := videoTrack()
		lit.Display.Light = media.ContentLight{Max: 1000}
		s.tracks(p, lit, audioTrack())
		s.play(p, src, 4*time.Second)
		if n := len(s.newest().Takes); n != 1 {
			t.Errorf("%d takes for a change of light", n)
		}
		lit.Display.Rotation = 90
		s.tracks(p, lit, audioTrack())
		s.play(p, src, 4*time.Second)
		takes := s.newest().Takes
		if len(takes) != 2 {
			t.Fatalf("%d takes", len(takes))
		}
		v, _ := takes[1].Track("video")
		if v.Width != 360 || v.Height != 640 || v.Display != lit.Display {
			t.Errorf("%d x %d, %+v", v.Width, v.Height, v.Display)
		}
		s.close(p, true)
	})
}
