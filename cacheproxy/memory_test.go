package cacheproxy

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// sized is an origin whose bodies' sizes follow from their URIs; every other does not say how long it is.
func sized(w http.ResponseWriter, r *http.Request) {
	size, known := sizeOf(r.URL.Path)
	w.Header().Set("Cache-Control", immutable)
	if known {
		w.Header().Set("Content-Length", strconv.Itoa(size))
	}
	body := bodyOf(r.URL.Path, size)
	for len(body) > 0 {
		n := min(len(body), 30_000)
		_, _ = w.Write(body[:n])
		_ = http.NewResponseController(w).Flush()
		body = body[n:]
	}
}

func sizeOf(path string) (size int, known bool) {
	h := fnv.New32a()
	_, _ = io.WriteString(h, path)
	n := int(h.Sum32() >> 1)
	return 1000 + n%400_000, n/7%2 == 0
}

// The cache is far too small, the collector runs all the time, and what is free is overwritten (NewStrict): bodies that
// are read, kept or put together are whole all the same.
func TestBodiesOutliveEvictionsAndCollections(t *testing.T) {
	const objects, viewers, each = 40, 6, 25
	n := &node{}
	n.set(sized)
	e := newRealEdge(t, Config{MaxBytes: 6 << 20}, nil, n)
	stop := make(chan struct{})
	var collector, wg sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	})
	for range viewers {
		wg.Go(func() {
			for range each {
				uri := segment(1 + min(rand.IntN(objects), rand.IntN(objects)))
				size, _ := sizeOf(uri)
				_, body, err := e.fetch(t.Context(), uri)
				if err != nil || !bytes.Equal(body, bodyOf(uri, size)) {
					t.Errorf("%s: %d bytes of %d, %d of them free memory's, %v",
						uri, len(body), size, bytes.Count(body, []byte{0xdb}), err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	collector.Wait()
	e.cache.check(t)
	if _, held := e.cache.usage(); held < 10 {
		t.Errorf("%d objects are cached", held)
	}
}

// A viewer who reads nothing holds the chunks of what it was to get, and nobody else: 100 others have theirs meanwhile,
// and when it reads at last it gets what was there, though the cache has dropped that long ago.
func TestASlowViewerAmong100SlowsNobodyAndReadsTheSameBytes(t *testing.T) {
	const size, viewers = 6 << 20, 100 // more than sockets hold
	n := &node{}
	body := bodyOf(segPath, size)
	n.set(fixed(string(body), immutable))
	e := newRealEdge(t, Config{MaxBytes: 64 << 20}, nil, n)
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.(*net.TCPConn).SetReadBuffer(128 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n", segPath); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the slow viewer's request is there", func() bool { return n.total() == 1 })
	var wg sync.WaitGroup
	for v := range viewers {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.url+segPath, nil)
			if err != nil {
				t.Error(err)
				return
			}
			from := v * size / viewers
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, from+9999))
			resp, err := e.client.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = resp.Body.Close() }()
			got, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(got, body[from:][:10_000]) {
				t.Errorf("a fast viewer got %d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	if w := e.waiting.Load(); w != 1 {
		t.Fatalf("%d wait: the slow viewer's socket took it all", w)
	}
	if e.cache.drop(groupOf(segPath), false) != 1 {
		t.Error("the object was not cached")
	}
	for i := range 4 { // in its place, if that were free
		_, got, err := e.fetch(t.Context(), segment(100+i))
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		runtime.GC()
	}
	all, err := io.ReadAll(conn)
	if _, got, _ := bytes.Cut(all, []byte("\r\n\r\n")); err != nil || !bytes.Equal(got, body) {
		t.Errorf("the slow viewer got %d bytes, %v", len(got), err)
	}
	if n.of(segPath) != 1 {
		t.Errorf("upstream saw %d requests", n.of(segPath))
	}
}

// A show ends, and nothing else comes: its parts leave in time, and their memory is free.
func TestDeadPartsLeaveWithoutAnotherPut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(64<<20, 30*time.Second)
		var freed atomic.Int64
		c.onFreed(func(n int64) { freed.Add(n) })
		for i := range 100 {
			c.put(mediaKey(fmt.Sprint("part", i)), testObject(kindPart, 60_000, time.Hour, time.Now()), time.Now())
			time.Sleep(200 * time.Millisecond)
		}
		c.put(mediaKey("segment"), testObject(kindSegment, 60_000, time.Hour, time.Now()), time.Now())
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if _, n := c.usage(); n < 70 || n > 101 {
			t.Errorf("%d objects before their time", n)
		}
		time.Sleep(27 * time.Second)
		synctest.Wait()
		if _, n := c.usage(); n != 1 || freed.Load() < 100*60_000 {
			t.Errorf("%d objects are left, %d bytes were freed", n, freed.Load())
		}
		c.check(t)
	})
}

func TestMemoryOfWhatTheCacheLetGoIsFree(t *testing.T) {
	w := newWorld(t, Config{})
	w.flights.arena = slab.New()
	w.cache.onFreed(freed(w.flights.arena))
	w.a.set(func(rw http.ResponseWriter, r *http.Request) {
		fixed(string(bodyOf(r.URL.Path, 900_000)), immutable)(rw, r)
	})
	for i := range 10 {
		wantStatus(t, w.get(t, segment(1+i)), http.StatusOK)
	}
	if used := w.flights.arena.Stats().Used; runtime.GOOS == "linux" && used < 9_000_000 {
		t.Fatalf("%d bytes in use", used)
	}
	w.cache.drop(groupOf(segPath), false)
	eventually(t, "the memory is free", func() bool { return w.flights.arena.Stats().Used < 2_000_000 })
}

// Over HTTP/2 a frame may be under way when its stream has ended: what it says is none of another body's bytes, and the
// bodies beside it on the connection are whole.
func TestBodiesOverHTTP2AreWholeBesideStreamsThatEnd(t *testing.T) {
	n := &node{}
	n.set(sized)
	e := newRealEdge(t, Config{MaxBytes: 6 << 20}, nil, n)
	front := httptest.NewUnstartedServer(e.Proxy)
	front.EnableHTTP2 = true
	front.StartTLS()
	defer front.Close()
	client := front.Client()
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for viewer := range 8 {
		wg.Go(func() {
			for range 10 {
				uri := segment(1 + rand.IntN(30))
				size, _ := sizeOf(uri)
				resp, err := client.Get(front.URL + uri)
				if err != nil {
					t.Error(err)
					return
				}
				want := bodyOf(uri, size)
				if viewer%2 == 0 { // leaves in mid-body
					want = want[:min(size, 10_000)]
				}
				got := make([]byte, len(want))
				_, err = io.ReadFull(resp.Body, got)
				_ = resp.Body.Close()
				if resp.ProtoMajor != 2 || err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s over %s: %d of %d bytes, %v", uri, resp.Proto, len(got), size, err)
				}
				runtime.GC()
			}
		})
	}
	wg.Wait()
}
