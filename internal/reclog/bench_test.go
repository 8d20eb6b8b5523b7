package reclog

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// BenchmarkAppendPart appends parts of 6 Mb/s and 0.5 s to a real file: one write, no allocation.
func BenchmarkAppendPart(b *testing.B) {
	s := &show{tb: b, fsys: newMemFS(), root: openDir(b, b.TempDir()), next: 1}
	if !s.begin() || !s.startTake() {
		b.Fatal(s.failed)
	}
	data := testPart(SequenceNumber(1, 0), 0, 3000, 15, true, make([]byte, 375_000))
	seq := SequenceNumber(1, 0)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		binary.BigEndian.PutUint32(data[20:], seq)
		if _, err := s.take.AppendPart(0, data); err != nil {
			b.Fatal(err)
		}
		if seq++; seq%512 == 0 { // not to fill the disk
			if err := s.take.tracks[0].media.undo(s.take.take.Tracks[0].InitSize); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	if err := s.take.closeFiles(); err != nil {
		b.Fatal(err)
	}
}

// TestAppendPartAllocatesNothing holds the promise of AppendPart's doc.
func TestAppendPartAllocatesNothing(t *testing.T) {
	s := &show{tb: t, fsys: newMemFS(), root: openDir(t, t.TempDir()), next: 1}
	if !s.begin() || !s.startTake() {
		t.Fatal(s.failed)
	}
	data := testPart(0, 0, 3000, 15, true, make([]byte, 3000))
	seq := SequenceNumber(1, 0)
	if n := testing.AllocsPerRun(100, func() {
		binary.BigEndian.PutUint32(data[20:], seq)
		seq++
		if _, err := s.take.AppendPart(0, data); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if err := s.take.closeFiles(); err != nil {
		t.Fatal(err)
	}
}

// sixHours is the index of six hours of segments of 2 s.
func sixHours() []byte {
	segments := make([]media.Segment, 10_800)
	for i := range segments {
		segments[i] = segment(media.MSN(i+1), int64(50+i*1_500_000), 1_500_000)
	}
	return indexOf(segments...)
}

func BenchmarkParseIndex6h(b *testing.B) {
	text := sixHours()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if got := parseIndex(text, testBounds()); len(got.lines) != 10_800 || len(got.bad) != 0 {
			b.Fatal(len(got.lines), got.bad)
		}
	}
}

func BenchmarkAppendLine(b *testing.B) {
	seg := segment(10_800, 123_456_789, 1_500_000)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendLine(buf[:0], &seg)
	}
}

// BenchmarkLoad6h loads a recording of two tracks from memory.
func BenchmarkLoad6h(b *testing.B) {
	m := takenManifest()
	m.Takes, m.Damage = m.Takes[:1], nil
	m.Takes[0].Sealed = true
	data, err := m.encode()
	if err != nil {
		b.Fatal(err)
	}
	files := mapFiles{
		ManifestName(testPath(), testID):          data,
		IndexName(testPath(), testID, 1, "video"): sixHours(),
		IndexName(testPath(), testID, 1, "audio"): sixHours(),
	}
	b.ReportAllocs()
	for b.Loop() {
		rec, err := Load(context.Background(), files, testPath(), testID)
		if err != nil || len(rec.Tracks[1].Segments) != 10_800 {
			b.Fatal(err)
		}
	}
}

// mapFiles is a storage of files in memory, such as an object store is.
type mapFiles map[string][]byte

func (m mapFiles) ReadFile(_ context.Context, name string) ([]byte, error) {
	data, ok := m[name]
	if !ok {
		return nil, media.ErrNotFound
	}
	return data, nil
}

func (m mapFiles) OpenRange(_ context.Context, name string, offset, size int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m[name][offset : offset+size])), nil
}

// BenchmarkRescan rebuilds the index of a track of 100 segments of four parts from its file.
func BenchmarkRescan(b *testing.B) {
	var data []byte
	for msn := range 100 {
		segment, _, _ := testSegment(media.MSN(msn+1), 4, int64(len(data)))
		data = append(data, segment...)
	}
	fsys := newMemFS()
	f, err := createFile(fsys, "/x", data)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		s := scanner{take: 1, timescale: 90000, after: SequenceNumber(1, 0) - 1, below: MaxMSN, expect: -1}
		out, err := s.scan(f, span{0, int64(len(data))})
		if err != nil || len(out.segments) != 100 {
			b.Fatal(err, len(out.segments))
		}
	}
}

func BenchmarkScanParts(b *testing.B) {
	data, seg, _ := testSegment(7, 4, 0)
	for b.Loop() {
		if _, err := ScanParts(bytes.NewReader(data), seg); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpenRange opens and reads a part of 64 KiB from the directory.
func BenchmarkOpenRange(b *testing.B) {
	root, err := newRoot(Config{Dir: b.TempDir()}, osFS{}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	f, err := createFile(osFS{}, root.path("x"), make([]byte, 1<<20))
	if err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := root.Files().OpenRange(context.Background(), "x", 4096, 64<<10)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); n != 64<<10 || err != nil {
			b.Fatal(n, err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
	if err := root.Close(); err != nil {
		b.Fatal(err)
	}
}
