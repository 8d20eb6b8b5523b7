package cacheproxy

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// serves has the origin serve a text by ranges, under a tag.
func (w *reverseWorld) serves(text, etag string, lines ...string) {
	h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			return
		}
		rw.Header().Set("Cache-Control", "max-age=60")
		rw.Header().Set("Etag", etag)
		for _, line := range lines {
			name, value, _ := strings.Cut(line, ": ")
			rw.Header().Set(name, value)
		}
		http.ServeContent(rw, r, "a.mp4", time.Time{}, strings.NewReader(text))
	})
	w.origin.Store(&h)
}

// wantRange asks for a range and says what is wrong with the answer.
func (w *reverseWorld) wantRange(ranged, body, contentRange string, asked int32, lines ...string) {
	w.t.Helper()
	got := w.get("/a", append(lines, "Range: "+ranged)...)
	if got.status != http.StatusPartialContent || got.body != body || got.header.Get("Content-Range") != contentRange {
		w.t.Errorf("%s: got %+v", ranged, got)
	}
	w.wantAsked(asked)
}

func TestReverseCombinesStoredRanges(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, nil)
	w.serves("0123456789", `"v1"`)
	w.wantRange("bytes=0-3", "0123", "bytes 0-3/10", 1)
	w.wantRange("bytes=0-3", "0123", "bytes 0-3/10", 1)
	w.wantRange("bytes=1-2", "12", "bytes 1-2/10", 1)
	w.wantRange("bytes=3-5", "345", "bytes 3-5/10", 2)
	w.wantRange("bytes=2-4", "234", "bytes 2-4/10", 2)
	w.wantRange("bytes=-5", "56789", "bytes 5-9/10", 3)
	w.wantRange("bytes=1-8", "12345678", "bytes 1-8/10", 3, `If-Range: "v1"`)
	whole := w.get("/a")
	if whole.status != 200 || whole.body != "0123456789" || whole.header.Get("Content-Range") != "" {
		t.Errorf("the whole: %+v", whole)
	}
	if got := w.get("/a", "Range: bytes=0-1", `If-None-Match: "v1"`); got.status != 304 {
		t.Errorf("got %+v", got)
	}
	w.wantAsked(3)
	w.do("PUT x", "/a")
	w.wantRange("bytes=0-3", "0123", "bytes 0-3/10", 5)
}

func TestReverseDoesNotCombineVersions(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, nil)
	w.serves("0123456789", `"v1"`)
	w.wantRange("bytes=0-4", "01234", "bytes 0-4/10", 1)
	w.serves("abcdefghij", `"v2"`)
	w.wantRange("bytes=5-9", "fghij", "bytes 5-9/10", 2)
	w.wantRange("bytes=0-9", "abcdefghij", "bytes 0-9/10", 3)
	w.wantRange("bytes=0-4", "abcde", "bytes 0-4/10", 3)
}

func TestReverseDoesNotKeepRanges(t *testing.T) {
	for name, row := range map[string]struct {
		etag  string
		lines []string
	}{
		"weak tag":   {`W/"v1"`, nil},
		"no tag":     {"", nil},
		"no store":   {`"v1"`, []string{"Cache-Control: no-store"}},
		"validation": {`"v1"`, []string{"Cache-Control: no-cache"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newReverseWorld(t, ReverseConfig{}, nil)
			w.serves("0123456789", row.etag, row.lines...)
			w.wantRange("bytes=0-3", "0123", "bytes 0-3/10", 1)
			w.wantRange("bytes=0-3", "0123", "bytes 0-3/10", 2)
		})
	}
	w := newReverseWorld(t, ReverseConfig{}, nil)
	w.answers(206, "01234", "Cache-Control: max-age=60", `ETag: "v1"`, "Content-Range: bytes 4-9/10")
	for range 2 {
		if got := w.get("/a", "Range: bytes=-5"); got.body != "01234" || got.status != 206 {
			t.Errorf("six bytes that are five: %+v", got)
		}
	}
	w.wantAsked(2)
}

// An origin that knows no ranges answers with the whole, and that is kept.
func TestReverseCutsRangesFromTheWhole(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, nil)
	w.answers(200, "0123456789", "Cache-Control: max-age=60")
	w.wantRange("bytes=2-3", "23", "bytes 2-3/10", 1)
	w.wantRange("bytes=4-", "456789", "bytes 4-9/10", 1)
	if got := w.get("/a"); got.body != "0123456789" {
		t.Errorf("got %+v", got)
	}
	w.wantAsked(1)
}

func TestReverseAsksOnceForARange(t *testing.T) {
	begun, release := make(chan struct{}, 10), make(chan struct{})
	w := newReverseWorld(t, ReverseConfig{}, nil)
	w.serves("0123456789", `"v1"`)
	ranges := *w.origin.Load()
	slow := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-release
		ranges(rw, r)
	})
	w.origin.Store(&slow)
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			if got := w.get("/a", "Range: bytes=0-3"); got.body != "0123" {
				t.Errorf("got %+v", got)
			}
		})
	}
	<-begun
	eventually(t, "all wait for it", func() bool {
		waiters := 0
		for _, f := range w.cache.flights.all() {
			f.mu.Lock()
			waiters += f.mu.waiters
			f.mu.Unlock()
		}
		return waiters == 5
	})
	close(release)
	group.Wait()
	w.wantAsked(1)
}

func TestReverseForgetsOldRanges(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, nil)
	text := strings.Repeat("x", maxParts+10)
	w.serves(text, `"v1"`)
	for i := range maxParts + 10 {
		w.get("/a", "Range: bytes="+strconv.Itoa(i)+"-"+strconv.Itoa(i))
	}
	eventually(t, "the last one is kept too", func() bool { return len(w.cache.flights.all()) == 0 })
	list := w.cache.partsOf(place{key: mediaKey("/a")})
	if list == nil || len(list.all) != maxParts || list.all[maxParts-1].run.From != maxParts+9 {
		t.Errorf("kept %v", list)
	}
}
