package reclog

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

func testPiece(number int64, payload string) media.Metadata {
	return media.Metadata{
		Number: number, Take: 1, Kind: media.ID3, Time: 1500*time.Millisecond + 1,
		Date: testStart().Truncate(time.Millisecond), Payload: []byte(payload),
	}
}

func TestMetadataLineRoundTrip(t *testing.T) {
	const head = `{"number":7,"kind":"id3","time_ns":1500000001,"date":"2026-11-20T10:38:00.823Z","payload":`
	deep := strings.Repeat("[", 10000) + strings.Repeat("]", 10000) // as deep as encoding/json goes, alone
	for payload, want := range map[string]string{
		"ID3\x04\x00":               `"SUQzBAA="`,
		"":                          `""`,
		`{"a": "b"}`:                `{"a": "b"}`,
		`[1,2]`:                     `[1,2]`,
		"{\"a\":\n1}":               `"eyJhIjoKMX0="`,
		` {}`:                       `"IHt9"`,
		`"text"`:                    `"InRleHQi"`,
		`{"a":}`:                    `"eyJhIjp9"`,
		"{\"\xff\":\"\u2028</a>\"}": "{\"\xff\":\"\u2028</a>\"}",
		deep:                        "",
	} {
		m := testPiece(7, payload)
		// What stands before in a batch is no part of the line.
		line := appendMetadataLine([]byte("{]\n"), &m)[3:]
		if want != "" && string(line) != head+want+"}\n" {
			t.Errorf("%q: %s", payload, line)
		}
		if bytes.Count(line, []byte("\n")) != 1 {
			t.Errorf("%.20q: more than a line", payload)
		}
		back := media.Metadata{}
		if err := parseMetadataLine(line[:len(line)-1], &back); err != nil {
			t.Fatalf("%.20q: %v", payload, err)
		}
		back.Take = 1
		if !bytes.Equal(m.Payload, back.Payload) || m.Number != back.Number || m.Time != back.Time || !m.Date.Equal(back.Date) {
			t.Errorf("%.20q: %+v", payload, back)
		}
	}
	largest := testPiece(maxNumber, strings.Repeat("x", media.MaxMetadata))
	largest.Kind, largest.Time = "scte35", 1<<63-1
	if n := len(appendMetadataLine(nil, &largest)); n >= MaxMetadataLine {
		t.Errorf("a line of %d bytes", n)
	}
}

// badPieces are no lines of metadata.
func badPieces() []string {
	rest := `,"date":"2026-11-20T10:38:00Z","payload":"AA=="}`
	return []string{
		``, `{}`, `null`, `[]`, "\x00\x00", `{"number":1`,
		`{"number":0,"kind":"id3"` + rest, `{"number":-1,"kind":"id3"` + rest, `{"number":1,"kind":""` + rest,
		`{"number":1,"kind":"A\n"` + rest, `{"number":1099511627777,"kind":"id3"` + rest,
		`{"number":1,"kind":"id3","time_ns":-1` + rest, `{"number":1,"kind":"id3","time_ns":1.5` + rest,
		`{"number":1,"kind":"id3","date":"2026-11-20T10:38:00Z"}`,
		`{"number":1,"kind":"id3","date":"2026-11-20T10:38:00Z","payload":null}`,
		`{"number":1,"kind":"id3","date":"2026-11-20T10:38:00Z","payload":7}`,
		`{"number":1,"kind":"id3","date":"2026-11-20T10:38:00Z","payload":"?"}`,
		`{"number":1,"kind":"id3","date":"noon","payload":"AA=="}`,
		`{"number":1,"kind":"id3","payload":"AA==","x":"` + strings.Repeat("x", MaxMetadataLine) + `"}`,
		`{"number":1,"kind":"id3","payload":[` + strings.Repeat(" ", media.MaxMetadata) + `]}`,
	}
}

func TestMetadataLineOfOthers(t *testing.T) {
	var m media.Metadata
	text := `{ "payload": {"x":1}, "new": 3, "kind": "from_later", "date": "2026-11-20T11:38:00.82399+01:00", "number": 9 }`
	if err := parseMetadataLine([]byte(text), &m); err != nil || m.Number != 9 || m.Kind != "from_later" ||
		string(m.Payload) != `{"x":1}` || !m.Date.Equal(testStart().Truncate(time.Millisecond)) {
		t.Errorf("%+v %v", m, err)
	}
	for _, line := range badPieces() {
		if err := parseMetadataLine([]byte(line), &m); err == nil {
			t.Errorf("%.60s is taken for %+v", line, m)
		}
	}
}

