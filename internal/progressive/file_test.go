package progressive

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// playlist is a recording's segments as a playlist has them, in one file: what a player that plays it decodes. Files of
// takes that differ can't be joined so.
func playlist(tb testing.TB, files reclog.Files, rec *reclog.Recording, take int, track string) string {
	tb.Helper()
	at := slices.IndexFunc(rec.Tracks, func(t reclog.Track) bool { return t.Name == track })
	name := reclog.TrackName(testPath, testID, take, track)
	init := rec.Takes[take-1].Tracks[at].InitSize
	data := readRange(tb, files, name, 0, init)
	for _, seg := range rec.Tracks[at].Segments {
		if seg.Take == take && !seg.Gap {
			data = append(data, readRange(tb, files, name, seg.Offset, seg.Size)...)
		}
	}
	file := tb.TempDir() + "/" + track + ".mp4"
	if err := os.WriteFile(file, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

func TestWholeRecordingDecodesAsItsSegmentsDo(t *testing.T) {
	clip := mustClip(t, 9, "320x180", 44100)
	root, rec := record(t, nil, clip)
	f := mustBuild(t, source(t, root.Files(), rec), Cut{})
	file := mustWrite(t, root.Files(), f)
	if got, want := hashes(frames(t, file, "v")), hashes(frames(t, clip, "v")); !slices.Equal(got, want) {
		t.Errorf("%d pictures, want the publisher's %d", len(got), len(want))
	}
	for track, stream := range map[string]string{"video": "v", "audio": "a"} {
		got := frames(t, file, stream)
		want := frames(t, playlist(t, root.Files(), rec, 1, track), "0")
		for i, late := 0, want[0].at; i < len(want); i++ { // ffmpeg begins a fragmented file with its pictures' delay
			want[i].at -= late
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d frames from %v, want %d from %v", track, len(got), got[0], len(want), want[0])
		}
	}
	checkBoxes(t, file, f)
}

// checkBoxes says whether the file is ftyp, moov and mdat, in this order.
func checkBoxes(t *testing.T, file string, f *File) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for at := int64(0); at < int64(len(b)); {
		kinds = append(kinds, string(b[at+4:at+8]))
		if size := int64(binary.BigEndian.Uint32(b[at:])); size != 1 {
			at += size
		} else {
			at += int64(binary.BigEndian.Uint64(b[at+8:]))
		}
		if at > int64(len(b)) {
			t.Fatalf("%v reach to %d of %d bytes", kinds, at, len(b))
		}
	}
	if !slices.Equal(kinds, []string{"ftyp", "moov", "mdat"}) || int64(len(b)) != f.Size() {
		t.Errorf("boxes %v, %d bytes, want %d", kinds, len(b), f.Size())
	}
}

func TestTakesWithOtherParametersAreSampleEntriesInStep(t *testing.T) {
	first, second := mustClip(t, 7, "320x180", 44100), mustClip(t, 5, "192x108", 48000)
	root, rec := record(t, nil, first, second)
	if len(rec.Takes) != 2 {
		t.Fatalf("%d takes", len(rec.Takes))
	}
	f := mustBuild(t, source(t, root.Files(), rec), Cut{})
	if v, a := f.tracks[0], f.tracks[1]; len(v.entries) != 2 || len(a.entries) != 2 || a.timescale != 7056000 {
		t.Errorf("%d and %d sample entries, a clock of %d", len(v.entries), len(a.entries), a.timescale)
	}
	file := mustWrite(t, root.Files(), f)
	checkBoxes(t, file, f)
	// Packets, for ffmpeg decodes no sound of another rate behind the first.
	video, audio := packets(t, file, "v"), packets(t, file, "a")
	if n := f.tables[0][0].Samples() + f.tables[1][0].Samples(); int64(len(video)) != n || n < 175+120 {
		t.Errorf("%d pictures of %d", len(video), n)
	}
	// The second take begins where the first ends, in both tracks alike: sound is never further from its pictures than
	// in the takes themselves.
	begin := func(track int) time.Duration {
		seg := rec.Tracks[track].Segments
		i := slices.IndexFunc(seg, func(s media.Segment) bool { return s.Take == 2 && !s.Gap })
		return media.Duration(seg[i].DTS, rec.Takes[1].Tracks[track].Timescale)
	}
	skew := (begin(1) - begin(0)).Milliseconds()
	units := f.tables[0][1].Samples()
	if d := audio[units].at - video[175].at - skew; d < -2 || d > 2 {
		t.Errorf("sound of the second take is %d ms off", d)
	}
	if at := video[175].at; at < 6990 || at > 7060 {
		t.Errorf("the second take begins at %d ms", at)
	}
}

func TestGapsKeepTheirTime(t *testing.T) {
	root, rec := record(t, nil, mustClip(t, 13, "192x108", 48000))
	src := source(t, root.Files(), rec)
	whole := frames(t, mustWrite(t, root.Files(), mustBuild(t, src, Cut{})), "v")
	for i := range src.Segments {
		src.Segments[i] = slices.Clone(src.Segments[i])
		src.Segments[i][1].Gap = true // lost, but not its bytes
	}
	lost := src.Segments[0][1]
	from := media.Duration(lost.DTS, 90000).Milliseconds()
	to := media.Duration(lost.DTS+lost.Duration, 90000).Milliseconds()
	file := mustWrite(t, root.Files(), mustBuild(t, src, Cut{}))
	want := slices.DeleteFunc(slices.Clone(whole), func(s shown) bool { return s.at >= from && s.at < to })
	if got := frames(t, file, "v"); !slices.Equal(got, want) {
		t.Errorf("%d pictures, want %d", len(got), len(want))
	}
	for _, s := range packets(t, file, "a") {
		if s.at > from+50 && s.at < to-50 {
			t.Fatalf("sound at %d ms, in the gap from %d to %d", s.at, from, to)
		}
	}
}

func TestFillersAndEndlessGapsAreLeftOut(t *testing.T) {
	root, rec := record(t, nil, mustClip(t, 13, "192x108", 48000))
	src := source(t, root.Files(), rec)
	want := frames(t, mustWrite(t, root.Files(), mustBuild(t, src, Cut{})), "v")
	for name, shift := range map[string]time.Duration{"filler": time.Minute, "gap": 2 * time.Hour} {
		moved := *src
		moved.Segments = nil
		for i, segments := range src.Segments {
			timescale := rec.Takes[0].Tracks[i].Timescale
			segments = slices.Clone(segments)
			segments[1].Gap, segments[1].Filler = true, name == "filler"
			segments[1].DTS, segments[1].Duration = segments[0].DTS+segments[0].Duration, media.Ticks(shift, timescale)
			moved.Segments = append(moved.Segments, segments)
		}
		// What follows is that much later, in the index and in the samples.
		moved.Tables = [][]*Table{nil}
		for i := range moved.Segments {
			ticks := media.Ticks(shift, rec.Takes[0].Tracks[i].Timescale) - src.Segments[i][1].Duration
			for j := 2; j < len(moved.Segments[i]); j++ {
				moved.Segments[i][j].DTS += ticks
			}
			moved.Tables[0] = append(moved.Tables[0], delayed(src.Tables[0][i], 3, ticks))
		}
		f := mustBuild(t, &moved, Cut{})
		got := frames(t, mustWrite(t, root.Files(), f), "v")
		n := len(hashes(got))
		from := media.Duration(src.Segments[0][1].DTS, 90000).Milliseconds()
		if n != len(want)-50 || got[n-1].hash != want[len(want)-1].hash || f.Duration() > 12*time.Second {
			t.Errorf("%s: %d pictures of %d in %v; after %d ms", name, n, len(want), f.Duration(), from)
		}
		if got[50].at-got[49].at > 80 {
			t.Errorf("%s: pictures at %d and %d ms", name, got[49].at, got[50].at)
		}
	}
}

// delayed gives a table whose segments from msn on are later.
func delayed(t *Table, msn media.MSN, ticks int64) *Table {
	var b builder
	for i, e := range t.segments {
		var all []sample
		t.each(i, func(_ int, s *sample) { all = append(all, *s) }, func(p *part) {
			r := run{skip: p.skip, samples: slices.Clone(all[p.first:])}
			for j := range r.samples {
				if e.msn >= msn {
					r.samples[j].dts += ticks
				}
			}
			b.part(&r)
		})
		if err := b.segment(e.msn); err != nil {
			panic(err)
		}
	}
	return &b.table
}

func TestCutsBeginAndEndExactly(t *testing.T) {
	root, rec := record(t, nil, mustClip(t, 13, "192x108", 48000))
	src := source(t, root.Files(), rec)
	whole := frames(t, mustWrite(t, root.Files(), mustBuild(t, src, Cut{})), "v")
	sound := packets(t, mustWrite(t, root.Files(), mustBuild(t, src, Cut{})), "a")
	segment := func(at time.Duration) media.MSN {
		for _, seg := range src.Segments[0] {
			if media.Duration(seg.DTS+seg.Duration, 90000) > at {
				return seg.MSN
			}
		}
		return media.MSN(len(src.Segments[0]))
	}
	for _, tt := range []struct{ start, end time.Duration }{
		{0, 2 * time.Second}, {2 * time.Second, 4 * time.Second}, {2960 * time.Millisecond, 3 * time.Second},
		{3200 * time.Millisecond, 9 * time.Second}, {5 * time.Second, 13 * time.Second}, {11900 * time.Millisecond, 12 * time.Second},
	} {
		c := Cut{From: segment(tt.start), To: segment(tt.end - 1), Start: tt.start, End: tt.end, HasStart: true, HasEnd: true}
		f := mustBuild(t, src, c)
		file := mustWrite(t, root.Files(), f)
		from, to := tt.start.Milliseconds(), tt.end.Milliseconds()
		var want []shown
		for _, s := range whole {
			if s.at >= from && s.at < to {
				if want == nil {
					from = s.at // the first picture at the start or after
				}
				want = append(want, shown{s.at - from, s.hash})
			}
		}
		got := frames(t, file, "v")
		if !slices.Equal(got, want) {
			t.Errorf("%v to %v: %d pictures %v, want %d %v", tt.start, tt.end, len(got), ends(got), len(want), ends(want))
		}
		// Sound that is heard is where it was beside the pictures.
		at := make(map[string]int64)
		for _, s := range sound {
			at[s.hash] = s.at
		}
		for _, s := range packets(t, file, "a") {
			if d := s.at + from - at[s.hash]; d < -1 || d > 1 {
				t.Errorf("%v to %v: sound of %d ms is at %d", tt.start, tt.end, at[s.hash], s.at)
				break
			}
		}
		if d := f.Duration() - time.Duration(to-from)*time.Millisecond; d < -time.Millisecond || d > 25*time.Millisecond {
			t.Errorf("%v to %v: plays for %v", tt.start, tt.end, f.Duration())
		}
	}
}

func ends(list []shown) []int64 {
	if len(list) == 0 {
		return nil
	}
	return []int64{list[0].at, list[len(list)-1].at}
}

func TestSecondLanguage(t *testing.T) {
	root, rec := record(t, nil, mustClip(t, 5, "192x108", 44100))
	if len(rec.Tracks) != 3 {
		t.Fatalf("%d tracks", len(rec.Tracks))
	}
	file := mustWrite(t, root.Files(), mustBuild(t, source(t, root.Files(), rec), Cut{}))
	if first, second := packets(t, file, "a:0"), packets(t, file, "a:1"); len(first) < 200 || !slices.Equal(first, second) {
		t.Errorf("%d and %d units", len(first), len(second))
	}
	got := mustRun(t, "ffprobe", "-v", "error", "-show_entries",
		"stream=codec_type:stream_disposition=default:stream_tags=language,handler_name", "-of", "csv=p=0", file)
	want := "video,1,und,VideoHandler\naudio,1,nld,Nederlands\naudio,0,und,English\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestAudioAlone(t *testing.T) {
	clip := mustClip(t, 7, "192x108", 44100, "-vn")
	root, rec := record(t, nil, clip)
	f := mustBuild(t, source(t, root.Files(), rec), Cut{})
	got := hashes(packets(t, mustWrite(t, root.Files(), f), "a"))
	want := hashes(packets(t, clip, "a"))
	if f.HasVideo() || len(got) == 0 || !slices.Equal(got, want[:len(got)]) || len(want)-len(got) > 2 {
		t.Errorf("%d units, want %d", len(got), len(want))
	}
}

// streamed hides that a range is of a directory, as an object store's is not, and breaks off now and then.
type streamed struct {
	Files
	every int // a reading breaks after so many reads; zero is never
	reads int
	opens int
}

type stream struct {
	io.ReadCloser
	s *streamed
}

func (s *streamed) OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error) {
	s.opens++
	in, err := s.Files.OpenRange(ctx, name, offset, size)
	return &stream{in, s}, err
}

