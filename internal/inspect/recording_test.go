package inspect

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const testID media.RecordingID = "01kafzq7s8e5gv9mxw2ctr4n6b"

func box(kind string, payload ...[]byte) []byte {
	data := bytes.Join(payload, nil)
	head := binary.BigEndian.AppendUint32(nil, uint32(len(data)+8))
	return append(append(head, kind...), data...)
}

func words(values ...uint32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// testInit makes as much of an init section as an inspection looks at.
func testInit(timescale uint32, entry string) []byte {
	return append(box("ftyp", []byte("iso6")),
		box("moov", box("trak", box("mdia",
			box("mdhd", words(0, 0, 0, timescale, 0, 0)),
			box("minf", box("stbl", box("stsd", words(0, 1), box(entry)))))))...)
}

// testPart makes a part of two samples, the first of them perhaps a random access point.
func testPart(msn media.MSN, index int, dts, duration int64, sync bool) []byte {
	first := uint32(nonSync)
	if sync {
		first = 0
	}
	payload := bytes.Repeat([]byte{byte(msn), byte(index)}, 500)
	moof := box("moof",
		box("mfhd", words(0, reclog.SequenceNumber(msn, index))),
		box("traf",
			box("tfhd", words(0x020000|0x8|0x20, 1, uint32(duration/2), nonSync)),
			box("tfdt", words(1<<24, uint32(dts>>32), uint32(dts))),
			box("trun", words(0x1|0x4, 2, 0, first))))
	return slices.Concat(box("emsg", make([]byte, 24)), moof, box("mdat", payload))
}

// testRecording is a recording on storage: two takes of four segments of two parts, in two tracks, a filler behind the
// first take.
type testRecording struct {
	tb   testing.TB
	root *reclog.Root
	dir  string
	msn  media.MSN
	dts  [2]int64
	take *reclog.TakeWriter
}

func scales() []int64 { return []int64{90000, 48000} }

func mustRecord(tb testing.TB, end bool) *testRecording {
	tb.Helper()
	return mustRecordLong(tb, end, 4)
}

// mustRecordLong makes takes of so many segments.
func mustRecordLong(tb testing.TB, end bool, segments int) *testRecording {
	tb.Helper()
	base := tb.TempDir()
	root, err := reclog.OpenRoot(reclog.Config{Dir: base, Sync: reclog.SyncNever}, slog.New(slog.DiscardHandler))
	must(tb, err)
	tb.Cleanup(func() { must(tb, root.Close()) })
	start := time.Date(2026, 11, 20, 10, 38, 0, 0, time.UTC)
	w, err := root.Create(reclog.Manifest{
		ID: testID, Publisher: "acme", Stream: "show", StartedAt: start, Settings: media.DefaultSettings(),
		Constants: media.Constants{TargetDuration: 2 * time.Second, SegmentDuration: 2 * time.Second},
	})
	must(tb, err)
	r := &testRecording{tb: tb, root: root, dir: filepath.Join(base, "acme", "show", string(testID)), msn: 1}
	for number := 1; number <= 2; number++ {
		r.take, err = w.StartTake(media.Take{
			Number: number, Epoch: uint64(number), StartedAt: start, Anchor: start, FirstMSN: r.msn,
			Tracks: []media.Track{
				{
					Name: "video", Kind: media.Video, Codec: media.H264, Config: []byte{1}, Timescale: 90000,
					CodecString: "avc1.64001f", Width: 1280, Height: 720,
				},
				{Name: "audio", Kind: media.Audio, Codec: media.AAC, Config: []byte{2}, Timescale: 48000, CodecString: "mp4a.40.2"},
			},
		}, [][]byte{testInit(90000, "avc1"), testInit(48000, "mp4a")})
		must(tb, err)
		for range segments {
			r.segment()
		}
		must(tb, w.AppendMetadata(media.Metadata{
			Number: int64(number), Kind: media.CuePoint, Time: time.Second, Date: start, Payload: []byte("{}"),
		}))
		if number == 1 || end {
			must(tb, r.take.Seal())
		}
		if number == 1 {
			r.filler()
		}
	}
	if end {
		must(tb, w.Update(func(m *reclog.Manifest) {
			m.State, m.EndedAt = media.Ended, start.Add(time.Duration(segments*2+1)*2*time.Second)
		}))
	} else {
		r.parts(1) // of the open segment
		for track := range 2 {
			r.awaitLines(track)
		}
		must(tb, r.take.Err())
	}
	return r
}

// awaitLines waits for the background to have written the four lines.
func (r *testRecording) awaitLines(track int) {
	r.tb.Helper()
	name := filepath.Join(r.dir, "2", []string{"video.idx", "audio.idx"}[track])
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for limit := time.After(2 * time.Minute); ; {
		if data, err := os.ReadFile(name); err == nil && bytes.Count(data, []byte("\n")) == 4 {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			r.tb.Fatal("the index is not written")
		}
	}
}

func (r *testRecording) parts(count int) (from [2]int64, size [2]int64) {
	r.tb.Helper()
	for track, scale := range scales() {
		for index := range count {
			data := testPart(r.msn, index, r.dts[track]+int64(index)*scale, scale, index == 0 || track == 1)
			at, err := r.take.AppendPart(track, data)
			must(r.tb, err)
			if index == 0 {
				from[track] = at
			}
			size[track] += int64(len(data))
		}
	}
	return from, size
}

func (r *testRecording) segment() {
	r.tb.Helper()
	from, size := r.parts(2)
	for track, scale := range scales() {
		seg := media.Segment{
			MSN: r.msn, DTS: r.dts[track], Duration: 2 * scale, Offset: from[track], Size: size[track], Sync: true,
		}
		if track == 0 {
			seg.IFrames = []media.IFrame{{Size: 200}}
		}
		must(r.tb, r.take.FinishSegment(track, seg))
		r.dts[track] += 2 * scale
	}
	r.msn++
}

func (r *testRecording) filler() {
	r.tb.Helper()
	for track, scale := range scales() {
		must(r.tb, r.take.AppendGap(track, media.Segment{MSN: r.msn, DTS: r.dts[track], Duration: 2 * scale, Filler: true}))
		r.dts[track] += 2 * scale
	}
	r.msn++
}

// edit changes a file of the recording.
func (r *testRecording) edit(name string, change func([]byte) []byte) {
	r.tb.Helper()
	path := filepath.Join(r.dir, name)
	data, err := os.ReadFile(path)
	must(r.tb, err)
	must(r.tb, os.WriteFile(path, change(data), 0o600))
}

func (r *testRecording) replace(name, old, with string) {
	r.tb.Helper()
	r.edit(name, func(data []byte) []byte {
		if !bytes.Contains(data, []byte(old)) {
			r.tb.Fatalf("%s has no %q:\n%.2000s", name, old, data)
		}
		return bytes.Replace(data, []byte(old), []byte(with), 1)
	})
}

func (r *testRecording) inspect(fast bool) *Report {
	r.tb.Helper()
	d, err := OpenDir(r.dir)
	must(r.tb, err)
	report, err := Recording(context.Background(), d, Options{Source: "test", Fast: fast})
	must(r.tb, errors.Join(err, d.Close()))
	return report
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// names lists a report's findings of a severity.
func names(r *Report, s Severity) []string {
	out := []string{}
	for _, f := range r.Findings {
		if f.Severity == s && !slices.Contains(out, f.Name) {
			out = append(out, f.Name)
		}
	}
	slices.Sort(out)
	return out
}

func TestWholeRecordingIsClean(t *testing.T) {
	r := mustRecord(t, true).inspect(false)
	if r.Errors != 0 || r.Warnings != 0 {
		t.Fatalf("findings: %+v", r.Findings)
	}
	if got := names(r, Info); !slices.Equal(got, []string{"filler"}) {
		t.Errorf("infos %v, want the filler alone", got)
	}
	if len(r.Takes) != 2 || r.Seconds != 16 || r.Metadata != 2 || len(r.Gaps) != 2 {
		t.Fatalf("%+v", r)
	}
	video := r.Takes[1].Tracks[0]
	video.starts = nil
	want := Track{
		Name: "video", Codec: "avc1.64001f", Width: 1280, Height: 720, FirstMSN: 6, LastMSN: 9, Segments: 4, Parts: 8,
		Start: 10, Seconds: 8, Bytes: video.Bytes, Rate: video.Bytes, KeyAverage: 2, KeyMax: 2, ends: 18 * time.Second,
	}
	if fmt.Sprint(video) != fmt.Sprint(want) || video.Bytes < 8*1000 {
		t.Errorf("track is %+v, want %+v", video, want)
	}
	var text bytes.Buffer
	must(t, r.Print(&text))
	for _, part := range []string{"take 2, epoch 2", "1280x720", "6-9", "every 2.00 s", "filler", "0 errors, 0 warnings"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("the report lacks %q:\n%s", part, &text)
		}
	}
}

func TestFastFindsWhatTheIndexTells(t *testing.T) {
	rec := mustRecord(t, true)
	r := rec.inspect(true)
	if r.Errors != 0 || r.Warnings != 0 || r.Takes[0].Tracks[0].Parts != 0 || r.Takes[0].Tracks[0].KeyMax != 2 {
		t.Fatalf("%+v", r)
	}
	rec.replace("1/video.mp4", "moof", "mouf")
	if r := rec.inspect(true); r.Errors != 0 {
		t.Errorf("--fast read the media: %+v", r.Findings)
	}
}

// Every fault is found by its name, and is not taken for another.
func TestFaults(t *testing.T) {
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }
	put := func(tail string) func([]byte) []byte { return func(b []byte) []byte { return append(b, tail...) } }
	dropLine := func(n int) func([]byte) []byte {
		return func(b []byte) []byte {
			all := slices.Collect(bytes.Lines(b))
			return bytes.Join(slices.Delete(all, n, n+1), nil)
		}
	}
	write := func(name string) func(*testRecording) {
		return func(r *testRecording) {
			path := filepath.Join(r.dir, name)
			must(r.tb, os.MkdirAll(filepath.Dir(path), 0o700))
			must(r.tb, os.WriteFile(path, []byte("x"), 0o600))
		}
	}
	for name, test := range map[string]struct {
		plant    func(r *testRecording)
		errors   []string
		warnings []string
		infos    []string
	}{
		"a byte of a moof": {
			plant:  func(r *testRecording) { r.replace("2/video.mp4", "moof", "mouf") },
			errors: []string{"media"},
		},
		"a part of another segment": {
			plant: func(r *testRecording) {
				r.replace("1/audio.mp4", string(box("mfhd", words(0, reclog.SequenceNumber(2, 1)))),
					string(box("mfhd", words(0, reclog.SequenceNumber(9, 1)))))
			},
			errors: []string{"sequence"},
		},
		"a decode time": {
			plant: func(r *testRecording) {
				r.replace("1/video.mp4", string(box("tfdt", words(1<<24, 0, 180000))), string(box("tfdt", words(1<<24, 0, 180001))))
			},
			errors: []string{"tfdt"},
		},
		"a sample's length": {
			plant: func(r *testRecording) {
				r.edit("1/video.mp4", func(b []byte) []byte {
					at := bytes.LastIndex(b, []byte("tfhd"))
					binary.BigEndian.PutUint32(b[at+12:], 40000)
					return b
				})
			},
			errors: []string{"duration"},
		},
		"a flag": {
			plant:  func(r *testRecording) { r.replace("1/video.idx", `,"sync":true`, "") },
			errors: []string{"sync"},
		},
		"the init section": {
			plant:  func(r *testRecording) { r.replace("1/video.mp4", "avc1", "hvc1") },
			errors: []string{"init"},
		},
		"a file cut short": {
			plant:  func(r *testRecording) { r.edit("2/audio.mp4", cut(10)) },
			errors: []string{"short-file"},
		},
		"bytes behind the last segment": {
			plant: func(r *testRecording) { r.edit("2/audio.mp4", put("garbage!")) },
			infos: []string{"trailing"},
		},
		"a whole part behind the last segment": {
			plant: func(r *testRecording) {
				r.edit("2/audio.mp4", put(string(testPart(10, 0, 18*48000, 48000, true))))
			},
			infos: []string{"trailing"},
		},
		"a line that is no JSON": {
			plant:  func(r *testRecording) { r.replace("1/video.idx", `{"msn":2`, `{"msn"?2`) },
			errors: []string{"hole", "index-line", "msn"},
		},
		"a line that is not there": {
			plant:  func(r *testRecording) { r.edit("1/video.idx", dropLine(1)) },
			errors: []string{"hole", "msn"},
		},
		"a line twice": {
			plant: func(r *testRecording) {
				r.edit("1/video.idx", func(b []byte) []byte {
					all := slices.Collect(bytes.Lines(b))
					return bytes.Join(slices.Insert(all, 1, all[0]), nil)
				})
			},
			errors: []string{"index-order"},
		},
		"the last line of a sealed take torn": {
			plant:  func(r *testRecording) { r.edit("2/video.idx", cut(5)) },
			errors: []string{"index-line", "tracks"}, infos: []string{"trailing"},
		},
		"ranges that overlap": {
			plant: func(r *testRecording) {
				r.edit("1/video.idx", func(b []byte) []byte {
					all := slices.Collect(bytes.Lines(b))
					var l line
					l, err := parseLine(bytes.TrimSpace(all[1]))
					must(r.tb, err)
					all[1] = bytes.Replace(all[1], fmt.Appendf(nil, `"offset":%d`, l.Offset), fmt.Appendf(nil, `"offset":%d`, l.Offset-1), 1)
					return bytes.Join(all, nil)
				})
			},
			errors: []string{"hole", "overlap"},
		},
		"time that is in no segment": {
			plant: func(r *testRecording) {
				r.replace("1/audio.idx", `"dts":96000,"duration":96000`, `"dts":97000,"duration":95000`)
			},
			errors: []string{"duration", "tfdt", "timeline"}, warnings: []string{"date"},
		},
		"an index that is not there": {
			plant:  func(r *testRecording) { must(r.tb, os.Remove(filepath.Join(r.dir, "2/audio.idx"))) },
			errors: []string{"missing-file"}, infos: []string{"trailing"},
		},
		"media that is not there": {
			plant:  func(r *testRecording) { must(r.tb, os.Remove(filepath.Join(r.dir, "2/audio.mp4"))) },
			errors: []string{"missing-file"},
		},
		"metadata that is not there": {
			plant:  func(r *testRecording) { must(r.tb, os.Remove(filepath.Join(r.dir, "1/metadata.jsonl"))) },
			errors: []string{"missing-file"},
		},
		"metadata that is none": {
			plant:  func(r *testRecording) { r.replace("1/metadata.jsonl", `"number"`, `"nummer"`) },
			errors: []string{"metadata"},
		},
		"a take that is not sealed": {
			plant: func(r *testRecording) {
				r.replace("recording.json", `"sealed": true,`, `"sealed": false,`)
			},
			errors: []string{"unsealed"},
		},
		"damage that recovery met": {
			plant: func(r *testRecording) {
				r.replace("recording.json", `"takes": [`, `"damage": [{"file":"1/video.mp4","offset":9,"reason":"bad box"}], "takes": [`)
			},
			errors: []string{"damage"},
		},
		"a take that begins too late": {
			plant:  func(r *testRecording) { r.replace("recording.json", `"first_msn": 6`, `"first_msn": 7`) },
			errors: []string{"hole", "index-order", "msn"}, warnings: []string{"timeline"},
		},
		"no end":                  {plant: func(r *testRecording) { r.replace("recording.json", `"ended_at"`, `"x"`) }, errors: []string{"manifest"}},
		"a manifest that is none": {plant: func(r *testRecording) { r.replace("recording.json", `{`, `[`) }, errors: []string{"manifest"}},
		"an orphan":               {plant: write("3.orphan/video.mp4"), warnings: []string{"orphan"}},
		"a take of no manifest":   {plant: write("4/video.mp4"), warnings: []string{"orphan"}},
		"what recovery put aside": {plant: write("1/video.idx.corrupt"), warnings: []string{"corrupt-file"}},
		"a file of somebody":      {plant: write("notes.txt")},
	} {
		t.Run(name, func(t *testing.T) {
			rec := mustRecord(t, true)
			test.plant(rec)
			r := rec.inspect(false)
			if got := names(r, Error); !slices.Equal(got, append([]string{}, test.errors...)) {
				t.Errorf("errors %v, want %v: %+v", got, test.errors, r.Findings)
			}
			for _, want := range test.infos {
				if got := names(r, Info); !slices.Contains(got, want) {
					t.Errorf("told %v, want %v too: %+v", got, want, r.Findings)
				}
			}
			if got := names(r, Warning); !slices.Equal(got, append([]string{}, test.warnings...)) {
				t.Errorf("warnings %v, want %v: %+v", got, test.warnings, r.Findings)
			}
			for _, f := range r.Findings {
				if f.Severity != Info && (f.Do == "" || f.Where == "" || f.Text == "") {
					t.Errorf("it does not say where, what, or what to do: %+v", f)
				}
			}
		})
	}
}

