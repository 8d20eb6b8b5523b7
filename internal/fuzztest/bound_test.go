package fuzztest

import "testing"

// spy is a test that notes that it failed.
type spy struct {
	testing.TB
	failed bool
}

func (s *spy) Helper()               {}
func (s *spy) Fatalf(string, ...any) { s.failed = true }

var sink []byte

func TestBoundCountsWhatWasFreed(t *testing.T) {
	for size, want := range map[int]bool{1 << 10: false, 8 << 20: true} {
		s := &spy{TB: t}
		done := Bound(s, 2<<20)
		sink = make([]byte, size)
		sink = nil
		if done(); s.failed != want {
			t.Errorf("%d bytes: failed %t, want %t", size, s.failed, want)
		}
	}
}
