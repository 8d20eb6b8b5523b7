package progressive

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/packager"
)

var testPath = media.StreamPath{Publisher: "acme", Stream: "show"}

const testID media.RecordingID = "01k00000000000000000000001"

func mustRun(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("OXBOW_TEST_REQUIRE") != "" {
			tb.Fatal(err)
		}
		tb.Skip(err)
	}
	cmd := exec.CommandContext(tb.Context(), name, args...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s: %v\n%s", name, err, complaints.String())
	}
	return string(out)
}

// mustClip encodes a clip with B-frames into FLV; the size and the rate of sound tell clips apart.
func mustClip(tb testing.TB, seconds int, size string, rate int, extra ...string) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "clip.flv")
	args := []string{"-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=%s:rate=25:duration=%d", size, seconds),
		"-f", "lavfi", "-i", fmt.Sprintf("sine=frequency=440:sample_rate=%d:duration=%d", rate, seconds),
		"-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0",
		"-bf", "2", "-x264-params", "b-adapt=0:aud=1", "-c:a", "aac", "-ac", "2", "-b:a", "64k",
		"-flvflags", "no_duration_filesize"}
	mustRun(tb, "ffmpeg", append(append(args, extra...), file)...)
	return file
}

// readFLV gives a clip's tracks and frames.
func readFLV(tb testing.TB, file string) (tracks []media.Track, frames []media.Frame) {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	video := media.Track{Name: "video", Kind: media.Video, Codec: media.H264}
	audio := media.Track{Name: "audio", Kind: media.Audio, Codec: media.AAC, Language: "nld", Label: "Nederlands"}
	var avc bitstream.AVC
	for b = b[13:]; len(b) > 15; {
		kind, size := b[0], int(b[1])<<16|int(b[2])<<8|int(b[3])
		dts := time.Duration(int(b[7])<<24|int(b[4])<<16|int(b[5])<<8|int(b[6])) * time.Millisecond
		body := b[11 : 11+size]
		b = b[11+size+4:]
		switch {
		case kind == 9 && body[1] == 0:
			video.Config, _ = avc.SetConfig(body[5:])
		case kind == 9 && body[1] == 1:
			cto := int32(binary.BigEndian.Uint32([]byte{body[2], body[3], body[4], 0})) >> 8
			u, err := avc.Read(body[5:], 16<<20, func(bitstream.Fault) {})
			if err != nil || !u.Picture {
				tb.Fatalf("%+v, %v", u, err)
			}
			frames = append(frames, media.Frame{DTS: dts, PTS: dts + time.Duration(cto)*time.Millisecond,
				Sync: u.Sync, Payload: append([]byte(nil), u.Payload...)})
		case kind == 8 && body[1] == 0:
			audio.Config = body[2:]
		case kind == 8:
			frames = append(frames, media.Frame{Track: 1, DTS: dts, PTS: dts, Sync: true, Payload: body[2:]})
		}
	}
	tracks = []media.Track{video, audio}
	if video.Config == nil {
		tracks = tracks[1:]
		for i := range frames {
			frames[i].Track = 0
		}
	}
	return tracks, frames
}

// withSecondLanguage has the sound twice.
func withSecondLanguage(tracks []media.Track, frames []media.Frame) ([]media.Track, []media.Frame) {
	second := tracks[1]
	second.Name, second.Language, second.Label = "audio2", "en-GB", "English"
	var all []media.Frame
	for _, f := range frames {
		if all = append(all, f); f.Track == 1 {
			f.Track = 2
			all = append(all, f)
		}
	}
	return append(tracks, second), all
}

// sink is a catalog that needs none.
type sink struct{}

func (sink) SaveRecording(context.Context, media.Recording, ...media.LogEvent) error { return nil }
func (sink) Publish(context.Context, media.Event) error                              { return nil }

// record has the packager record clips, each in a take of its own, and gives what storage then has.
func record(tb testing.TB, change func(*media.Settings), clips ...string) (*reclog.Root, *reclog.Recording) {
	tb.Helper()
	root, err := reclog.OpenRoot(reclog.Config{Dir: tb.TempDir(), Sync: reclog.SyncNever}, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = root.Close() })
	p := packager.New(packager.Config{}, root, sink{}, sink{}, func() media.RecordingID { return testID },
		slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	settings := media.DefaultSettings()
	if change != nil {
		change(&settings)
	}
	now := time.Now()
	for i, clip := range clips {
		tracks, frames := readFLV(tb, clip)
		if strings.HasSuffix(tb.Name(), "SecondLanguage") {
			tracks, frames = withSecondLanguage(tracks, frames)
		}
		pub, err := p.Publish(tb.Context(), media.Stream{Path: testPath, Settings: settings}, uint64(i)+1)
		if err != nil {
			tb.Fatal(err)
		}
		if err := pub.SetTracks(tracks); err != nil {
			tb.Fatal(err)
		}
		for j := range frames {
			frames[j].Wall = now.Add(frames[j].DTS)
			if err := pub.WriteFrame(&frames[j]); err != nil {
				tb.Fatal(err)
			}
		}
		if err := pub.Close(i == len(clips)-1); err != nil {
			tb.Fatal(err)
		}
	}
	return root, mustLoad(tb, root.Files())
}

