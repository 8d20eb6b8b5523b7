package reclog

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

// FuzzFragments: the parts of a segment lie in it, one behind the other, and both ways to look for them find the same;
// lengths that it claims make no memory.
func FuzzFragments(f *testing.F) {
	var whole []byte
	for i := range 3 {
		whole = append(whole, testPart(SequenceNumber(1, i), int64(i)*10, 5, 2, i == 0, []byte("payload"))...)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(slices.Concat(testEvents("x", "y"), whole))
	f.Add(append(box("moof", words(1<<31)), whole...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > 1<<20 {
			return
		}
		defer fuzztest.Bound(t, 8<<20+64*len(data))()
		seg := media.Segment{MSN: 1, Size: int64(len(data))}
		parts, err := ScanParts(bytes.NewReader(data), seg)
		if err != nil && !errors.Is(err, media.ErrCorrupt) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
		end, count := int64(0), 0
		other := ScanFragments(bytes.NewReader(data), &seg, func(part Fragment) error {
			if part.At < end || part.End > seg.Size || part.At+int64(len(part.Moof)) > part.End ||
				!bytes.Equal(part.Moof, data[part.At:part.At+int64(len(part.Moof))]) {
				t.Fatalf("part %d is at %d to %d of %d, behind %d", part.Index, part.At, part.End, seg.Size, end)
			}
			if err == nil && (count >= len(parts) || parts[count].Index != part.Index) {
				t.Fatalf("part %d is not among %v", part.Index, parts)
			}
			end, count = part.End, count+1
			return nil
		})
		if err == nil && (other != nil || count != len(parts)) {
			t.Errorf("%d parts, and %d the other way: %v", len(parts), count, other)
		}
	})
}