func TestParseMetadataTellsTornTailFromDamage(t *testing.T) {
	one, two, three := testPiece(1, "one"), testPiece(2, "two"), testPiece(5, "three")
	a, b, c := appendMetadataLine(nil, &one), appendMetadataLine(nil, &two), appendMetadataLine(nil, &three)
	for _, tc := range []struct {
		name string
		text []byte
		want []int64
		good int
		bad  int
	}{
		{"whole", slices.Concat(a, b, c), []int64{1, 2, 5}, len(a) + len(b) + len(c), 0},
		{"nothing", nil, nil, 0, 0},
		{"no newline", slices.Concat(a, b[:len(b)-1]), []int64{1}, len(a), 0},
		{"zeros behind", slices.Concat(a, []byte{0, 0, '\n', 0}), []int64{1}, len(a), 0},
		{"middle broken", slices.Concat(a, []byte("junk\n"), c), []int64{1, 5}, len(a) + len(c), 1},
		{"twice", slices.Concat(a, a, b), []int64{1, 2}, len(a) + len(b), 1},
		{"out of order", slices.Concat(c, a, b), []int64{5}, len(c), 0},
	} {
		var told metadataSum
		got := parseMetadata(tc.text, 1, &told)
		var numbers []int64
		for _, m := range got.pieces {
			numbers = append(numbers, m.Number)
		}
		if !slices.Equal(numbers, tc.want) || len(got.text) != tc.good || len(got.bad) != tc.bad {
			t.Errorf("%s: %v, %d good bytes, bad %v", tc.name, numbers, len(got.text), got.bad)
		}
		if told.count != len(tc.want) {
			t.Errorf("%s: %+v", tc.name, told)
		}
	}
}

func TestMetadataOfARecordingIsBounded(t *testing.T) {
	var told metadataSum
	big := testPiece(1, strings.Repeat("x", media.MaxMetadata))
	for ; told.admit(&big) == nil; big.Number++ {
	}
	if told.bytes != MaxMetadataBytes {
		t.Errorf("%+v", told)
	}
	small := testPiece(1, "")
	told = metadataSum{}
	for ; told.admit(&small) == nil; small.Number++ {
	}
	if told.count != MaxMetadata {
		t.Errorf("%+v", told)
	}
	s := finished(t)
	s.writer.mu.told.count = MaxMetadata
	if err := s.writer.AppendMetadata(testPiece(1, "")); !errors.Is(err, media.ErrTooLarge) {
		t.Error(err)
	}
}

func TestAppendMetadataRefusesWhatDoesNotFit(t *testing.T) {
	s := newShow(t, newMemFS(), SyncSegment)
	if !s.begin() {
		t.Fatal(s.failed)
	}
	if err := s.writer.AppendMetadata(testPiece(1, "")); !errors.Is(err, media.ErrConflict) {
		t.Errorf("before the first take: %v", err)
	}
	if !s.startTake() {
		t.Fatal(s.failed)
	}
	s.segment(2)
	if err := s.writer.AppendMetadata(testPiece(3, "")); err != nil {
		t.Fatal(err)
	}
	nameless := testPiece(4, "")
	nameless.Kind = "no kind"
	for name, m := range map[string]media.Metadata{
		"same number": testPiece(3, ""), "too large": testPiece(4, strings.Repeat("x", media.MaxMetadata+1)), "kind": nameless,
	} {
		if err := s.writer.AppendMetadata(m); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.seal()
	if m := s.writer.Manifest(); !m.Takes[0].Metadata || !slices.Contains(m.FileNames(), MetadataName(testPath(), testID, 1)) {
		t.Errorf("%+v lists %v", m.Takes, m.FileNames())
	}
}

// What is told beside a segment lasts before the segment does: its subtitles are the same after any crash.
func TestSUB1_MetadataLastsBeforeItsSegment(t *testing.T) {
	s := begun(t, SyncSegment)
	if err := s.writer.AppendMetadata(testPiece(1, "{}")); err != nil {
		t.Fatal(err)
	}
	from := s.now()
	s.segment(2)
	if err := s.take.drainForTest(); err != nil {
		t.Fatal(err)
	}
	told := false
	for _, o := range s.fsys.journal[from:] {
		switch metadata := filepath.Base(o.name) == metadataFile; {
		case o.kind == opSync && metadata:
			told = true
		case !told && (o.kind == opSync || filepath.Ext(o.name) == indexSuffix):
			t.Fatalf("%v comes before the sync of the metadata", o)
		}
	}
	if !told {
		t.Error("the metadata was not synced")
	}
}

func TestMetadataOfASealedTakeIsInTheManifestFirst(t *testing.T) {
	s := finished(t)
	name := MetadataName(testPath(), testID, 1)
	if m := s.writer.Manifest(); m.Takes[0].Metadata || slices.Contains(m.FileNames(), name) {
		t.Fatalf("a take without metadata lists %v", m.FileNames())
	}
	if err := s.writer.AppendMetadata(testPiece(1, "while away")); err != nil {
		t.Fatal(err)
	}
	m := s.writer.Manifest()
	if names := m.FileNames(); names[len(names)-2] != name {
		t.Errorf("files %v", names)
	}
	rec, err := Load(t.Context(), s.root.Files(), testPath(), testID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]media.Metadata{testPiece(1, "while away")}, rec.Metadata); diff != "" {
		t.Error(diff)
	}
}

// busyFiles tells a piece and finishes a segment behind each file of a take that is read.
type busyFiles struct {
	Files
	show *show
}

