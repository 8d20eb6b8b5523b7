package packager

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// mustClip encodes a clip with B-frames into FLV, whose stamps are milliseconds as RTMP's.
func mustClip(tb testing.TB, seconds string, extra ...string) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "clip.flv")
	args := []string{"-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=" + seconds,
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=" + seconds,
		"-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-g", "25", "-keyint_min", "25", "-sc_threshold", "0", "-bf", "2",
		"-x264-params", "b-adapt=0:aud=1", "-c:a", "aac", "-ac", "2", "-b:a", "64k", "-flvflags", "no_duration_filesize"}
	mustRun(tb, "ffmpeg", append(append(args, extra...), file)...)
	return file
}

// readFLV gives a clip's tracks and frames.
func readFLV(tb testing.TB, file string) (tracks []media.Track, frames []*media.Frame) {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	video, audio := media.Track{Name: "video", Kind: media.Video, Codec: media.H264},
		media.Track{Name: "audio", Kind: media.Audio, Codec: media.AAC}
	var avc bitstream.AVC
	repaired := func(bitstream.Fault) {}
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
			u, err := avc.Read(body[5:], maxAccessUnit, repaired)
			if err != nil || !u.Picture || u.Config != nil {
				tb.Fatalf("%+v, %v", u, err)
			}
			frames = append(frames, &media.Frame{DTS: dts, PTS: dts + time.Duration(cto)*time.Millisecond,
				Sync: u.Sync, Payload: u.Payload})
		case kind == 8 && body[1] == 0:
			audio.Config = body[2:]
		case kind == 8:
			frames = append(frames, &media.Frame{Track: 1, DTS: dts, PTS: dts, Sync: true, Payload: body[2:]})
		}
	}
	return []media.Track{video, audio}, frames
}

// frameHashes decodes a stream of a file and gives each picture's or sound packet's hash.
func frameHashes(tb testing.TB, file, stream string, options ...string) []string {
	tb.Helper()
	var hashes []string
	args := append([]string{"-v", "error", "-xerror", "-i", file, "-map", "0:" + stream, "-fps_mode", "passthrough"}, options...)
	for line := range strings.Lines(mustRun(tb, "ffmpeg", append(args, "-f", "framemd5", "-")...)) {
		if fields := strings.Split(line, ","); !strings.HasPrefix(line, "#") && len(fields) == 6 {
			hashes = append(hashes, strings.TrimSpace(fields[5]))
		}
	}
	if len(hashes) == 0 {
		tb.Fatalf("%s %s: nothing decoded", file, stream)
	}
	return hashes
}

// readSamples reads a track file with a parser that is not ours.
func readSamples(tb testing.TB, file string) (samples []sample) {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(b); err != nil {
		tb.Fatal(err)
	}
	for _, part := range parts {
		dts := int64(part.Tracks[0].BaseTime)
		for _, s := range part.Tracks[0].Samples {
			samples = append(samples, sample{dts: dts, duration: int64(s.Duration), cto: s.PTSOffset,
				size: uint32(len(s.Payload)), sync: !s.IsNonSyncSample})
			dts += int64(s.Duration)
		}
	}
	return samples
}

