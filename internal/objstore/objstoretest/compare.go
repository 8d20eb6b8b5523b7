package objstoretest

import (
	"bytes"
	"slices"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// MustTell fails unless the store can tell an object from others: it is put to the same bytes, to other ones, and to
// more of them.
func MustTell(tb testing.TB, s Store, key string, b []byte) {
	tb.Helper()
	object, err := s.Stat(tb.Context(), key)
	if err != nil {
		tb.Fatal(err)
	}
	other := bytes.Clone(b)
	other[len(b)/2]++
	for _, c := range []struct {
		bytes []byte
		want  bool
	}{{b, true}, {other, false}, {append(bytes.Clone(b), "tail"...), true}} {
		if same, err := s.Same(tb.Context(), object, bytes.NewReader(c.bytes)); same != c.want || err != nil {
			tb.Errorf("%s is the same: %v, %v, want %v", key, same, err, c.want)
		}
	}
}

func compare(t *testing.T, s Store) {
	for key, size := range map[string]int{"a/one": 1, "a/small": 1000, "a/large": Large} {
		b := Bytes(1, size)
		MustPut(t, s, key, b, media.PutOptions{})
		MustTell(t, s, key, b)
	}
}

func putTellsProgress(t *testing.T, s Store) {
	for _, size := range []int{0, 1000, Large} {
		var told []int64
		MustPut(t, s, "a/b", Bytes(1, size), media.PutOptions{Progress: func(done int64) { told = append(told, done) }})
		if len(told) == 0 || told[len(told)-1] != int64(size) || !slices.IsSorted(told) {
			t.Errorf("put of %d bytes told %v", size, told)
		}
	}
}