func (f *busyFiles) ReadFile(ctx context.Context, name string) ([]byte, error) {
	data, err := f.Files.ReadFile(ctx, name)
	if strings.Contains(name, ".jsonl") || strings.Contains(name, "/1/") {
		f.show.tell()
		f.show.segment(2)
		f.show.settle()
	}
	return data, err
}

func TestSUB1_WhatWasToldBeforeAListedSegmentIsLoaded(t *testing.T) {
	s := begun(t, SyncSegment)
	s.tell()
	s.segment(2)
	s.settle()
	rec, err := Load(t.Context(), &busyFiles{s.root.Files(), s}, testPath(), testID)
	if err = errors.Join(append(s.failed, err)...); err != nil {
		t.Fatal(err)
	}
	segments := len(rec.Tracks[0].Segments)
	if len(s.pieces) < 3 || segments == 0 || len(rec.Metadata) < segments {
		t.Errorf("%d segments, %d pieces of %d", segments, len(rec.Metadata), len(s.pieces))
	}
}

func TestDamagedMetadataIsToldAndTheRestServed(t *testing.T) {
	name := "/" + MetadataName(testPath(), testID, 1)
	told := func(t *testing.T) *show {
		s := unsealed(t)
		for range 3 {
			s.tell()
		}
		s.seal()
		return s
	}
	t.Run("a line is other bytes", func(t *testing.T) {
		s := told(t)
		text := s.fsys.contents(name)
		text[bytes.IndexByte(text, '\n')+5]++
		s.fsys.set(name, text)
		rec, err := Load(t.Context(), s.root.Files(), testPath(), testID)
		if err != nil || len(rec.Metadata) != 2 || len(rec.Damage) != 1 {
			t.Fatalf("%+v %v", rec, err)
		}
		root, rec, w := mustReopen(t, s.fsys)
		if len(rec.Metadata) != 2 || len(rec.Damage) != 1 || !errors.Is(rec.Damage[0], media.ErrCorrupt) {
			t.Errorf("%+v", rec)
		}
		if got := s.fsys.contents(name + corruptSuffix); !bytes.Equal(got, text) {
			t.Errorf("kept aside: %q", got)
		}
		checkContinues(t, root, rec, w)
	})
	t.Run("the file is lost", func(t *testing.T) {
		s := told(t)
		s.fsys.mustRemove(name)
		rec, err := Load(t.Context(), s.root.Files(), testPath(), testID)
		if err != nil || len(rec.Metadata) != 0 || len(rec.Damage) != 1 {
			t.Fatalf("%+v %v", rec, err)
		}
		root, rec, w := mustReopen(t, s.fsys)
		if rec.Takes[0].Metadata || len(rec.Damage) != 1 {
			t.Errorf("%+v", rec)
		}
		checkContinues(t, root, rec, w)
	})
}

func TestAFencedWritersMetadataSpoilsNothing(t *testing.T) {
	for _, before := range []int{0, 2} { // pieces of the old writer's before it is fenced
		s := unsealed(t)
		for range before {
			s.tell()
		}
		root, rec, w := mustReopen(t, s.fsys)
		if err := w.AppendMetadata(testPiece(10, "new")); err != nil {
			t.Fatal(err)
		}
		err := s.writer.AppendMetadata(testPiece(11, "zombie"))
		if before == 0 && !errors.Is(err, media.ErrFenced) {
			t.Errorf("a fenced writer made a file: %v", err)
		}
		again, err := Load(context.Background(), root.Files(), testPath(), testID)
		if err != nil || len(again.Metadata) != before+1 || len(again.Damage) > 0 {
			t.Fatalf("%+v %v", again, err)
		}
		if got := again.Metadata[before]; string(got.Payload) != "new" {
			t.Errorf("%+v", got)
		}
		checkContinues(t, root, again, w)
		_ = rec
	}
}

func FuzzMetadata(f *testing.F) {
	one, two := testPiece(1, "one"), testPiece(2, `{"x":1}`)
	f.Add(appendMetadataLine(appendMetadataLine(nil, &one), &two))
	f.Add([]byte(strings.Join(badPieces()[:18], "\n") + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		defer fuzztest.Bound(t, 4<<20+512*len(text))()
		var told, again metadataSum
		got := parseMetadata(text, 1, &told)
		if len(got.text) > len(text) || told.count != len(got.pieces) || len(got.bad) > maxDamage {
			t.Fatalf("%d bytes of %d, %+v", len(got.text), len(text), told)
		}
		var own []byte
		for i := range got.pieces {
			own = appendMetadataLine(own, &got.pieces[i])
		}
		back := parseMetadata(own, 1, &again)
		if !slices.EqualFunc(got.pieces, back.pieces, func(a, b media.Metadata) bool {
			return a.Number == b.Number && a.Kind == b.Kind && a.Time == b.Time && a.Date.Equal(b.Date) &&
				bytes.Equal(a.Payload, b.Payload)
		}) || len(back.bad) > 0 {
			t.Fatalf("%q is read back as %+v", own, back)
		}
	})
}
