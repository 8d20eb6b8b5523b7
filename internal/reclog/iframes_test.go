package reclog

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// segmentWith gives a segment of 1000 bytes and 2 s with I-frames.
func segmentWith(list ...media.IFrame) media.Segment {
	seg := segment(1, 50, 1000)
	seg.IFrames = list
	return seg
}

func manyIFrames(n int) []media.IFrame {
	var list []media.IFrame
	for i := range n {
		list = append(list, media.IFrame{Time: uint32(i * 1000), Offset: uint32(i * 10), Size: 10})
	}
	return list
}

func TestIFR1_IndexLineNamesIFrames(t *testing.T) {
	for want, seg := range map[string]media.Segment{
		``:                                    segmentWith(),
		`,"sync":true,"iframes":[[0,0,300]]}`: segmentWith(media.IFrame{Size: 300}),
		`,"sync":true,"iframes":[[0,0,300],[90000,500,9]]}`: segmentWith(media.IFrame{Size: 300}, media.IFrame{Time: 90000, Offset: 500, Size: 9}),
		`[15000,150,10]]}`: segmentWith(manyIFrames(MaxIFrames)...),
	} {
		line := appendLine(nil, &seg)
		if !strings.HasSuffix(string(line), want+"\n") && want != "" {
			t.Errorf("%s", line)
		}
		var own, back media.Segment
		if !parseOwnLine(line[:len(line)-1], &own) {
			t.Errorf("the fast parser does not know %s", line)
		}
		spaced := bytes.ReplaceAll(line, []byte(","), []byte(", "))
		if err := parseLine(spaced[:len(spaced)-1], &back); err != nil {
			t.Fatal(err)
		}
		own.Take, back.Take = 1, 1
		if diff := cmp.Diff(seg, own) + cmp.Diff(seg, back); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	}
	longest := segment(MaxMSN, math.MaxInt64/2, math.MaxInt64/2)
	longest.DTS, longest.Duration, longest.Gap, longest.Filler = -maxTicks, maxTicks, true, true
	for range MaxIFrames {
		longest.IFrames = append(longest.IFrames, media.IFrame{Time: math.MaxUint32, Offset: math.MaxUint32, Size: math.MaxUint32})
	}
	if n := len(appendLine(nil, &longest)); n >= MaxLine {
		t.Errorf("a line may have %d bytes", n)
	}
}

// badIFrames are fields that no line may have, of a segment of 1000 bytes.
func badIFrames() []string {
	var many []string
	for _, f := range manyIFrames(MaxIFrames + 1) {
		many = append(many, fmt.Sprintf("[%d,%d,%d]", f.Time, f.Offset, f.Size))
	}
	return []string{
		`[[0,0]]`, `[[0,0,1,1]]`, `[0,0,1]`, `[[0,0,0]]`, `[[0,0,1001]]`, `[[0,999,2]]`, `[[-1,0,1]]`, `[[0,0,1.5]]`,
		`[[0,0,4294967296]]`, `[[0,0,10],[0,10,10]]`, `[[0,0,10],[5,9,10]]`, `[[5,0,10],[4,10,10]]`, `[[180000,0,10]]`,
		`{}`, `"x"`, "[" + strings.Join(many, ",") + "]",
	}
}

func lineWith(field string) []byte {
	seg := segmentWith()
	line := appendLine(nil, &seg)
	return fmt.Appendf(nil, `%s,"iframes":%s}`, line[:len(line)-2], field)
}

func TestIndexLineWithIFramesThatCannotBe(t *testing.T) {
	for _, field := range badIFrames() {
		var seg media.Segment
		if err := parseLine(lineWith(field), &seg); err == nil {
			t.Errorf("%s is taken for %+v", field, seg)
		}
	}
	for _, field := range []string{`[]`, `null`} {
		var seg media.Segment
		if err := parseLine(lineWith(field), &seg); err != nil || seg.IFrames != nil {
			t.Errorf("%s: %+v %v", field, seg, err)
		}
	}
	var gap media.Segment
	line := bytes.Replace(lineWith(`[[0,0,10]]`), []byte(`"sync":true`), []byte(`"gap":true`), 1)
	if err := parseLine(line, &gap); err == nil {
		t.Error("a gap with I-frames")
	}
}

