package reclog

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

func segment(msn media.MSN, offset, size int64) media.Segment {
	return media.Segment{
		MSN: msn, Take: 1, DTS: int64(msn) * 180000, Duration: 180000, Offset: offset, Size: size,
		Date: time.Date(2026, 11, 20, 10, 38, int(msn%60), 823e6, time.UTC), Sync: true,
	}
}

// indexOf writes an index of segments of 100 bytes each.
func indexOf(segments ...media.Segment) []byte {
	var text []byte
	for i := range segments {
		text = appendLine(text, &segments[i])
	}
	return text
}

func TestIndexLineRoundTrip(t *testing.T) {
	plain := segment(12, 8123456, 751234)
	gap := segment(1, 700, 0)
	gap.Sync, gap.Gap, gap.Filler = false, true, true
	for _, tc := range []struct {
		seg  media.Segment
		line string
	}{
		{plain, `{"msn":12,"dts":2160000,"duration":180000,"offset":8123456,"size":751234,` +
			`"date":"2026-11-20T10:38:12.823Z","sync":true}`},
		{gap, `{"msn":1,"dts":180000,"duration":180000,"offset":700,"size":0,` +
			`"date":"2026-11-20T10:38:01.823Z","gap":true,"filler":true}`},
	} {
		got := appendLine(nil, &tc.seg)
		if string(got) != tc.line+"\n" {
			t.Errorf("got %s want %s", got, tc.line)
		}
		back := media.Segment{}
		if err := parseLine([]byte(tc.line), &back); err != nil {
			t.Fatal(err)
		}
		back.Take = 1
		if diff := cmp.Diff(tc.seg, back); diff != "" {
			t.Error(diff)
		}
		if !parseOwnLine([]byte(tc.line), &back) {
			t.Error("the fast parser does not know its own line")
		}
	}
}

// foreignLines are lines that we do not write but understand.
func foreignLines() []string {
	return []string{
		`{ "msn": 3, "size": 5, "date": "2026-11-20T11:38:12.823999+01:00", "new": [1] }`,
		`{"size":0,"gap":true,"msn":3}`,
		`{"msn":3,"dts":-7,"duration":0,"offset":0,"size":1,"date":"2026-11-20T10:38:12Z","sync":false}`,
	}
}

// badLines are no index lines.
func badLines() []string {
	return []string{
		``, `{}`, `null`, `[]`, `{"msn":1`, `{"msn":"1","size":1}`, `{"msn":0,"size":1}`, `{"msn":-1,"size":1}`,
		`{"msn":1,"size":0}`, `{"msn":1,"size":-1}`, `{"msn":33554432,"size":1}`, `{"msn":1.5,"size":1}`,
		`{"msn":1,"size":9223372036854775807}`, `{"msn":1,"size":1,"offset":-1}`, `{"msn":1,"size":1,"dts":9223372036854775807}`,
		`{"msn":1,"size":1,"duration":-1}`, `{"msn":1,"size":1,"date":"yesterday"}`, "\x00\x00\x00",
		`{"msn":1,"dts":1,"duration":1,"offset":1,"size":1,"date":"2026-02-30T10:38:12.823Z"}`,
		`{"msn":1,"size":1,"x":"` + strings.Repeat("x", MaxLine) + `"}`,
	}
}

func TestIndexLineOfOthers(t *testing.T) {
	for _, line := range foreignLines() {
		var seg media.Segment
		if err := parseLine([]byte(line), &seg); err != nil || seg.MSN != 3 {
			t.Errorf("%s: %+v %v", line, seg, err)
		}
	}
	for _, line := range badLines() {
		var seg media.Segment
		if err := parseLine([]byte(line), &seg); err == nil {
			t.Errorf("%.60s is taken for %+v", line, seg)
		}
	}
}

func testBounds() indexBounds {
	return indexBounds{take: 1, first: 1, below: MaxMSN + 1, initSize: 50, size: -1, file: "1/video.idx"}
}

func TestParseIndexTellsTornTailFromDamage(t *testing.T) {
	one, two, three := segment(1, 50, 100), segment(2, 150, 100), segment(3, 250, 100)
	whole := indexOf(one, two, three)
	second := len(indexOf(one))
	third := len(indexOf(one, two))
	bounded, fenced := testBounds(), testBounds()
	bounded.size, fenced.below = 250, 3
	for _, tc := range []struct {
		name   string
		text   []byte
		bounds indexBounds
		want   []media.MSN
		lost   []media.MSN
		end    int
		bad    int
	}{
		{"whole", whole, testBounds(), []media.MSN{1, 2, 3}, nil, len(whole), 0},
		{"nothing", nil, testBounds(), nil, nil, 0, 0},
		{"no newline", whole[:len(whole)-1], testBounds(), []media.MSN{1, 2}, nil, third, 0},
		{"zeros behind", append(bytes.Clone(whole), 0, 0, '\n', 0), testBounds(), []media.MSN{1, 2, 3}, nil, len(whole), 0},
		{"last line broken", append(bytes.Clone(whole[:third]), "{\"msn\"\n"...), testBounds(),
			[]media.MSN{1, 2}, nil, third, 0},
		{"middle broken", append(append(bytes.Clone(whole[:second]), "junk\n"...), whole[third:]...), testBounds(),
			[]media.MSN{1, 3}, nil, second + 5 + len(whole) - third, 1},
		{"out of order", indexOf(one, three, two), testBounds(), []media.MSN{1, 3}, nil, len(indexOf(one, three)), 0},
		{"twice", indexOf(one, one, two), testBounds(), []media.MSN{1, 2}, nil, len(indexOf(one, one, two)), 1},
		{"bytes overlap", indexOf(one, segment(2, 149, 100), segment(3, 150, 100)), testBounds(),
			[]media.MSN{1, 3}, nil, len(whole), 1},
		{"in the init", indexOf(segment(1, 49, 100)), testBounds(), nil, nil, 0, 0},
		{"hole too wide", indexOf(one, segment(maxFill+2, 150, 100)), testBounds(), []media.MSN{1}, nil, second, 0},
		{"behind the end of the file", whole, bounded, []media.MSN{1, 2}, []media.MSN{3}, len(whole), 0},
		{"of the next take", whole, fenced, []media.MSN{1, 2}, nil, third, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := parseIndex(tc.text, tc.bounds)
			if diff := cmp.Diff(tc.want, msns(got.lines)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.lost, msns(got.lost)); diff != "" {
				t.Error(diff)
			}
			if got.end != int64(tc.end) || len(got.bad) != tc.bad {
				t.Errorf("end %d bad %v, want %d and %d", got.end, got.bad, tc.end, tc.bad)
			}
		})
	}
}

