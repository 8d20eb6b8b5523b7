package main

import (
	"slices"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// An id tells nothing of the next: those of one millisecond have no more in common than any.
func TestLIF7_RecordingIDsCanNotBeGuessed(t *testing.T) {
	var ids []media.RecordingID
	var before ulid.ULID
	var stamps []uint64
	together := 0
	for range 2000 {
		id := newRecordingID()
		if _, err := media.ParseRecordingID(string(id)); err != nil {
			t.Fatal(err)
		}
		parsed, err := ulid.Parse(string(id))
		if err != nil {
			t.Fatal(err)
		}
		if parsed.Time() == before.Time() {
			together++
			if slices.Equal(parsed.Entropy()[:4], before.Entropy()[:4]) {
				t.Fatalf("%s follows %s", id, before)
			}
		}
		before = parsed
		ids, stamps = append(ids, id), append(stamps, parsed.Time())
	}
	if together == 0 {
		t.Error("no two ids of one millisecond: nothing was tested")
	}
	slices.Sort(ids)
	if !slices.IsSorted(stamps) || len(slices.Compact(ids)) != len(stamps) {
		t.Error("ids do not sort by time, or two are the same")
	}
}
