package packager

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// encoding is a codec, how ffmpeg is made to write it, and what is to be read out of it.
type encoding struct {
	codec   media.Codec
	name    string // CODECS
	options []string
	width   int
	unit    int64
	rate    int
	channel int
}

func encodings() []encoding {
	list := func(s string) []string { return strings.Fields(s) }
	return []encoding{
		{codec: media.H264, name: "avc1.64000b", width: 160, options: list("-c:v libx264 -preset veryfast -g 25 -bf 2")},
		{codec: media.HEVC, name: "hvc1.1.6.L30.90", width: 160, options: list("-c:v libx265 -preset ultrafast -g 25 " +
			"-tag:v hvc1 -x265-params open-gop=0:log-level=error")},
		{codec: media.HEVC, name: "hvc1.2.4.L30.90", width: 160, options: list("-c:v libx265 -preset ultrafast -g 25 " +
			"-tag:v hvc1 -pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc " + //nolint:misspell // ffmpeg's word
			"-x265-params open-gop=0:log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc")},
		{codec: media.AV1, name: "av01.0.00M.08", width: 160, options: list("-c:v libaom-av1 -cpu-used 8 -usage realtime " +
			"-g 25 -pix_fmt yuv420p")},
		{codec: media.VP9, name: "vp09.00.10.08", width: 160, options: list("-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25 " +
			"-pix_fmt yuv420p")},
		{codec: media.AAC, name: "mp4a.40.2", unit: 1024, rate: 48000, channel: 2, options: list("-c:a aac")},
		{codec: media.Opus, name: "Opus", unit: 960, rate: 48000, channel: 2, options: list("-c:a libopus")},
		{codec: media.Opus, name: "Opus", unit: 2880, rate: 48000, channel: 6, options: list("-c:a libopus -ac 6 -frame_duration 60 -mapping_family 1")},
		{codec: media.FLAC, name: "fLaC", unit: 1152, rate: 48000, channel: 2, options: list("-c:a flac -strict -2 -frame_size 1152")},
		{codec: media.AC3, name: "ac-3", unit: 1536, rate: 48000, channel: 6, options: list("-c:a ac3 -ac 6")},
		{codec: media.EAC3, name: "ec-3", unit: 1536, rate: 48000, channel: 2, options: list("-c:a eac3")},
		{codec: media.MP3, name: "mp4a.40.34", unit: 1152, rate: 44100, channel: 2, options: list("-c:a libmp3lame -ar 44100")},
		{codec: media.MP3, name: "mp4a.40.34", unit: 576, rate: 22050, channel: 1, options: list("-c:a libmp3lame -ar 22050 -ac 1")},
		{codec: media.MP2, name: "mp4a.40.33", unit: 1152, rate: 48000, channel: 2, options: list("-c:a mp2")},
	}
}

// mustEncode gives a clip as ffmpeg writes it into fragmented MP4.
func mustEncode(tb testing.TB, e encoding) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "clip.mp4")
	source := "testsrc2=size=160x90:rate=25:duration=5"
	if e.width == 0 {
		source = "aevalsrc=exprs=0.3*sin(880*PI*t)|0.3*sin(440*PI*t):s=48000:d=5"
	}
	args := append([]string{"-v", "error", "-f", "lavfi", "-i", source}, e.options...)
	mustRun(tb, "ffmpeg", append(args, "-threads", "1", "-movflags", "frag_keyframe+empty_moov+default_base_moof+delay_moov",
		file)...)
	return file
}

// configOf finds the configuration of a file's only track.
func configOf(tb testing.TB, file []byte, codec media.Codec) []byte {
	tb.Helper()
	boxes := map[media.Codec]struct {
		kind string
		skip int
	}{
		media.H264: {"avcC", 0}, media.HEVC: {"hvcC", 0}, media.AV1: {"av1C", 0}, media.VP9: {"vpcC", 4}, media.Opus: {"dOps", 0},
		media.FLAC: {"dfLa", 8}, media.AC3: {"dac3", 0}, media.EAC3: {"dec3", 0}, media.AAC: {"esds", 0},
	}
	if codec == media.MP3 || codec == media.MP2 {
		return nil
	}
	want := boxes[codec]
	at := bytes.Index(file, []byte(want.kind))
	if at < 0 {
		tb.Fatalf("no %s", want.kind)
	}
	body := file[at+4 : at-4+int(binary.BigEndian.Uint32(file[at-4:]))][want.skip:]
	if codec == media.AAC { // the descriptor of tag 5, whose size has four bytes
		at := bytes.LastIndex(body, []byte{5, 0x80, 0x80, 0x80})
		body = body[at+5:][:body[at+4]]
	}
	return body
}