func (s *stream) Read(p []byte) (int, error) {
	if s.s.reads++; s.s.every > 0 && s.s.reads%s.s.every == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return s.ReadCloser.Read(p[:min(len(p), 10_000)])
}

func TestRangesAreSlicesOfTheWhole(t *testing.T) {
	root, rec := record(t, nil, mustClip(t, 9, "320x180", 44100), mustClip(t, 3, "192x108", 44100))
	src := source(t, root.Files(), rec)
	f := mustBuild(t, src, Cut{})
	whole, err := os.ReadFile(mustWrite(t, root.Files(), f))
	if err != nil {
		t.Fatal(err)
	}
	if again := mustBuild(t, source(t, root.Files(), rec), Cut{}); again.ETag() != f.ETag() {
		t.Error("the same recording has two ETags")
	}
	files := &streamed{Files: root.Files()}
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.Int64Range(0, f.Size()-1).Draw(t, "from")
		if rapid.Bool().Draw(t, "header") {
			from = rapid.Int64Range(0, f.HeaderSize()+100).Draw(t, "near the header")
		}
		length := rapid.Int64Range(1, f.Size()-from).Draw(t, "length")
		files.every = rapid.SampledFrom([]int{0, 2, 3, 7}).Draw(t, "breaks after")
		for _, storage := range []Files{root.Files(), files} {
			var out bytes.Buffer
			n, err := NewCopier(storage).Send(t.Context(), &out, f, from, length)
			if err != nil || n != length || !bytes.Equal(out.Bytes(), whole[from:from+length]) {
				t.Fatalf("%d+%d: %d bytes, %v", from, length, n, err)
			}
		}
	})
	files.every, files.opens = 0, 0
	if _, err := NewCopier(files).Send(t.Context(), io.Discard, f, 0, f.Size()); err != nil || files.opens > 4 {
		t.Errorf("%d readings for four track files, %v", files.opens, err)
	}
}

