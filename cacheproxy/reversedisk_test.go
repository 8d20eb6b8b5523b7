package cacheproxy

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/diskcache"
	"github.com/oxbow-video/oxbow/internal/httpcache"
)

// reverseDisk is a Reverse with a directory, which is started again and again in front of one origin.
type reverseDisk struct {
	*reverseWorld // the origin's
	dir           string
	config        ReverseConfig
}

func newReverseDisk(t *testing.T) *reverseDisk {
	return &reverseDisk{reverseWorld: newReverseWorld(t, ReverseConfig{}, nil), dir: t.TempDir() + "/cache"}
}

func (d *reverseDisk) base() string { return d.reverseWorld.cache.origins[0].base }

// run does something with a cache that begins and ends.
func (d *reverseDisk) run(do func(w *reverseWorld)) {
	d.t.Helper()
	d.runBefore(d.base(), do)
}

func (d *reverseDisk) runBefore(origin string, do func(w *reverseWorld)) {
	d.t.Helper()
	store, err := diskcache.Open(diskcache.Config{Dir: d.dir, Bytes: 32 << 20}, slog.New(slog.DiscardHandler),
		prometheus.NewPedanticRegistry())
	if err != nil {
		d.t.Fatal(err)
	}
	config := d.config
	config.Upstreams, config.Disk = []string{origin}, store
	do(newReverseWorld(d.t, config, nil))
	if err := store.Close(); err != nil { // writes what is queued
		d.t.Error(err)
	}
}

// twice has an answer written.
func (d *reverseDisk) twice(path string, lines ...string) {
	d.t.Helper()
	d.run(func(w *reverseWorld) {
		w.get(path, lines...)
		w.get(path, lines...)
	})
}

const longBody = "0123456789 and so on"

func TestReverseServesExactlyWhatTheDiskHasAfterARestart(t *testing.T) {
	d := newReverseDisk(t)
	d.answers(200, longBody, "Cache-Control: max-age=3600", "Etag: \"a\"", "X-Odd: caf\xe9", "Age: 100",
		"X-Two: 1", "X-Two: 2", "Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT")
	var first reverseAnswer
	d.run(func(w *reverseWorld) {
		w.get("/once")
		w.get("/a")
		first = w.get("/a")
	})
	d.run(func(w *reverseWorld) {
		before := d.asked.Load()
		got := w.get("/a", "Range: bytes=3-5")
		if got.status != 206 || got.body != longBody[3:6] || !strings.Contains(got.header.Get("Cache-Status"), "hit") {
			t.Errorf("%v", got)
		}
		w.cache.cache.remove(mediaKey("/a"))
		if got = w.do("HEAD", "/a"); got.status != 200 || got.header.Get("Content-Length") != strconv.Itoa(len(longBody)) {
			t.Errorf("%v", got)
		}
		w.cache.cache.remove(mediaKey("/a"))
		got = w.get("/a")
		if s := got.header.Get("Cache-Status"); !strings.HasPrefix(s, "oxbow; hit; ttl=3") || !strings.HasSuffix(s, "detail=disk") {
			t.Errorf("%q", s)
		}
		if age, err := strconv.Atoi(got.header.Get("Age")); err != nil || age < 100 || age > 130 {
			t.Errorf("age %d %v", age, err)
		}
		for _, h := range []http.Header{first.header, got.header} {
			h.Del("Age")
			h.Del("Cache-Status")
		}
		if got.body != first.body || fmt.Sprint(got.header) != fmt.Sprint(first.header) {
			t.Errorf("%v\nwas %v", got, first)
		}
		if got := w.get("/a", "If-None-Match: \"a\""); got.status != 304 {
			t.Errorf("%v", got)
		}
		if n := d.asked.Load() - before; n != 0 {
			t.Errorf("the origin was asked %d times", n)
		}
		if w.get("/once"); d.asked.Load() == before {
			t.Error("what was asked for once is on disk")
		}
	})
	d.runBefore(d.base()+"/other", func(w *reverseWorld) {
		before := d.asked.Load()
		if w.get("/a"); d.asked.Load() == before {
			t.Error("another origin's")
		}
	})
}