func mustLoad(tb testing.TB, files reclog.Files) *reclog.Recording {
	tb.Helper()
	rec, err := reclog.Load(tb.Context(), files, testPath, testID)
	if err != nil {
		tb.Fatal(err)
	}
	return rec
}

// source gathers what Build needs by scanning.
func source(tb testing.TB, files reclog.Files, rec *reclog.Recording) *Recording {
	tb.Helper()
	r := &Recording{Path: testPath, ID: testID, StartedAt: rec.StartedAt, Takes: rec.Takes}
	for _, tr := range rec.Tracks {
		r.Segments = append(r.Segments, tr.Segments)
	}
	for i := range rec.Takes {
		var inits [][]byte
		var tables []*Table
		for j, tr := range rec.Takes[i].Tracks {
			name := reclog.TrackName(testPath, testID, rec.Takes[i].Number, tr.Name)
			inits = append(inits, readRange(tb, files, name, 0, tr.InitSize))
			table, err := Scan(tb.Context(), files, name, rec.Takes[i].Number, rec.Tracks[j].Segments)
			if err != nil {
				tb.Fatal(err)
			}
			tables = append(tables, table)
		}
		r.Inits, r.Tables = append(r.Inits, inits), append(r.Tables, tables)
	}
	return r
}

func readRange(tb testing.TB, files Files, name string, offset, size int64) []byte {
	tb.Helper()
	in, err := files.OpenRange(tb.Context(), name, offset, size)
	if err != nil {
		tb.Fatal(err)
	}
	b := make([]byte, size)
	for n := 0; n < len(b); {
		m, err := in.Read(b[n:])
		if n += m; err != nil && n < len(b) {
			tb.Fatal(err)
		}
	}
	_ = in.Close()
	return b
}

// mustWrite sends a whole file to a temporary one.
func mustWrite(tb testing.TB, files Files, f *File) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "recording.mp4")
	out, err := os.Create(name)
	if err != nil {
		tb.Fatal(err)
	}
	n, err := NewCopier(files).Send(tb.Context(), out, f, 0, f.Size())
	if err != nil || n != f.Size() {
		tb.Fatalf("%d of %d bytes: %v", n, f.Size(), err)
	}
	if err := out.Close(); err != nil {
		tb.Fatal(err)
	}
	return name
}

func mustBuild(tb testing.TB, rec *Recording, c Cut) *File {
	tb.Helper()
	f, err := Build(rec, c)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// shown is a decoded picture or sound: its time in milliseconds and its hash.
type shown struct {
	at   int64
	hash string
}

// frames decodes a stream of a file as a player does, edit lists obeyed.
func frames(tb testing.TB, file, stream string, options ...string) (list []shown) {
	tb.Helper()
	args := append([]string{"-v", "error", "-xerror", "-i", file, "-map", "0:" + stream, "-fps_mode", "passthrough",
		"-enc_time_base", "1:1000", "-copyts"}, options...)
	num, den := int64(0), int64(1)
	for line := range strings.Lines(mustRun(tb, "ffmpeg", append(args, "-f", "framemd5", "-")...)) {
		_, _ = fmt.Sscanf(line, "#tb 0: %d/%d", &num, &den)
		f := strings.Split(line, ",")
		if strings.HasPrefix(line, "#") || len(f) != 6 {
			continue
		}
		var s shown
		if _, err := fmt.Sscan(strings.TrimSpace(f[2]), &s.at); err != nil {
			tb.Fatal(err)
		}
		s.at = (s.at*num*1000 + den/2) / den
		s.hash = strings.TrimSpace(f[5])
		list = append(list, s)
	}
	return list
}

// packets gives a stream's packets that are decoded and shown.
func packets(tb testing.TB, file, stream string) (list []shown) {
	tb.Helper()
	out := mustRun(tb, "ffprobe", "-v", "error", "-select_streams", stream, "-show_packets", "-show_data_hash", "md5",
		"-show_entries", "packet=pts_time,flags,data_hash", "-of", "csv=p=0:nk=1", file)
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), ",")
		if len(f) < 3 || strings.Contains(f[1], "D") {
			continue
		}
		at, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			tb.Fatalf("%q: %v", line, err)
		}
		list = append(list, shown{int64(math.Round(at * 1000)), f[2]})
	}
	return list
}

func hashes(list []shown) (h []string) {
	for _, s := range list {
		h = append(h, s.hash)
	}
	return h
}