// patterned is a track file of any size: its bytes follow from their place.
type patterned struct{ opens int }

type pattern struct{ at, left int64 }

func (p *patterned) OpenRange(_ context.Context, _ string, offset, size int64) (io.ReadCloser, error) {
	p.opens++
	return &pattern{offset, size}, nil
}

func (p *pattern) Read(b []byte) (int, error) {
	n := int(min(int64(len(b)), p.left))
	if n == 0 {
		return 0, io.EOF
	}
	for i := range n {
		b[i] = byte((p.at + int64(i)) * 7 >> 3)
	}
	p.at, p.left = p.at+int64(n), p.left-int64(n)
	return n, nil
}

func (p *pattern) Close() error { return nil }

// synthetic makes a recording of that many segments of 4 s, of 100 pictures of some bytes each.
func synthetic(tb testing.TB, segments int, size uint32) *Recording {
	tb.Helper()
	root, rec := record(tb, nil, mustClip(tb, 3, "192x108", 48000))
	src := source(tb, root.Files(), rec)
	src.Segments, src.Tables = make([][]media.Segment, 2), [][]*Table{make([]*Table, 2)}
	for track, timescale := range []int64{90000, 48000} {
		var b builder
		offset, dts, count := int64(1000), int64(0), 100
		if track == 1 {
			count = 188
		}
		for msn := media.MSN(1); msn <= media.MSN(segments); msn++ {
			seg := media.Segment{MSN: msn, Take: 1, DTS: dts, Duration: 4 * timescale, Offset: offset, Sync: true}
			r := run{skip: 100}
			for i := range count {
				s := sample{dts: dts, duration: 3600, size: size + uint32(i*131%977), sync: i%50 == 0}
				if s.cto = []int32{0, 7200, -3600, -7200}[i%4]; track == 1 {
					s.sync, s.cto, s.size, s.duration = true, 0, 300+uint32(i*37%100), 1024
				}
				dts += int64(s.duration)
				r.samples = append(r.samples, s)
				if len(r.samples) == 25 || i == count-1 {
					b.part(&r)
					seg.Size += r.skip + r.bytes()
					r.samples = r.samples[:0]
				}
			}
			if err := b.segment(msn); err != nil {
				tb.Fatal(err)
			}
			offset += seg.Size
			src.Segments[track] = append(src.Segments[track], seg)
		}
		src.Tables[0][track] = &b.table
	}
	return src
}