func TestReverseWritesToDiskWhatLastsAndIsForAll(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		lines  []string
		want   bool
	}{
		"a minute":         {200, []string{"Cache-Control: max-age=90"}, true},
		"less":             {200, []string{"Cache-Control: max-age=59"}, false},
		"old already":      {200, []string{"Cache-Control: max-age=90", "Age: 60"}, false},
		"each use asked":   {200, []string{"Cache-Control: no-cache", "Etag: \"a\""}, false},
		"private":          {200, []string{"Cache-Control: private, max-age=90"}, false},
		"no answer's body": {404, []string{"Cache-Control: max-age=90"}, false},
	} {
		d := newReverseDisk(t)
		d.answers(c.status, longBody, c.lines...)
		d.twice("/a")
		d.run(func(w *reverseWorld) {
			if got := w.cache.config.Disk.Has(webName(w.cache.webGroup("/a"), "")); got != c.want {
				t.Errorf("%s: %t", name, got)
			}
		})
	}
}

func TestReverseFindsVariantsOnDisk(t *testing.T) {
	d := newReverseDisk(t)
	h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		tell(rw, 200, "for "+r.Header.Get("X-Who"), "Cache-Control: max-age=3600", "Vary: X-Who")
	})
	d.origin.Store(&h)
	d.twice("/a", "X-Who: me")
	d.twice("/a", "X-Who: you")
	for range 2 {
		d.run(func(w *reverseWorld) {
			before := d.asked.Load()
			for _, who := range []string{"you", "me", "you"} {
				if got := w.get("/a", "X-Who: "+who); got.body != "for "+who {
					t.Errorf("%s: %q", who, got.body)
				}
			}
			if n := d.asked.Load() - before; n != 0 {
				t.Errorf("the origin was asked %d times", n)
			}
			if got := w.get("/a", "X-Who: her"); got.body != "for her" || d.asked.Load() == before {
				t.Errorf("%v", got)
			}
		})
	}
	// It does not vary any more.
	d.run(func(w *reverseWorld) {
		d.answers(200, "for all", "Cache-Control: max-age=3600")
		w.get("/a", "X-Who: them")
	})
	d.run(func(w *reverseWorld) {
		if got := w.get("/a", "X-Who: me"); got.body != "for all" {
			t.Errorf("%v", got)
		}
	})
}

// Whatever replaces or invalidates an answer in memory, or while memory has it no more, does so on disk.
func TestReverseDiskFollowsMemory(t *testing.T) {
	for name, c := range map[string]struct {
		change func(d *reverseDisk, w *reverseWorld)
		want   string
		asks   bool
	}{
		"changed by a request": {func(_ *reverseDisk, w *reverseWorld) { w.do("POST x", "/a") }, "new", true},
		"replaced": {func(d *reverseDisk, w *reverseWorld) {
			w.get("/a")
			w.backdate("/a", 2*time.Hour)
			if got := w.get("/a"); got.body != "new" {
				d.t.Errorf("%v", got)
			}
		}, "new", false},
		"no longer for all": {func(d *reverseDisk, w *reverseWorld) {
			w.get("/a")
			w.backdate("/a", 2*time.Hour)
			d.answers(200, "new", "Cache-Control: private")
			w.get("/a")
		}, "new", true},
		"still true": {func(d *reverseDisk, w *reverseWorld) {
			w.get("/a")
			w.backdate("/a", 2*time.Hour)
			d.answers(304, "", "Etag: \"a\"", "Cache-Control: max-age=3600", "X-New: 1")
			if got := w.get("/a"); got.header.Get("X-New") != "1" {
				d.t.Errorf("%v", got)
			}
		}, "old", false},
		"another by HEAD": {func(_ *reverseDisk, w *reverseWorld) {
			w.get("/a")
			w.backdate("/a", 2*time.Hour)
			w.do("HEAD", "/a")
		}, "new", true},
	} {
		d := newReverseDisk(t)
		d.answers(200, "old", "Cache-Control: max-age=3600", "Etag: \"a\"")
		d.twice("/a")
		d.answers(200, "new", "Cache-Control: max-age=3600", "Etag: \"b\"")
		d.run(func(w *reverseWorld) { c.change(d, w) })
		d.run(func(w *reverseWorld) {
			before := d.asked.Load()
			if got := w.get("/a"); got.body != c.want || (d.asked.Load() > before) != c.asks {
				t.Errorf("%s: %v, asked %d times", name, got, d.asked.Load()-before)
			}
		})
	}
}