// What is torn at the end of a recording that grows is no fault.
func TestGrowingRecordingIsClean(t *testing.T) {
	for name, tear := range map[string]func(r *testRecording){
		"open segment": func(*testRecording) {},
		"torn part":    func(r *testRecording) { r.edit("2/video.mp4", func(b []byte) []byte { return b[:len(b)-100] }) },
		"torn head":    func(r *testRecording) { r.edit("2/video.mp4", func(b []byte) []byte { return b[:len(b)-1095] }) },
		"torn line": func(r *testRecording) {
			r.edit("2/video.idx", func(b []byte) []byte { return append(b, `{"msn":10,"d`...) })
		},
		"torn piece": func(r *testRecording) {
			r.edit("2/metadata.jsonl", func(b []byte) []byte { return append(b, `{"num`...) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			rec := mustRecord(t, false)
			tear(rec)
			r := rec.inspect(false)
			if r.Errors != 0 || r.Warnings != 0 {
				t.Errorf("findings: %+v", r.Findings)
			}
			if !slices.Contains(names(r, Info), "growing") {
				t.Errorf("it is not said to grow: %+v", r.Findings)
			}
		})
	}
}

// A recording with a fault in every segment is told of in a bounded report.
func TestFindingsAreBounded(t *testing.T) {
	var r Report
	for i := range 3 * MaxFindings {
		r.add(Error, "hole", fmt.Sprint(i), "x", "x")
	}
	if len(r.Findings) != MaxFindings || r.More["hole"] != 2*MaxFindings || r.Errors != 3*MaxFindings {
		t.Errorf("%d told, %d more, %d errors", len(r.Findings), r.More["hole"], r.Errors)
	}
}

func TestNoRecording(t *testing.T) {
	d, err := OpenDir(t.TempDir())
	must(t, err)
	defer d.Close()
	if _, err := Recording(t.Context(), d, Options{}); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("%v, want not found", err)
	}
}

func memoryStream(data []byte) *stream {
	s := &stream{end: int64(len(data)), curEnd: int64(len(data)), cur: io.NopCloser(bytes.NewReader(data))}
	s.buf = bufio.NewReader(source{s})
	return s
}