func TestFilesBeyond4GiB(t *testing.T) {
	src := synthetic(t, 200, 300_000) // 20,000 pictures
	f := mustBuild(t, src, Cut{})
	if f.Size() < 5<<30 {
		t.Fatalf("%d bytes", f.Size())
	}
	storage := &patterned{}
	head := mustSlice(t, storage, f, 0, f.HeaderSize())
	mdat := head[len(head)-16:]
	if binary.BigEndian.Uint32(mdat) != 1 || int64(binary.BigEndian.Uint64(mdat[8:])) != f.Size()-f.HeaderSize()+16 {
		t.Errorf("mdat %x", mdat)
	}
	// The last picture's chunk by co64 is where the track file has it.
	moov, _ := child(head, "moov")
	trak, _ := child(moov, "trak")
	for _, kind := range []string{"mdia", "minf", "stbl"} {
		trak, _ = child(trak, kind)
	}
	co64, ok := child(trak, "co64")
	if !ok || binary.BigEndian.Uint32(co64[4:]) != 200 {
		t.Fatalf("co64: %v, %d bytes", ok, len(co64))
	}
	for i := range 200 {
		at := int64(binary.BigEndian.Uint64(co64[8+8*i:]))
		seg := &src.Segments[0][i]
		if i > 0 && i < 199 && i%40 != 0 {
			continue
		}
		got := mustSlice(t, storage, f, at, 1000)
		want := readRange(t, storage, "", seg.Offset+100, 1000)
		if !bytes.Equal(got, want) {
			t.Errorf("chunk %d at %d has other bytes", i, at)
		}
	}
	var ends bytes.Buffer
	if _, err := NewCopier(storage).Send(t.Context(), &ends, f, f.Size()-1, 1); err != nil || ends.Len() != 1 {
		t.Errorf("%d bytes, %v", ends.Len(), err)
	}
}