func TestRecordingDecodesToThePublishersFrames(t *testing.T) {
	clip := mustClip(t, "7")
	tracks, frames := readFLV(t, clip)
	st := mustStudio(t, t.TempDir())
	p := st.publish(1, nil)
	st.tracks(p, tracks...)
	for i, f := range frames {
		st.write(p)(f)
		if i%50 == 0 { // CMF-21: events disturb no decoder
			tag := media.TimedMetadata{Kind: media.ID3, PTS: f.PTS, Payload: []byte("ID3\x04\x00\x00\x00\x00\x00\x00")}
			if err := p.WriteMetadata(&tag); err != nil {
				t.Fatal(err)
			}
		}
	}
	show := st.show()
	if err := p.Close(true); err != nil {
		t.Fatal(err)
	}
	snap, _ := show.Snapshot()
	checkSnapshot(t, snap)
	if snap.Takes[0].Tracks[0].CodecString != "avc1.64000c" || snap.Takes[0].Tracks[1].CodecString != "mp4a.40.2" {
		t.Errorf("MV-3: codecs %s, %s", snap.Takes[0].Tracks[0].CodecString, snap.Takes[0].Tracks[1].CodecString)
	}
	if !snap.Independent {
		t.Error("CMF-7: a segment begins without an IDR")
	}
	for i, name := range []string{"video", "audio"} {
		file := st.file(show, 1, name)
		got, want := frameHashes(t, file, "0"), frameHashes(t, clip, strconv.Itoa(i))
		if name == "audio" { // decoded sound depends on all that came before: the units themselves are compared
			got, want = frameHashes(t, file, "0", "-c", "copy"), frameHashes(t, clip, "1", "-c", "copy")
		}
		if name == "audio" {
			// What comes before the first picture and after the last is dropped.
			at := slices.Index(want, got[0])
			if at < 0 || at > 8 {
				t.Fatalf("audio begins with unit %d of the source", at)
			}
			want = want[at:]
			if extra := len(want) - len(got); extra < 0 || extra > 8 {
				t.Errorf("%d units of audio are not there", extra)
			} else {
				want = want[:len(got)]
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s decodes to other frames (-source +recording):\n%s", name, diff)
		}
		checkSamples(t, name, readSamples(t, file), snap.Takes[0].Tracks[i].Timescale)
	}
	checkInit(t, st.file(show, 1, "video"))
	if a := readSamples(t, st.file(show, 1, "audio"))[0].dts; a >= 1024 {
		t.Errorf("CMF-11: audio begins at %d ticks", a)
	}
}

func checkSamples(t *testing.T, name string, samples []sample, timescale int64) {
	t.Helper()
	var pts []int64
	negative := false
	for i, s := range samples {
		if i > 0 && samples[i-1].dts+samples[i-1].duration != s.dts {
			t.Fatalf("CMF-5: %s sample %d ends at %d, the next begins at %d", name, i-1,
				samples[i-1].dts+samples[i-1].duration, s.dts)
		}
		pts = append(pts, s.dts+int64(s.cto))
		negative = negative || s.cto < 0
	}
	if name != "video" {
		return
	}
	if pts[0] != samples[0].dts || !samples[0].sync {
		t.Errorf("CMF-19: the first sample has PTS %d, DTS %d", pts[0], samples[0].dts)
	}
	if !negative {
		t.Error("CMF-19: no negative composition offset, though the clip has B-frames")
	}
	slices.Sort(pts)
	for i := 1; i < len(pts); i++ {
		if d := pts[i] - pts[i-1]; d != timescale/25 {
			t.Fatalf("picture %d is shown for %d ticks", i-1, d)
		}
	}
}

// checkInit reads the boxes in front of the first moof (CMF-1).
func checkInit(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for rest := b; len(rest) >= 8; rest = rest[binary.BigEndian.Uint32(rest):] {
		kind := string(rest[4:8])
		if kind == "ftyp" && string(rest[8:12]) != "iso6" {
			t.Errorf("CMF-1: major brand %s", rest[8:12])
		}
		kinds = append(kinds, kind)
	}
	events := len(kinds)
	kinds = slices.DeleteFunc(kinds, func(kind string) bool { return kind == "emsg" })
	if events -= len(kinds); events < 3 {
		t.Errorf("CMF-21: %d events", events)
	}
	if !slices.Equal(kinds[:4], []string{"ftyp", "moov", "moof", "mdat"}) || len(kinds)%2 != 0 {
		t.Errorf("CMF-1: boxes %v", kinds[:4])
	}
	if strings.Contains(string(b[:2000]), "elst") {
		t.Error("CMF-19: edit list")
	}
}