func msns(segments []media.Segment) []media.MSN {
	var all []media.MSN
	for _, seg := range segments {
		all = append(all, seg.MSN)
	}
	return all
}

func TestMissingLinesBecomeGapsTimedByNeighbours(t *testing.T) {
	take := testTake(1, 1)
	video := []media.Segment{segment(1, 50, 100), segment(4, 150, 100)}
	video[0].DTS, video[1].DTS = 0, 3*180000
	audio := []media.Segment{segment(1, 50, 10)}
	audio[0].DTS, audio[0].Duration = 0, 96000
	tracks := [][]media.Segment{video, audio}
	if err := complete(&take, tracks, 5, testManifest().Constants, nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, track := range tracks {
		for _, seg := range track {
			got = append(got, fmt.Sprint(i, seg.MSN, seg.DTS, seg.Duration, seg.Offset, seg.Size, seg.Gap))
		}
	}
	want := []string{
		"0 1 0 180000 50 100 false", "0 2 180000 180000 150 0 true", "0 3 360000 180000 150 0 true",
		"0 4 540000 180000 150 100 false", "0 5 720000 180000 250 0 true",
		"1 1 0 96000 50 10 false", "1 2 96000 96000 60 0 true", "1 3 192000 96000 60 0 true",
		"1 4 288000 96000 60 0 true", "1 5 384000 96000 60 0 true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if want := take.Anchor.Add(8 * time.Second).Truncate(time.Millisecond); !tracks[0][4].Date.Equal(want) {
		t.Errorf("date %v, want %v", tracks[0][4].Date, want)
	}
	if err := complete(&take, [][]media.Segment{video, nil}, maxFill+1, testManifest().Constants, nil); err == nil {
		t.Error("made up more gaps than allowed")
	}
}

func FuzzIndexLine(f *testing.F) {
	seg := segment(12, 8123456, 751234)
	f.Add(appendLine(nil, &seg))
	for _, line := range append(foreignLines(), badLines()...) {
		f.Add([]byte(line))
	}
	for _, field := range append(badIFrames(), `[[0,0,10],[9,10,10]]`, `[]`) {
		f.Add(lineWith(field))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var seg, again media.Segment
		own := parseOwnLine(line, &again)
		if err := parseLine(line, &seg); err != nil {
			return
		}
		if own && !cmp.Equal(seg, again) {
			t.Fatalf("%+v is %+v", seg, again)
		}
		text := appendLine(nil, &seg)
		if err := parseLine(text[:len(text)-1], &again); err != nil || !cmp.Equal(seg, again) {
			t.Fatalf("%s: %v", text, err)
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add(indexOf(segment(1, 50, 100), segment(2, 150, 100), segment(5, 250, 100)), int64(-1))
	f.Add([]byte(strings.Join(append(foreignLines(), badLines()...), "\n")), int64(200))
	f.Add(indexOf(segment(80000, 50, 100)), int64(-1))
	f.Fuzz(func(t *testing.T, text []byte, size int64) {
		bounds := testBounds()
		bounds.size = size
		within := fuzztest.Bound(t, 4<<20+512*len(text))
		got := parseIndex(text, bounds)
		within()
		if got.end > int64(len(text)) || len(got.bad) > maxDamage {
			t.Fatalf("end %d of %d, %d bad", got.end, len(text), len(got.bad))
		}
		last, end := media.MSN(0), bounds.initSize
		for _, seg := range got.lines {
			if seg.MSN <= last || seg.Offset < end || (size >= 0 && seg.Size > 0 && seg.Offset+seg.Size > size) {
				t.Fatalf("%+v after %d at %d", seg, last, end)
			}
			last, end = seg.MSN, seg.Offset+seg.Size
		}
		take := testTake(1, 1)
		tracks := [][]media.Segment{got.lines, nil}
		// One line far ahead has gaps made for all that is missing before it, up to a limit.
		const gap = int(unsafe.Sizeof(media.Segment{}))
		defer fuzztest.Bound(t, 4<<20+len(tracks)*(maxFill+len(got.lines))*gap)()
		if complete(&take, tracks, lastMSN(&take, tracks), testManifest().Constants, nil) != nil {
			return
		}
		if len(tracks[0]) != len(tracks[1]) || len(tracks[0]) != int(last) {
			t.Fatalf("%d and %d segments up to %d", len(tracks[0]), len(tracks[1]), last)
		}
	})
}