func mustSlice(tb testing.TB, files Files, f *File, from, length int64) []byte {
	tb.Helper()
	var out bytes.Buffer
	if n, err := NewCopier(files).Send(tb.Context(), &out, f, from, length); err != nil || n != length {
		tb.Fatalf("%d+%d: %d bytes, %v", from, length, n, err)
	}
	return out.Bytes()
}

func TestSampleTablesComeBackFromTheirObject(t *testing.T) {
	root, rec := record(t, nil, mustClip(t, 5, "192x108", 44100))
	src := source(t, root.Files(), rec)
	want := mustBuild(t, src, Cut{})
	for i, table := range src.Tables[0] {
		data := table.Object()
		parsed, err := ParseTable(data)
		if err != nil || !parsed.Fits(1, src.Segments[i]) || parsed.Samples() != table.Samples() {
			t.Fatalf("%v", err)
		}
		src.Tables[0][i] = parsed
		var written bytes.Buffer
		track := rec.Takes[0].Tracks[i].Name
		err = WriteSamples(t.Context(), &written, root.Files(), reclog.TrackName(rec.Path(), rec.ID, 1, track), 1,
			src.Segments[i])
		if err != nil || !bytes.Equal(written.Bytes(), data) {
			t.Errorf("written: %d bytes, want %d: %v", written.Len(), len(data), err)
		}
		for at := range data {
			bad := slices.Clone(data)
			bad[at] ^= 0x10
			if _, err := ParseTable(bad); err == nil {
				t.Fatalf("a table whose byte %d is another is believed", at)
			}
			if _, err := ParseTable(data[:at]); err == nil {
				t.Fatalf("a table of %d bytes is believed", at)
			}
		}
		t.Logf("%d samples in %d bytes", table.Samples(), len(data))
	}
	if got := mustBuild(t, src, Cut{}); got.ETag() != want.ETag() {
		t.Error("another file by the objects")
	}
}

