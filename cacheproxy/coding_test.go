package cacheproxy

import (
	"strings"
	"testing"
)

var codings = map[string]coding{
	"": codingPlain, "gzip": codingGzip, "GZIP": codingGzip, "x-gzip": codingGzip, "br, gzip": codingGzip,
	"gzip;q=0": codingPlain, "gzip; q=0.000": codingPlain, "gzip;q=0.": codingPlain, "gzip;q=0.001": codingGzip,
	"*": codingGzip, "*;q=0": codingPlain, "*, gzip;q=0": codingPlain, "identity": codingPlain, "gzipped": codingPlain,
	"gzip, deflate, br, zstd": codingEither, "zstd": codingZstd, "ZSTD": codingZstd, "zstd;q=0": codingPlain,
	"gzip;q=0.5, zstd": codingZstd, "gzip, zstd;q=0.999": codingGzip, "zstd;q=0.2;x=1, gzip;x=1;q=0.2": codingEither,
	"zstd, gzip;q=0": codingZstd, "zstd;q=0, gzip": codingGzip, "*, zstd": codingEither, "*;q=0.5, zstd": codingZstd,
	"identity, gzip;q=0.5": codingPlain, "identity;q=0.5, gzip;q=0.5": codingGzip, "identity, *;q=0": codingPlain,
	"zstd;q=0.30, gzip;q=0.03": codingZstd, "gzip;q=1.000": codingGzip, "gzip;q=nonsense": codingGzip,
	"gzip;Q=0": codingPlain, "gzip;q=0.0001": codingGzip, ",,;;=,": codingPlain, "zstd;": codingZstd,
}

func TestAcceptedCoding(t *testing.T) {
	for value, want := range codings {
		if got := acceptedCoding([]string{value}); got != want {
			t.Errorf("%q: %d and not %d", value, got, want)
		}
		if got := acceptedCoding(strings.Split(value, ",")); got != want { // lines of a field are a list
			t.Errorf("%q in lines: %d and not %d", value, got, want)
		}
	}
}

func FuzzAcceptedCoding(f *testing.F) {
	for value := range codings {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, low := acceptedCoding([]string{value}), strings.ToLower(value)
		if got != codingPlain && !strings.Contains(low, "gzip") && !strings.Contains(low, "zstd") &&
			!strings.Contains(low, "*") {
			t.Errorf("%q was taken for %d", value, got)
		}
		if got >= codingEither && !strings.Contains(low, "zstd") {
			t.Errorf("%q was taken for %d", value, got)
		}
		// What comes last and says it all decides.
		if got := acceptedCoding([]string{value, "gzip;q=0, zstd;q=0, *;q=0"}); got != codingPlain {
			t.Errorf("%q and then nothing: %d", value, got)
		}
	})
}

func BenchmarkAcceptedCoding(b *testing.B) {
	b.ReportAllocs()
	lines := []string{"gzip, deflate, br, zstd"}
	for b.Loop() {
		acceptedCoding(lines)
	}
}
