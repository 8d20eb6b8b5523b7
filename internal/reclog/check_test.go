package reclog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// files reads a memFS as Load wants it.
func testFiles(tb testing.TB, fsys *memFS) Files { return testRoot(tb, fsys, SyncSegment).Files() }

// mustReopen recovers the recording of a file system.
func mustReopen(tb testing.TB, fsys *memFS) (*Root, *Recording, *Writer) {
	tb.Helper()
	root := testRoot(tb, fsys, SyncSegment)
	rec, w, err := root.Reopen(context.Background(), testPath(), testID)
	if err != nil {
		tb.Fatalf("reopen: %v", err)
	}
	return root, rec, w
}

// checkRecording asserts the invariants of a recovered recording against what was told before the crash.
func checkRecording(tb testing.TB, files Files, rec *Recording, all []told, at int) {
	tb.Helper()
	for _, track := range rec.Tracks {
		if len(track.Segments) != len(rec.Tracks[0].Segments) {
			tb.Fatalf("%s has %d segments, %s %d", track.Name, len(track.Segments),
				rec.Tracks[0].Name, len(rec.Tracks[0].Segments))
		}
		checkTrack(tb, files, rec, track)
	}
	for i, m := range rec.Metadata {
		if i > 0 && m.Number <= rec.Metadata[i-1].Number {
			tb.Fatalf("piece %d follows %d", m.Number, rec.Metadata[i-1].Number)
		}
	}
	for _, take := range rec.Takes {
		if !take.Sealed {
			tb.Fatalf("take %d is not sealed", take.Number)
		}
	}
	for _, what := range all {
		if what.at > at {
			continue
		}
		if err := checkTold(files, rec, what); err != nil {
			tb.Fatalf("told by %d, crash at %d: take %d track %d, %d.%d: %v",
				what.at, at, what.take, what.track, what.msn, what.part, err)
		}
	}
}

// checkPieces asserts that the recording has the metadata that was kept before a crash, and none that was not tried.
func checkPieces(tb testing.TB, rec *Recording, all []piece, must func(piece) bool) {
	tb.Helper()
	has := make(map[int64]bool)
	for _, m := range rec.Metadata {
		has[m.Number] = true
		wantEqual(tb, "metadata", all[m.Number-1].Metadata, m)
	}
	for _, p := range all {
		if p.kept && must(p) && !has[p.Number] {
			tb.Fatalf("piece %d of take %d is lost", p.Number, p.Take)
		}
	}
}

// wantEqual looks for the difference only where there is one: that takes its time, and most are the same.
func wantEqual(tb testing.TB, what string, want, got any) {
	tb.Helper()
	if reflect.DeepEqual(want, got) {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Fatalf("%s: %s", what, diff)
	}
}

func samePiece(a, b media.Metadata) bool { return reflect.DeepEqual(a, b) || cmp.Equal(a, b) }

func checkTrack(tb testing.TB, files Files, rec *Recording, track Track) {
	tb.Helper()
	var end int64
	for i, seg := range track.Segments {
		if seg.MSN != media.MSN(i+1) {
			tb.Fatalf("%s: segment %d has MSN %d", track.Name, i, seg.MSN)
		}
		if seg.DTS < end {
			tb.Fatalf("%s: segment %d begins at %d, before %d", track.Name, seg.MSN, seg.DTS, end)
		}
		end = seg.DTS + seg.Duration
		if seg.Gap {
			continue
		}
		data := mustRange(tb, files, TrackName(rec.Path(), rec.ID, seg.Take, track.Name), seg.Offset, seg.Size)
		parts, err := ScanParts(bytes.NewReader(data), seg)
		if err != nil {
			tb.Fatal(err)
		}
		var duration int64
		for _, part := range parts {
			duration += part.Duration
		}
		var iframes []media.IFrame
		if track.Name == "video" {
			iframes = []media.IFrame{{Size: firstSampleEnd(data)}}
		}
		wantEqual(tb, "I-frames", iframes, seg.IFrames)
		if duration != seg.Duration || len(parts) == 0 {
			tb.Fatalf("%s: segment %d of %d has %d parts of %d", track.Name, seg.MSN, seg.Duration, len(parts), duration)
		}
	}
}

func checkTold(files Files, rec *Recording, what told) error {
	segments := rec.Tracks[what.track].Segments
	if int(what.msn) > len(segments) {
		return fmt.Errorf("only %d segments", len(segments))
	}
	seg := segments[what.msn-1]
	if seg.Take != what.take || (what.gap && !seg.Gap) {
		return fmt.Errorf("it is %+v", seg)
	}
	if what.gap {
		return nil
	}
	if !seg.Gap && (what.offset < seg.Offset || what.offset+int64(len(what.data)) > seg.Offset+seg.Size) {
		return fmt.Errorf("at %d, outside of %+v", what.offset, seg)
	}
	name := TrackName(rec.Path(), rec.ID, what.take, rec.Tracks[what.track].Name)
	got, err := readRange(files, name, what.offset, int64(len(what.data)))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, what.data) {
		return errors.New("other bytes")
	}
	return nil
}

func readRange(files Files, name string, offset, size int64) ([]byte, error) {
	r, err := files.OpenRange(context.Background(), name, offset, size)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

func mustRange(tb testing.TB, files Files, name string, offset, size int64) []byte {
	tb.Helper()
	data, err := readRange(files, name, offset, size)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// checkContinues writes on after a recovery, and reads all of it.
func checkContinues(tb testing.TB, root *Root, rec *Recording, w *Writer) {
	tb.Helper()
	s := &show{tb: tb, fsys: root.fsys.(freshFS).fileSystem.(*memFS), root: root, writer: w, next: 1}
	if n := len(rec.Takes); n > 0 {
		s.number = rec.Takes[n-1].Number
		for i, track := range rec.Tracks {
			last := track.Segments[len(track.Segments)-1]
			s.next, s.dts[i] = last.MSN+1, last.DTS+last.Duration
		}
		s.gap(true)
		s.take = w.mu.tail
	}
	tell := func() {
		tb.Helper()
		m := media.Metadata{Number: w.mu.told.number + 3, Kind: media.ID3, Date: testStart(), Payload: []byte("again")}
		if err := w.AppendMetadata(m); err != nil {
			tb.Fatal(err)
		}
	}
	if s.take != nil {
		tell()
	}
	if !s.startTake() {
		tb.Fatal(s.failed)
	}
	s.segment(2)
	tell()
	s.seal()
	if err := errors.Join(s.failed...); err != nil {
		tb.Fatal(err)
	}
	again, err := Load(context.Background(), root.Files(), testPath(), testID)
	if err != nil {
		tb.Fatal(err)
	}
	told := min(len(rec.Takes), 1) + 1
	if n := len(rec.Metadata); len(again.Metadata) != n+told || !slices.EqualFunc(rec.Metadata, again.Metadata[:n], samePiece) {
		tb.Fatalf("metadata %+v became %+v", rec.Metadata, again.Metadata)
	}
	if len(rec.Takes) > 0 {
		for i, track := range again.Tracks {
			old := rec.Tracks[i].Segments
			wantEqual(tb, "recovered segments", old, slices.Clone(track.Segments[:len(old)]))
		}
	}
	checkRecording(tb, root.Files(), again, s.told, s.now())
}