// readClip gives the track and the frames of a clip.
func readClip(tb testing.TB, file string, e encoding) (media.Track, []*media.Frame) {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	var parts fmp4.Parts
	at := bytes.Index(b, []byte("moof")) - 4
	end := bytes.LastIndex(b, []byte("mfra")) - 4
	if end < 0 {
		end = len(b)
	}
	scale := int64(binary.BigEndian.Uint32(b[bytes.Index(b, []byte("mdhd"))+16:]))
	if err := parts.Unmarshal(b[at:end]); err != nil {
		tb.Fatal(err)
	}
	track := media.Track{Name: "video", Kind: media.Video, Codec: e.codec, Config: configOf(tb, b, e.codec), Unit: e.unit}
	if e.width == 0 {
		track.Name, track.Kind = "audio", media.Audio
	}
	if e.codec == media.VP9 {
		track.Width, track.Height = 160, 90
	}
	if e.codec == media.AAC {
		track.Unit = 0
	}
	var frames []*media.Frame
	for _, part := range parts {
		dts := int64(part.Tracks[0].BaseTime)
		for i, s := range part.Tracks[0].Samples {
			frames = append(frames, &media.Frame{
				DTS: ms(media.Duration(dts, scale)), PTS: ms(media.Duration(dts+int64(s.PTSOffset), scale)),
				Sync: i == 0 || e.width == 0, Payload: s.Payload, // ffmpeg begins a fragment with each key frame
			})
			dts += int64(s.Duration)
		}
	}
	if track.Config == nil {
		h := frames[0].Payload
		track.Config = []byte{h[0], h[1], h[2] & 0x0c, h[3]}
	}
	return track, frames
}

func TestEveryCodecIsRecordedAsItCame(t *testing.T) {
	for _, e := range encodings() {
		t.Run(fmt.Sprintf("%s %s %d", e.codec, e.name, e.unit), func(t *testing.T) {
			clip := mustEncode(t, e)
			track, frames := readClip(t, clip, e)
			st := mustStudio(t, t.TempDir())
			p := st.publish(1, nil)
			st.tracks(p, track)
			for _, f := range frames {
				st.write(p)(f)
			}
			show := st.show()
			if err := p.Close(true); err != nil {
				t.Fatal(err)
			}
			snap, _ := show.Snapshot()
			checkSnapshot(t, snap)
			got := snap.Takes[0].Tracks[0]
			if !strings.HasPrefix(got.CodecString, e.name) {
				t.Errorf("MV-3: %s, want %s", got.CodecString, e.name)
			}
			if got.Width != e.width || got.SampleRate != e.rate || got.Channels != e.channel {
				t.Errorf("%+v", got)
			}
			file := st.file(show, 1, track.Name)
			copied := []string{"-c", "copy"}
			if diff := cmp.Diff(frameHashes(t, clip, "0", copied...), frameHashes(t, file, "0", copied...)); diff != "" {
				t.Errorf("other units (-source +recording):\n%s", diff)
			}
			if e.width > 0 {
				if diff := cmp.Diff(frameHashes(t, clip, "0"), frameHashes(t, file, "0")); diff != "" {
					t.Errorf("other pictures (-source +recording):\n%s", diff)
				}
			} else if n := len(frameHashes(t, file, "0")); n == 0 {
				t.Error("no sound")
			}
			list := mustPlaylists(t, st, show)
			if want, got := len(frameHashes(t, clip, "0")), len(frameHashes(t, list, "0")); e.width > 0 && got != want {
				t.Errorf("%d pictures by the playlist, want %d", got, want)
			}
			for i, s := range readSamples(t, file) {
				if e.unit > 0 && s.duration != e.unit {
					t.Fatalf("unit %d lasts %d samples, want %d", i, s.duration, e.unit)
				}
			}
		})
	}
}