func FuzzParseTable(f *testing.F) {
	var b builder
	b.part(&run{skip: 9, samples: []sample{{dts: 5, duration: 3000, size: 77, sync: true}, {dts: 3005, duration: 3000, cto: -5, size: 8}}})
	if err := b.segment(3); err != nil {
		f.Fatal(err)
	}
	f.Add(b.table.Object())
	b.part(&run{samples: []sample{{dts: 1024, duration: 1024, size: 300, sync: true}}})
	if err := b.segment(4); err != nil {
		f.Fatal(err)
	}
	f.Add(b.table.Object())
	f.Fuzz(func(t *testing.T, data []byte) {
		defer fuzztest.Bound(t, 4<<20+128*len(data))()
		if len(data) > sumBytes { // the checksum is no secret
			data = binary.BigEndian.AppendUint32(slices.Clone(data[:len(data)-sumBytes]), checksum(data[:len(data)-sumBytes]))
		}
		table, err := ParseTable(data)
		if err != nil {
			return
		}
		n := int64(0)
		for i := range table.segments {
			table.each(i, func(_ int, s *sample) { n++ }, nil)
		}
		if n != table.Samples() {
			t.Fatalf("%d samples of %d", n, table.Samples())
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	src := synthetic(b, 10_000, 5000) // a million pictures, 1.88 million units of sound
	samples := float64(src.Tables[0][0].Samples() + src.Tables[0][1].Samples())
	b.ReportMetric(float64(src.Tables[0][0].Weight()+src.Tables[0][1].Weight())/samples, "B/sample")
	b.ReportAllocs()
	for b.Loop() {
		mustBuild(b, src, Cut{})
	}
	b.ReportMetric(samples*float64(b.N)/b.Elapsed().Seconds()/1e6, "Msamples/s")
}

func BenchmarkHeader(b *testing.B) {
	f := mustBuild(b, synthetic(b, 10_000, 5000), Cut{})
	b.SetBytes(f.HeaderSize())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.writeHeader(io.Discard, 0, f.HeaderSize()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBody(b *testing.B) {
	root, rec := record(b, nil, mustClip(b, 20, "1280x720", 48000, "-b:v", "8M", "-minrate", "8M", "-maxrate", "8M", "-bufsize", "8M", "-x264-params", "nal-hrd=cbr:force-cfr=1"))
	f := mustBuild(b, source(b, root.Files(), rec), Cut{})
	for name, files := range map[string]Files{"directory": root.Files(), "store": &streamed{Files: root.Files()}} {
		b.Run(name, func(b *testing.B) {
			c := NewCopier(files)
			b.SetBytes(f.Size())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Send(b.Context(), io.Discard, f, 0, f.Size()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
