package registry

import (
	"errors"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

// FuzzLease: an entry of Redis that is believed is about the stream that it was found at, and all others are corrupt.
func FuzzLease(f *testing.F) {
	for _, entry := range []string{
		`1 7 o n t {"node":"n","cluster":"a","epoch":3}`, `1 7 o n t {}`, `1 -7 o n t {}`, `1 18446744073709551616 o n t {}`,
		`1 7 o n t`, ``, `1 7 o n t {"node":5}`, `     {}`, `1 7` + strings.Repeat("f", 4000) + ` o n t {}`,
	} {
		f.Add(entry)
	}
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	f.Fuzz(func(t *testing.T, entry string) {
		defer fuzztest.Bound(t, 1<<20+64*len(entry))()
		lease, err := decodeLease(path, entry)
		switch {
		case err != nil && !errors.Is(err, media.ErrCorrupt):
			t.Errorf("%q: %v", entry, err)
		case err != nil && len(err.Error()) > 2000:
			t.Errorf("an error of %d bytes", len(err.Error()))
		case err == nil && (lease.Path != path || len(entry) > maxEntry+1000 && len(entry) > 2*maxEntry):
			t.Errorf("%q: %+v", entry, lease)
		}
	})
}