func TestIFramesAreRebuiltFromTheFile(t *testing.T) {
	events := testEvents("one", "two")
	var file []byte
	var want []media.IFrame
	for i := range 6 {
		part := testPart(SequenceNumber(1, i), int64(i)*15000, 3000, 5, i%2 == 0, bytes.Repeat([]byte("12345"), 100))
		if i == 2 {
			part = append(bytes.Clone(events), part...)
		}
		if i%2 == 0 {
			head := uint32(bytes.Index(part, []byte("mdat")) + 4 + 100)
			want = append(want, media.IFrame{Time: uint32(i) * 15000, Offset: uint32(len(file)), Size: head})
		}
		file = append(file, part...)
	}
	scan := func(video bool) media.Segment {
		s := scanner{take: 1, timescale: 90000, video: video, after: SequenceNumber(1, 0) - 1, below: 10, expect: -1}
		out, err := s.scan(bytes.NewReader(file), span{0, int64(len(file))})
		if err != nil || len(out.segments) != 1 || len(out.bad) > 0 {
			t.Fatalf("%+v %v", out, err)
		}
		return out.segments[0]
	}
	seg := scan(true)
	if diff := cmp.Diff(want, seg.IFrames); diff != "" || seg.Gap {
		t.Error(diff)
	}
	if seg := scan(false); seg.IFrames != nil {
		t.Errorf("audio has I-frames: %+v", seg)
	}
	parts, err := ScanParts(io.MultiReader(bytes.NewReader(file)), seg) // one that can't seek
	if err != nil || len(parts) != 6 || parts[2].Offset+parts[2].Size != parts[3].Offset {
		t.Errorf("%+v %v", parts, err)
	}
}

func TestCMF21_PartWithEvents(t *testing.T) {
	part := testPart(SequenceNumber(3, 1), 0, 5, 2, true, []byte("payload!"))
	large := box("emsg", make([]byte, MaxEvents-7))
	for name, tc := range map[string]struct {
		data []byte
		good bool
	}{
		"one":               {append(testEvents("x"), part...), true},
		"three":             {append(testEvents("x", "", strings.Repeat("y", 70000)), part...), true},
		"as much as may be": {slices.Concat(box("emsg", make([]byte, MaxEvents-8)), part), true},
		"too much":          {slices.Concat(large, part), false},
		"events only":       {testEvents("x"), false},
		"behind the moof":   {slices.Concat(part, testEvents("x")), false},
		"cut short":         {slices.Concat(testEvents("x")[:20], part), false},
		"of no size":        {slices.Concat(words(0, boxEmsg, 0), part), false},
		"of 64 bits":        {slices.Concat(words(1, boxEmsg, 0, 32, 0, 0, 0, 0), part), false},
		"another box":       {slices.Concat(box("free", []byte("xxxx")), part), false},
	} {
		seq, err := checkPart(tc.data)
		if (err == nil) != tc.good || (tc.good && seq != SequenceNumber(3, 1)) {
			t.Errorf("%s: %d %v", name, seq, err)
		}
		fr, err := newCursor(bytes.NewReader(tc.data), int64(len(tc.data))).next()
		if good := err == nil && fr.size == int64(len(tc.data)); good != tc.good {
			t.Errorf("%s: scanned %+v %v", name, fr, err)
		}
	}
	events := append(testEvents("x"), part...)
	if n := testing.AllocsPerRun(100, func() { _, _ = checkPart(events) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	for n := range events { // any beginning of a part is a torn one
		if _, err := newCursor(bytes.NewReader(events[:n]), int64(n)).next(); err == nil || !strings.Contains(err.Error(), errTorn.Error()) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func TestCMF21_ResyncFindsTheEventsOfAPart(t *testing.T) {
	one := testPart(SequenceNumber(1, 0), 0, 5, 2, true, []byte("payload!"))
	two := append(testEvents("emsg\x01\x00\x00\x00", "y"), testPart(SequenceNumber(2, 0), 10, 5, 2, true, []byte("payload!"))...)
	file := slices.Concat(one, []byte("junk"), eventJunk(), two)
	s := scanner{take: 1, timescale: 90000, video: true, after: SequenceNumber(1, 0) - 1, below: 10, expect: -1}
	out, err := s.scan(bytes.NewReader(file), span{0, int64(len(file))})
	if err != nil || len(out.segments) != 2 || len(out.bad) != 1 {
		t.Fatalf("%+v %v", out, err)
	}
	if seg := out.segments[1]; seg.Offset != int64(len(file)-len(two)) || seg.Size != int64(len(two)) || seg.Gap {
		t.Errorf("%+v, the part begins at %d", seg, len(file)-len(two))
	}
}

// eventJunk looks like the begin of a part and is none.
func eventJunk() []byte { return append(words(9), eventMark...) }
