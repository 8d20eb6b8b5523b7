package reclog

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

// testSegment makes the bytes of a segment of some parts, and what ScanParts should say of it.
func testSegment(msn media.MSN, parts int, offset int64) ([]byte, media.Segment, []media.Part) {
	seg := media.Segment{MSN: msn, Take: 1, DTS: 1000, Offset: offset, Sync: true}
	var data []byte
	var want []media.Part
	for i := range parts {
		part := testPart(SequenceNumber(msn, i), seg.DTS+seg.Duration, 3000, 5, i%2 == 0, bytes.Repeat([]byte("moof!"), 2000))
		want = append(want, media.Part{
			Index: i, Duration: 15000, Offset: offset + int64(len(data)), Size: int64(len(part)), Independent: i%2 == 0,
		})
		data = append(data, part...)
		seg.Duration += 15000
	}
	seg.Size = int64(len(data))
	return data, seg, want
}

func TestScanPartsFindsThePartsOfASegment(t *testing.T) {
	data, seg, want := testSegment(7, 4, 100)
	for name, r := range map[string]io.Reader{
		"seeker":         bytes.NewReader(data),
		"stream":         bytes.NewBuffer(data),
		"byte by byte":   iotest.OneByteReader(bytes.NewBuffer(data)),
		"more behind it": strings.NewReader(string(data) + "behind"),
	} {
		got, err := ScanParts(r, seg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestScanPartsRefusesOtherBytes(t *testing.T) {
	data, seg, want := testSegment(7, 3, 0)
	second := int(want[1].Offset)
	other := bytes.Clone(data)
	copy(other[second+20:], words(SequenceNumber(8, 1)))
	repeated := bytes.Clone(data)
	copy(repeated[second+20:], words(SequenceNumber(7, 0)))
	for name, bad := range map[string][]byte{
		"zeros":           make([]byte, len(data)),
		"other segment":   other,
		"part twice":      repeated,
		"cut in the moof": append(bytes.Clone(data[:second+20]), data[second+40:]...),
		"mdat too large":  bytes.Replace(data, words(10008), words(10009), 1),
		"no mdat":         bytes.ReplaceAll(data, []byte("mdat"), []byte("free")),
	} {
		seg.Size = int64(len(bad))
		if _, err := ScanParts(bytes.NewReader(bad), seg); !errors.Is(err, media.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	seg.Size = int64(len(data))
	if _, err := ScanParts(bytes.NewReader(data[:second+300]), seg); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short reader: %v", err)
	}
}

func TestMoofOfOtherMuxers(t *testing.T) {
	mfhd := box("mfhd", words(0, 5))
	tfdt0 := box("tfdt", words(0, 77))
	for name, tc := range map[string]struct {
		payload []byte
		want    fragment
		bad     bool
	}{
		"defaults in tfhd": {payload: slices.Concat(mfhd, box("traf",
			box("tfhd", words(0x3b, 1, 0, 0, 1, 1024, 9, nonSync)), tfdt0, box("trun", words(0, 3)))),
			want: fragment{seq: 5, dts: 77, duration: 3072}},
		"no flags anywhere": {payload: slices.Concat(mfhd, box("traf",
			box("tfhd", words(0, 1)), tfdt0, box("trun", words(0x100, 2, 10, 20)))),
			want: fragment{seq: 5, dts: 77, duration: 30, sync: true}},
		"flags by sample, two runs": {payload: slices.Concat(mfhd, box("traf",
			box("tfhd", words(0, 1)), tfdt0,
			box("trun", words(0x500|0x800|0x200, 1, 10, 9, nonSync, 4)), box("trun", words(0x100, 1, 20)))),
			want: fragment{seq: 5, dts: 77, duration: 30}},
		"unknown boxes": {payload: slices.Concat(mfhd, box("free"), box("traf",
			box("tfhd", words(0, 1)), tfdt0, box("subs", words(1)), box("trun", words(0x100, 1, 10)))),
			want: fragment{seq: 5, dts: 77, duration: 10, sync: true}},
		"no traf":          {payload: mfhd, bad: true},
		"no mfhd":          {payload: box("traf", box("tfhd", words(0, 1)), tfdt0, box("trun", words(0x100, 1, 10))), bad: true},
		"no samples":       {payload: slices.Concat(mfhd, box("traf", box("tfhd", words(0, 1)), tfdt0, box("trun", words(0, 0)))), bad: true},
		"too many samples": {payload: slices.Concat(mfhd, box("traf", box("tfhd", words(8, 1, 1<<31)), tfdt0, box("trun", words(0, 1<<31)))), bad: true},
		"short trun":       {payload: slices.Concat(mfhd, box("traf", box("tfhd", words(0, 1)), tfdt0, box("trun", words(0x100, 2, 10)))), bad: true},
		"tfdt past limits": {payload: slices.Concat(mfhd, box("traf", box("tfhd", words(0, 1)),
			box("tfdt", words(1<<24, 1<<31, 0)), box("trun", words(0x100, 1, 10)))), bad: true},
		"two traf": {payload: slices.Concat(mfhd, box("traf", box("tfhd", words(0, 1)), tfdt0, box("trun", words(0x100, 1, 10))),
			box("traf", box("tfhd", words(0, 1)), tfdt0, box("trun", words(0x100, 1, 10)))), bad: true},
	} {
		got, err := parseMoof(tc.payload)
		if (err != nil) != tc.bad || (!tc.bad && got != tc.want) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

// FuzzScan rebuilds a track from any bytes: what comes out lies in the file, in order, and ends where it says.
func FuzzScan(f *testing.F) {
	var one, two []byte // small, so that the fuzzer gets on
	for i := range 3 {
		one = append(one, testPart(SequenceNumber(1, i), int64(i)*10, 5, 2, i == 0, []byte("payload"))...)
		two = append(two, testPart(SequenceNumber(2, i), 30+int64(i)*10, 5, 2, i == 0, []byte("moof!"))...)
	}
	f.Add(append(bytes.Clone(one), two...))
	f.Add(slices.Concat(one, []byte("junk "+partMark), two[10:], two))
	f.Add(slices.Concat(one, make([]byte, 100)))
	f.Add(one[:len(one)-1])
	f.Add(slices.Concat(testEvents("x", "y"), one, eventJunk(), testEvents("z"), two))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer fuzztest.Bound(t, 16<<20+128*len(data))()
		s := scanner{take: 1, timescale: 90000, video: true, after: SequenceNumber(1, 0) - 1, below: 1000, expect: -1}
		out, err := s.scan(bytes.NewReader(data), span{0, int64(len(data))})
		if err != nil {
			t.Fatal(err)
		}
		var last media.MSN
		var end int64
		for _, seg := range out.segments {
			if seg.MSN <= last || seg.MSN >= 1000 || seg.Offset < end || seg.Size <= 0 || seg.Duration < 0 {
				t.Fatalf("%+v after %d at %d", seg, last, end)
			}
			if err := checkIFrames(&seg); err != nil {
				t.Fatal(err)
			}
			last, end = seg.MSN, seg.Offset+seg.Size
			if seg.Gap {
				continue
			}
			if _, err := ScanParts(bytes.NewReader(data[seg.Offset:end]), seg); err != nil {
				t.Fatal(err)
			}
		}
		if out.end < end || out.end > int64(len(data)) {
			t.Fatalf("end %d of %d, last segment to %d", out.end, len(data), end)
		}
	})
}