func TestReverseValidatesWhatIsStaleOnDisk(t *testing.T) {
	d := newReverseDisk(t)
	d.run(func(w *reverseWorld) { // two hours ago
		meta, err := json.Marshal(storedGeneric{Header: map[string][][]byte{
			"Cache-Control": {[]byte("max-age=3600")}, "Etag": {[]byte(`"a"`)},
		}, Received: time.Now().Add(-2 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		group := w.cache.webGroup("/a")
		w.cache.config.Disk.Put(webName(group, ""), group, meta, [][]byte{[]byte("old")}, nil)
	})
	h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != `"a"` {
			t.Error("it was not validated")
		}
		tell(rw, 304, "", "Etag: \"a\"", "Cache-Control: max-age=3600")
	})
	d.origin.Store(&h)
	d.run(func(w *reverseWorld) {
		if got := w.get("/a"); got.body != "old" || !strings.Contains(got.header.Get("Cache-Status"), "fwd=stale; fwd-status=304") {
			t.Errorf("%v", got)
		}
	})
	d.run(func(w *reverseWorld) {
		before := d.asked.Load()
		if got := w.get("/a"); got.body != "old" || d.asked.Load() != before {
			t.Errorf("%v", got)
		}
	})
}

func TestLoadedAnswerHasTheAgeOfItsReceipt(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		received time.Time
		age      time.Duration
		want     time.Duration // negative is no answer
	}{
		"an hour ago":             {now.Add(-time.Hour), time.Minute, time.Hour + time.Minute},
		"just now":                {now, 0, 0},
		"clocks that differ":      {now.Add(30 * time.Second), time.Second, time.Second},
		"a clock that was set":    {now.Add(time.Hour), 0, -1},
		"a clock far in the past": {now.Add(-100 * 365 * 24 * time.Hour), 0, 1 << 31 * time.Second},
	} {
		meta, err := json.Marshal(storedGeneric{
			Header: map[string][][]byte{"Cache-Control": {[]byte("max-age=9")}}, Received: c.received, Age: c.age,
		})
		if err != nil {
			t.Fatal(err)
		}
		o, _ := loadedGeneric(meta, 0, nil, now)
		switch {
		case o == nil && c.want >= 0:
			t.Errorf("%s: nothing", name)
		case o != nil && (o.ageAt(now)-c.want).Abs() > time.Second && o.ageAt(now) != httpcache.MaxAge:
			t.Errorf("%s: %v", name, o.ageAt(now))
		}
	}
}

// While answers change, are asked for, written, evicted and read again, nobody gets one of before his own change.
func TestReverseWithADiskForgetsWhatWasChanged(t *testing.T) {
	const workers, each, rounds = 4, 2, 60
	d := newReverseDisk(t)
	d.config.MaxBytes = 400 << 10
	var versions [workers * each]atomic.Int64
	h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Path[1:])
		if r.Method == http.MethodPost {
			versions[n].Add(1)
		}
		rw.Header().Set("Cache-Control", "max-age=3600")
		_, _ = io.WriteString(rw, strconv.FormatInt(versions[n].Load(), 10)+strings.Repeat(" ", 20_000))
	})
	d.origin.Store(&h)
	for range 2 {
		d.run(func(w *reverseWorld) {
			var all sync.WaitGroup
			for worker := range workers {
				all.Go(func() {
					for i := range rounds {
						n := worker + workers*(i%each)
						own, other := "/"+strconv.Itoa(n), "/"+strconv.Itoa((i*5+worker)%len(versions))
						if i%5 == 0 {
							w.do("POST x", own)
						}
						want := strconv.FormatInt(versions[n].Load(), 10)
						if got := strings.TrimRight(w.get(own).body, " "); got != want {
							t.Errorf("%s: version %.10s, want %s", own, got, want)
						}
						w.get(other)
					}
				})
			}
			all.Wait()
		})
	}
	// The disk took part.
	d.run(func(w *reverseWorld) {
		disk := 0
		for n := range versions {
			got := w.get("/" + strconv.Itoa(n))
			if body := strings.TrimRight(got.body, " "); body != fmt.Sprint(versions[n].Load()) {
				t.Errorf("%d: version %.10s, want %d", n, body, versions[n].Load())
			}
			if strings.Contains(got.header.Get("Cache-Status"), "detail=disk") {
				disk++
			}
		}
		if disk == 0 {
			t.Error("nothing came from disk")
		}
	})
}

func FuzzLoadedGeneric(f *testing.F) {
	for _, meta := range []string{"", "{}", `{"Sign":["QQ=="]}`, `{"Header":{"Vary":["Kg=="]},"Age":-5}`, `{"Header":{"A":null}}`} {
		f.Add([]byte(meta))
	}
	f.Fuzz(func(t *testing.T, meta []byte) {
		now := time.Now()
		if o, _ := loadedGeneric(meta, 3, nil, now); o != nil && (o.ageAt(now) < 0 || o.length != 3) {
			t.Errorf("%v", o)
		}
	})
}
