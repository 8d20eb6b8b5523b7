package operator

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// FuzzArguments: what is taken for a stream leads to its place in the API and to no other, and a time is told in a form
// that the API reads.
func FuzzArguments(f *testing.F) {
	for _, text := range []string{
		"acme/show", "acme", "../x", "acme/show/../..", "acme/%2e%2e", "2h", "-2h", "2026-11-20 10:38", "2026-11-20T10:38:00Z", "2026-11-20",
		"9999999h", "0000-01-01", "2026-11-20T10:38:00+99:99", "a/b?c#d",
	} {
		f.Add(text)
	}
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		var s streamName
		if s.UnmarshalText([]byte(text)) == nil {
			u, err := url.Parse(s.path("/source"))
			if err != nil || u.Path != "/v1/publishers/"+s.Publisher+"/streams/"+s.Stream+"/source" || strings.Contains(u.Path, "..") ||
				s.String() != text {
				t.Errorf("%q leads to %v: %v", text, u, err)
			}
		}
		var scope scopeName
		if scope.UnmarshalText([]byte(text)) == nil && media.CheckPublisherName(scope.Publisher) != nil {
			t.Errorf("%q is %+v", text, scope)
		}
		for _, direction := range []time.Duration{-1, 1} {
			at, err := parseMoment(text, now, direction)
			if err != nil || at.IsZero() || at.Year() > 9999 || at.Year() < 0 {
				continue
			}
			if again, err := time.Parse(time.RFC3339Nano, rfc3339(at)); err != nil || !again.Equal(at) {
				t.Errorf("%q is %s, told as %q: %v", text, at, rfc3339(at), err)
			}
		}
	})
}
