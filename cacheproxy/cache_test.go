package cacheproxy

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/httpcache"
	"github.com/oxbow-video/oxbow/internal/slab"
)

func testObject(what kind, size int, lifetime time.Duration, received time.Time) *object {
	o := &object{kind: what, status: http.StatusOK, received: received, policy: policy{lifetime: lifetime}}
	o.chunks = []slab.Piece{slab.Of(make([]byte, size))}
	o.setLength(int64(size))
	return o
}

// check recounts a cache from its lists.
func (c *cache) check(t interface{ Fatalf(string, ...any) }) {
	for _, s := range c.shards {
		listed := 0
		for _, q := range []*queue{&s.live, &s.small, &s.main} {
			var bytes int64
			var last *entry
			for e := q.tail; e != nil; e = e.next {
				if e.queue != q || s.items[e.key] != e || e.prev != last {
					t.Fatalf("entry %v is not where it says", e.key)
				}
				bytes += e.size
				if e.size < int64(cap(e.object.chunks[0].Data)) {
					t.Fatalf("entry %v counts %d bytes for %d", e.key, e.size, cap(e.object.chunks[0].Data))
				}
				listed++
				last = e
			}
			if q.head != last || q.bytes != bytes {
				t.Fatalf("a queue of %d bytes says %d", bytes, q.bytes)
			}
		}
		if listed != len(s.items) {
			t.Fatalf("%d listed, %d in the map", listed, len(s.items))
		}
		if b := s.bytesLocked(); b > s.max {
			t.Fatalf("%d bytes of at most %d", b, s.max)
		}
		if limit := 2 * max(1024, len(s.items)); len(s.ghost) > limit+1 {
			t.Fatalf("%d ghosts", len(s.ghost))
		}
	}
}

func TestTheByteBoundHoldsUnderRandomLoad(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := int64(rapid.IntRange(20_000, 400_000).Draw(t, "limit"))
		c := newCache(limit, 30*time.Second)
		now := time.Unix(1e9, 0)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			k := mediaKey(fmt.Sprint(rapid.IntRange(0, 60).Draw(t, "key")))
			switch rapid.IntRange(0, 5).Draw(t, "act") {
			case 0, 1, 2:
				what := rapid.SampledFrom([]kind{kindSegment, kindPart, kindPlaylist, kindInit}).Draw(t, "kind")
				size := rapid.IntRange(0, int(limit)/4).Draw(t, "size")
				lifetime := time.Duration(rapid.IntRange(1, 100).Draw(t, "lifetime")) * time.Second
				o := testObject(what, size, lifetime, now)
				c.put(k, o, now)
				if got := c.get(k); got != nil && got != o {
					t.Fatalf("an older object stays under its key")
				}
			case 3, 4:
				c.get(k)
			case 5:
				now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
			}
			c.check(t)
		}
	})
}

func TestSegmentsInDemandSurviveAFloodOfOthers(t *testing.T) {
	c := newCache(10<<20, 30*time.Second)
	now := time.Unix(1e9, 0)
	for i := range 50 {
		c.put(mediaKey(fmt.Sprint("hot", i)), testObject(kindSegment, 60_000, time.Hour, now), now)
		c.get(mediaKey(fmt.Sprint("hot", i)))
	}
	for i := range 2000 {
		c.put(mediaKey(fmt.Sprint("cold", i)), testObject(kindSegment, 60_000, time.Hour, now), now)
		if i%20 == 0 {
			for j := range 50 {
				c.get(mediaKey(fmt.Sprint("hot", j)))
			}
		}
	}
	kept := 0
	for i := range 50 {
		if c.get(mediaKey(fmt.Sprint("hot", i))) != nil {
			kept++
		}
	}
	if kept < 50 {
		t.Errorf("%d of 50 survived", kept)
	}
}

func TestLivePartsDisplaceNothingThatLastsAndLeaveInTime(t *testing.T) {
	c := newCache(10<<20, 30*time.Second)
	now := time.Unix(1e9, 0)
	for i := range 100 {
		k := mediaKey(fmt.Sprint("vod", i))
		c.put(k, testObject(kindSegment, 60_000, time.Hour, now), now)
		c.get(k)
	}
	for i := range 5000 {
		now = now.Add(10 * time.Millisecond)
		k := mediaKey(fmt.Sprint("part", i))
		c.put(k, testObject(kindPart, 60_000, time.Hour, now), now)
		for range 5 {
			if c.get(k) == nil {
				t.Fatal("a new part is not there")
			}
		}
	}
	for i := range 100 {
		if c.get(mediaKey(fmt.Sprint("vod", i))) == nil {
			t.Fatalf("parts have displaced segment %d", i)
		}
	}
	now = now.Add(30 * time.Second)
	c.put(mediaKey("last"), testObject(kindPart, 10, time.Hour, now), now)
	if n := len(c.shards[0].items); n != 101 {
		t.Errorf("%d objects, want the 100 segments and the last part", n)
	}
}