// mustPlaylists writes an ended show's playlists beside its files and gives the multivariant one's path.
func mustPlaylists(tb testing.TB, st *studio, show *Show) string {
	tb.Helper()
	snap, _ := show.Snapshot()
	dir := filepath.Dir(filepath.Dir(st.file(show, 1, snap.Renditions[0].Name)))
	for name, text := range hls.Static(snap, "") {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return filepath.Join(dir, "index.m3u8")
}

// Each track of a show of several codecs is decoded by way of the multivariant playlist.
func TestMultitrackPlaylistsDecode(t *testing.T) {
	st := mustStudio(t, t.TempDir())
	p := st.publish(1, nil)
	var tracks []media.Track
	var frames []*media.Frame
	numbers := make(map[media.Kind]int)
	for _, codec := range []media.Codec{media.H264, media.VP9, media.AAC, media.Opus} {
		all := encodings()
		e := all[slices.IndexFunc(all, func(e encoding) bool { return e.codec == codec })]
		track, of := readClip(t, mustEncode(t, e), e)
		track.Name = trackName(string(track.Kind), numbers[track.Kind])
		numbers[track.Kind]++
		begin := of[0].PTS // an edit list says so
		for _, f := range of {
			f.Track, f.DTS, f.PTS = len(tracks), f.DTS-begin, f.PTS-begin
		}
		tracks, frames = append(tracks, track), append(frames, of...)
	}
	slices.SortStableFunc(frames, func(a, b *media.Frame) int { return int(a.DTS - b.DTS) })
	st.tracks(p, tracks...)
	for _, f := range frames {
		st.write(p)(f)
	}
	show := st.show()
	if err := p.Close(true); err != nil {
		t.Fatal(err)
	}
	list := mustPlaylists(t, st, show)
	for _, stream := range []string{"v:0", "v:1", "a:0", "a:1"} {
		want := 120
		if stream[0] == 'a' {
			want = 200
		}
		if n := len(frameHashes(t, list, stream)); n < want {
			t.Errorf("%s: %d frames", stream, n)
		}
	}
	if snap, _ := show.Snapshot(); !snap.Independent {
		t.Error("a segment begins without a key frame, though the tracks are aligned")
	}
}

// The sample entries are read by a parser that is not ours, and say what ffmpeg's say.
func TestCMF14_CMF22_InitSectionsOfEveryCodec(t *testing.T) {
	for _, e := range encodings() {
		t.Run(fmt.Sprintf("%s %s %d", e.codec, e.name, e.unit), func(t *testing.T) {
			clip := mustEncode(t, e)
			track, _ := readClip(t, clip, e)
			f, err := newFormat(track)
			if err != nil {
				t.Fatal(err)
			}
			section := appendInit(nil, f)
			var init fmp4.Init
			if err := init.Unmarshal(bytes.NewReader(section)); err != nil && !strings.Contains(err.Error(), "0x69") {
				t.Fatal(err)
			}
			file, err := os.ReadFile(clip)
			if err != nil {
				t.Fatal(err)
			}
			var theirs fmp4.Init
			if err := theirs.Unmarshal(bytes.NewReader(file[:bytes.Index(file, []byte("moof"))-4])); err == nil && len(init.Tracks) > 0 {
				if c, ok := theirs.Tracks[0].Codec.(*codecs.AC3); ok {
					c.ChannelCount = e.channel // ffmpeg always writes 2; readers go by dac3
				}
				if diff := cmp.Diff(theirs.Tracks[0].Codec, init.Tracks[0].Codec, cmp.AllowUnexported(codecs.VP9{})); diff != "" {
					t.Errorf("codec (-ffmpeg +oxbow):\n%s", diff)
				}
			}
			want := probe(t, clip)
			name := filepath.Join(t.TempDir(), "init.mp4")
			if err := os.WriteFile(name, section, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := probe(t, name); !slices.Equal(got, want) && e.width > 0 {
				t.Errorf("ffprobe says %v, of the clip %v", got, want)
			}
			if hdr := slices.Contains(e.options, "smpte2084"); hdr != (f.track.VideoRange == "PQ") {
				t.Errorf("MV-16: range %q", f.track.VideoRange)
			}
		})
	}
}

// probe gives what ffprobe reads out of a file's head.
func probe(tb testing.TB, file string) []string {
	tb.Helper()
	return strings.Fields(mustRun(tb, "ffprobe", "-v", "error", "-show_entries",
		"stream=codec_name,codec_tag_string,width,height,sample_rate,channels,color_range,color_space,color_transfer,color_primaries", //nolint:misspell // ffprobe's word
		"-of", "default=noprint_wrappers=1", file))
}

func TestSilenceOfEveryCodecDecodesToSilence(t *testing.T) {
	for _, e := range encodings() {
		if e.width > 0 || e.codec == media.AC3 || e.codec == media.EAC3 {
			continue
		}
		t.Run(fmt.Sprintf("%s %s %d", e.codec, e.name, e.unit), func(t *testing.T) {
			track, _ := readClip(t, mustEncode(t, e), e)
			f, err := newFormat(track)
			if err != nil {
				t.Fatal(err)
			}
			if f.silence == nil {
				t.Fatal("none")
			}
			frag := fragment{unit: f.unit}
			for i := range int64(20) {
				frag.add(append(frag.next(), f.silence...), sample{dts: i * f.unit, duration: f.unit, sync: true})
			}
			file := filepath.Join(t.TempDir(), "silence.mp4")
			if err := os.WriteFile(file, append(appendInit(nil, f), frag.cut(1, 20)...), 0o600); err != nil {
				t.Fatal(err)
			}
			pcm := mustRun(t, "ffmpeg", "-v", "error", "-xerror", "-i", file, "-f", "s16le", "-")
			if want := int(f.unit) * 18 * 2 * e.channel; len(pcm) < want {
				t.Errorf("%d bytes of sound, want %d", len(pcm), want)
			}
			if strings.Trim(pcm, "\x00") != "" {
				t.Error("it is not silent")
			}
		})
	}
}
