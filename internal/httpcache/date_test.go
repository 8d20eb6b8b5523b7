package httpcache

import (
	"net/http"
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	want := time.Date(2050, 8, 18, 2, 1, 18, 0, time.UTC)
	for s, ok := range map[string]bool{
		"Thu, 18 Aug 2050 02:01:18 GMT":      true,
		"THU, 18 AUG 2050 02:01:18 gmt":      true,
		"Thursday, 18-Aug-50 02:01:18 GMT":   true,
		"Thu Aug 18 02:01:18 2050":           true,
		"":                                   false,
		"0":                                  false,
		"Thu, 18 Aug 2050 02:01:18 UTC":      false,
		"Thu, 18 Aug 2050 02:01:18 AEST":     false,
		"Thu, 18 Aug 2050 02:01:18 +0000":    false,
		"Thu, 18 Aug 2050 02:01:18":          false,
		"Thu, 18 Aug 50 02:01:18 GMT":        false,
		"Thu 18 Aug 2050 02:01:18 GMT":       false,
		"Thu, 18  Aug  2050 02:01:18 GMT":    false,
		"Thu, 18-Aug-2050 02:01:18 GMT":      false,
		"Thu, 18 Aug 2050 02.01.18 GMT":      false,
		"Thu, 18 Aug 2050 2:01:18 GMT":       false,
		"Thu, 18 Aug 2050 24:01:18 GMT":      false,
		"Thu, 31 Feb 2050 02:01:18 GMT":      false,
		"Thu, 00 Aug 2050 02:01:18 GMT":      false,
		"Foo, 18 Aug 2050 02:01:18 GMT":      false,
		"Thu, 18 Aug 2050 02:01:18 GMT ":     false,
		"Thu, 1x Aug 2050 02:01:18 GMT":      false,
		"Thursday, 18-Aug-2050 02:01:18 GMT": false,
	} {
		got, parsed := ParseDate(s, received)
		if parsed != ok || ok && !got.Equal(want) {
			t.Errorf("%q: got %s, %t", s, got, parsed)
		}
	}
	if got, ok := ParseDate("Thu Aug  8 02:01:18 2050", received); !ok || got.Day() != 8 {
		t.Errorf("asctime with one digit: got %s, %t", got, ok)
	}
	if got, ok := ParseDate("Sunday, 06-Nov-94 08:49:37 GMT", received); !ok || got.Year() != 1994 {
		t.Errorf("two digits more than 50 years on: got %s, %t", got, ok)
	}
}

// FuzzParseDate holds that what is taken is what the standard library takes for the same time, in one of its forms.
func FuzzParseDate(f *testing.F) {
	for _, s := range []string{
		"Thu, 18 Aug 2050 02:01:18 GMT", "Thursday, 18-Aug-50 02:01:18 GMT", "Thu Aug  8 02:01:18 2050", "0",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := ParseDate(s, received)
		if !ok {
			return
		}
		again, ok := ParseDate(got.Format(http.TimeFormat), received)
		if got.Year() > 0 && (!ok || !again.Equal(got)) {
			t.Fatalf("%q is %s, and that is %s", s, got, again)
		}
	})
}