func TestCacheShards(t *testing.T) {
	for bytes, want := range map[int64]int{1 << 20: 1, 100 << 20: 1, 128 << 20: 2, 1 << 30: 16, 1 << 40: 16} {
		if n := len(newCache(bytes, time.Second).shards); n != want {
			t.Errorf("%d bytes: %d shards, want %d", bytes, n, want)
		}
	}
}

func TestRotatingForgetsWhatIsNotUsed(t *testing.T) {
	now := time.Unix(1e9, 0)
	m := newRotating[int, int](100, time.Minute)
	for i := range 10_000 {
		m.put(i, i, now)
		if _, ok := m.get(0, now); !ok {
			t.Fatalf("what is used is forgotten after %d others", i)
		}
		if m.len() > 200 {
			t.Fatalf("%d entries", m.len())
		}
	}
	m.put(1, 1, now.Add(time.Minute))
	m.put(2, 2, now.Add(2*time.Minute))
	if _, ok := m.get(0, now); ok {
		t.Error("what was not used for two periods is still there")
	}
}

func TestVersionsAreOrdered(t *testing.T) {
	s := newShow(3, 0)
	var last version
	for range 30 {
		for _, skipped := range []bool{true, false} {
			v := parseVersion([]byte(s.text(skipped)))
			if v != (version{known: true, msn: int64(s.msn), parts: int64(s.parts)}) {
				t.Fatalf("%+v of %d.%d", v, s.msn, s.parts)
			}
		}
		v := parseVersion([]byte(s.text(false)))
		if v.before(last) || (last.known && !last.before(v)) || v.before(v) {
			t.Fatalf("%+v after %+v", v, last)
		}
		last = v
		s.advance()
	}
	s.ended = true
	end := parseVersion([]byte(s.text(false)))
	if !end.ended || !last.before(end) || end.before(last) || end.before(end) {
		t.Errorf("%+v after %+v", end, last)
	}
	for _, bad := range []string{
		"", "<html>", "#EXTM3U\n", "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:x\n", "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:99999999999999999999\n",
		"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-SKIP:SKIPPED=4\n",
	} {
		if v := parseVersion([]byte(bad)); v.known {
			t.Errorf("%q has version %+v", bad, v)
		}
	}
}

func TestBLK6_VersionsCoverWhatTheyAnswer(t *testing.T) {
	at := func(msn, parts int64) version { return version{known: true, msn: msn, parts: parts} }
	tests := []struct {
		v    version
		d    hls.Directives
		want bool
	}{
		{at(8, 0), hls.Directives{Blocking: true, MSN: 8, Part: noPart}, true},
		{at(7, 3), hls.Directives{Blocking: true, MSN: 8, Part: noPart}, false}, // BLK-1
		{at(7, 3), hls.Directives{Blocking: true, MSN: 8, Part: 2}, true},       // BLK-2
		{at(7, 2), hls.Directives{Blocking: true, MSN: 8, Part: 2}, false},
		{at(8, 0), hls.Directives{Blocking: true, MSN: 8, Part: 99}, true}, // BLK-6: origin waits for one more, but 8 is whole
		{at(9, 1), hls.Directives{Blocking: true, MSN: 3, Part: 0}, true},  // BLK-7
		{version{}, hls.Directives{Blocking: true, MSN: 3, Part: 0}, true},
		{version{known: true, ended: true, msn: 1}, hls.Directives{Blocking: true, MSN: 3, Part: 0}, true}, // BLK-9
	}
	for _, tt := range tests {
		if got := tt.v.covers(tt.d); got != tt.want {
			t.Errorf("%+v covers %+v: %t", tt.v, tt.d, got)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add([]byte(newShow(9, 2).text(false)))
	f.Add([]byte(newShow(9, 2).text(true)))
	f.Fuzz(func(_ *testing.T, text []byte) { parseVersion(text) })
}

func FuzzPolicy(f *testing.F) {
	f.Add("max-age=5, s-maxage=\"3\", stale-if-error=4,,=", "3, 1", "0")
	f.Fuzz(func(t *testing.T, cacheControl, age, expires string) {
		h := http.Header{"Cache-Control": {cacheControl}, "Age": {age}, "Expires": {expires}}
		p, _ := judge(http.StatusOK, h, time.Unix(1e9, 0))
		for _, d := range []time.Duration{p.lifetime, p.whileRevalidate, p.ifError} {
			if d < 0 || d > httpcache.MaxAge {
				t.Errorf("%+v", p)
			}
		}
	})
}

// BenchmarkCacheMixed is the cache alone under a skewed load from all cores.
func BenchmarkCacheMixed(b *testing.B) {
	c := newCache(64<<20, 30*time.Second)
	now := time.Unix(1e9, 0)
	keys := make([]key, 4096)
	for i := range keys {
		keys[i] = mediaKey(strings.Repeat("x", 60) + fmt.Sprint(i))
		c.put(keys[i], testObject(kindSegment, 10_000, time.Hour, now), now)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.get(keys[min(rand.IntN(len(keys)), rand.IntN(len(keys)))])
		}
	})
}
