package hls

import (
	"bytes"
	"compress/gzip"
	"io"
	"math"
	"sync"
	"testing"
	"time"
)

func TestHTTP6_HTTP21_BodyCompressesOnceAndTagsItsText(t *testing.T) {
	var c Compressor
	for range 3 { // the second and third use the pooled writer
		text := AppendMedia(nil, life(lowConstants(), videoTrack()).versions[150], Playlist{Kind: Whole}, SkipNone, nil)
		b := NewBody(text, &c)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { b.Gzip() })
		}
		wg.Wait()
		if first, second := b.Gzip(), b.Gzip(); &first[0][0] != &second[0][0] {
			t.Error("compressed twice")
		}
		r, err := gzip.NewReader(bytes.NewReader(bytes.Join(b.Gzip(), nil)))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := io.ReadAll(r); err != nil || !bytes.Equal(plain, text) {
			t.Errorf("unpacks to other text: %v", err)
		}
		if other := NewBody(append(bytes.Clone(text), '\n'), &c); other.ETag == b.ETag || b.ETag == b.GzipETag {
			t.Errorf("tags %s %s %s", b.ETag, b.GzipETag, other.ETag)
		}
	}
}

func TestCMF10_EXTINFNeverDrifts(t *testing.T) {
	// 29.97 fps at 90 kHz, in segments that are no whole microseconds long, and AAC at 44.1 kHz.
	for _, tt := range []struct{ ticks, timescale int64 }{{2002 * 90, 90000}, {60 * 3003, 90000}, {86 * 1024, 44100}} {
		var printed, ticks int64
		for range 43_200 {
			printed += micros(ticks+tt.ticks, tt.timescale) - micros(ticks, tt.timescale)
			ticks += tt.ticks
		}
		if exact := float64(ticks) / float64(tt.timescale) * 1e6; math.Abs(exact-float64(printed)) > 1 {
			t.Errorf("%v: off by %f us after a day", tt, exact-float64(printed))
		}
	}
}

func TestMicrosOfNegativeAndHugeTimes(t *testing.T) {
	for _, tt := range []struct{ ticks, want int64 }{{-45000, -500000}, {-1, -11}, {0, 0}, {1, 11}, {90000 * 1e9, 1e15}} {
		if got := micros(tt.ticks, 90000); got != tt.want {
			t.Errorf("%d: %d", tt.ticks, got)
		}
	}
}

func TestPRT16_PartDurationsAreRoundedUp(t *testing.T) {
	for _, tt := range []struct {
		ticks, timescale int64
		want             string
	}{{18000, 90000, "0.20001"}, {30000, 90000, "0.33335"}, {45000, 90000, "0.50001"}, {23 * 1024, 48000, "0.49068"}} {
		if got := string(appendDecimal(nil, partUnits(tt.ticks, tt.timescale), 1e5)); got != tt.want {
			t.Errorf("%d/%d: %s, want %s", tt.ticks, tt.timescale, got, tt.want)
		}
	}
}

func TestAppendSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		6 * time.Second: "6.0", 1800 * time.Millisecond: "1.8", 1500030 * time.Microsecond: "1.50003", 10 * time.Second: "10.0",
	} {
		if got := string(appendSeconds(nil, d)); got != want {
			t.Errorf("%s: %s", d, got)
		}
	}
}

func TestPDT5_DatesAreThoseOfPackageTime(t *testing.T) {
	zone := time.FixedZone("east", 5*3600+1800)
	for _, date := range []time.Time{
		time.Date(2026, 11, 20, 10, 38, 0, 823e6, time.UTC), time.Date(2028, 2, 29, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2031, 1, 1, 2, 3, 4, 5e6, zone), {},
	} {
		want := "#EXT-X-PROGRAM-DATE-TIME:" + date.UTC().Format("2006-01-02T15:04:05.000Z") + "\n"
		if got := string(appendDate(nil, date)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
