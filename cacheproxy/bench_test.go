package cacheproxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// discard is a ResponseWriter that costs nothing, and can what net/http's can.
type discard struct {
	header http.Header
	n      int64
}

func (d *discard) Header() http.Header { return d.header }

func (d *discard) WriteHeader(int) {}

func (d *discard) FlushError() error { return nil }

func (d *discard) SetWriteDeadline(time.Time) error { return nil }

func (d *discard) Write(b []byte) (int, error) {
	d.n += int64(len(b))
	return len(b), nil
}

func BenchmarkHitHandler(b *testing.B) {
	for _, size := range []int{1 << 10, 60 << 10} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			w := newWorld(b, Config{})
			w.a.set(fixed(string(bodyOf(segPath, size)), immutable, "Content-Type", "video/mp4", "Etag", `"e1"`))
			wantStatus(b, w.get(b, segPath), http.StatusOK)
			req := httptest.NewRequest(http.MethodGet, segPath, nil)
			d := &discard{header: make(http.Header)}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				clear(d.header)
				w.ServeHTTP(d, req)
			}
			if d.n == 0 || w.a.total() != 1 {
				b.Fatal("no hits")
			}
		})
	}
}

func BenchmarkHitPlaylistHandler(b *testing.B) {
	w := newWorld(b, Config{})
	s := newShow(60, 2)
	s.plainAge = "max-age=1000"
	w.net.set("a", s)
	uri := livePath + "?_HLS_msn=60&_HLS_part=3"
	s.blockedAge = s.plainAge
	wantStatus(b, w.get(b, uri, "Accept-Encoding", "gzip"), http.StatusOK)
	req := httptest.NewRequest(http.MethodGet, uri, nil)
	req.Header.Set("Accept-Encoding", "gzip, deflate, br")
	d := &discard{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		clear(d.header)
		w.ServeHTTP(d, req)
	}
	if s.total() != 1 {
		b.Fatal("no hits")
	}
}

// BenchmarkHitLoopback measures client and server together, over keep-alive connections, without a client library.
func BenchmarkHitLoopback(b *testing.B) {
	bare := http.HandlerFunc(nil)
	for _, size := range []int{1 << 10, 60 << 10} {
		body := bodyOf(segPath, size)
		n := &node{}
		n.set(fixed(string(body), immutable, "Content-Type", "video/mp4", "Etag", `"e1"`))
		b.Run(fmt.Sprintf("%dKB/edge", size>>10), func(b *testing.B) {
			e := newRealEdge(b, Config{}, nil, n)
			loopback(b, e.url, size)
		})
		// What net/http itself takes, as the floor.
		bare = func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h["Content-Type"] = []string{"video/mp4"}
			h["Content-Length"] = []string{fmt.Sprint(size)}
			_, _ = w.Write(body)
		}
		b.Run(fmt.Sprintf("%dKB/bare", size>>10), func(b *testing.B) {
			s := httptest.NewServer(bare)
			defer s.Close()
			loopback(b, s.URL, size)
		})
	}
}

func loopback(b *testing.B, url string, size int) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.SetParallelism(16)
	request := []byte("GET " + segPath + " HTTP/1.1\r\nHost: edge\r\n\r\n")
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		in := bufio.NewReaderSize(conn, 128<<10)
		for pb.Next() {
			if _, err := conn.Write(request); err != nil {
				b.Error(err)
				return
			}
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					b.Error(err)
					return
				}
				if len(line) == 2 {
					break
				}
			}
			if _, err := io.CopyN(io.Discard, in, int64(size)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkFanOut measures the time from an upstream's answer to the last byte at each of the waiting viewers; clients
// and server share the cores.
func BenchmarkFanOut(b *testing.B) {
	for _, viewers := range []int{200, 1000} {
		b.Run(fmt.Sprint(viewers), func(b *testing.B) {
			s := newShow(7, 0)
			e := newRealEdge(b, Config{}, nil, s)
			conns := make([]net.Conn, viewers)
			readers := make([]*bufio.Reader, viewers)
			for i := range conns {
				conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				conns[i], readers[i] = conn, bufio.NewReader(conn)
			}
			var all []time.Duration
			for b.Loop() {
				b.StopTimer()
				uri := fmt.Sprintf("%s/1/video/%d.%d.m4s", recBase, s.msn+1, s.parts)
				for _, conn := range conns {
					if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: edge\r\n\r\n", uri); err != nil {
						b.Fatal(err)
					}
				}
				eventually(b, "all wait", func() bool { return e.waiting.Load() == int64(viewers) })
				late := make([]time.Duration, viewers)
				var wg sync.WaitGroup
				var began time.Time
				start := make(chan struct{})
				for i := range conns {
					wg.Go(func() {
						<-start
						resp, err := http.ReadResponse(readers[i], nil)
						if err == nil {
							_, err = io.Copy(io.Discard, resp.Body)
						}
						if err != nil {
							b.Error(err)
						}
						late[i] = time.Since(began)
					})
				}
				b.StartTimer()
				began = time.Now()
				close(start)
				s.advance()
				wg.Wait()
				all = append(all, late...)
			}
			slices.Sort(all)
			ms := func(at float64) float64 { return all[int(at*float64(len(all)-1))].Seconds() * 1000 }
			b.ReportMetric(ms(0.5), "p50-ms")
			b.ReportMetric(ms(0.99), "p99-ms")
			b.ReportMetric(ms(1), "max-ms")
			b.ReportMetric(float64(s.total())/float64(len(all)/viewers), "upstream/object")
		})
	}
}

// BenchmarkCacheLook is hits of few objects from all cores, alone and beside one that puts.
func BenchmarkCacheLook(b *testing.B) {
	for _, size := range []int64{64 << 20, 1 << 30} {
		for _, puts := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dMiB/puts=%t", size>>20, puts), func(b *testing.B) {
				c := newCache(size, 30*time.Second)
				now := time.Unix(1e9, 0)
				keys := make([]key, 512)
				for i := range keys {
					keys[i] = mediaKey(fmt.Sprintf("%s/1/video/%d.m4s", recBase, i))
					c.put(keys[i], testObject(kindSegment, 1000, time.Hour, now), now)
				}
				var turn atomic.Int64
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					i := int(turn.Add(1)) * 100
					for pb.Next() {
						i++
						if k := keys[i%len(keys)]; puts && i%64 == 0 {
							c.put(k, testObject(kindSegment, 1000, time.Hour, now), now)
						} else {
							c.look(k)
						}
					}
				})
			})
		}
	}
}

// BenchmarkFill is a body from an upstream's reader to one that sends it.
func BenchmarkFill(b *testing.B) {
	for _, size := range []int{60 << 10, 1 << 20} {
		for _, known := range []bool{true, false} {
			b.Run(fmt.Sprintf("%dKB/known=%t", size>>10, known), func(b *testing.B) {
				arena := slab.New()
				body := bodyOf(segPath, size)
				length := int64(-1)
				if known {
					length = int64(size)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					f := newFlight(mediaKey(segPath), arena, func(error) {}, 0)
					head := &object{kind: kindSegment, status: http.StatusOK, length: length}
					f.begin(head)
					if err := pour(f, bytes.NewReader(body), length, int64(size), true); err != nil {
						b.Fatal(err)
					}
					o := *head
					var n int64
					o.chunks, n = f.body()
					o.setLength(n)
					o.compact(arena)
					f.finish(&o)
					if len(o.chunks) != 1 || o.length != int64(size) {
						b.Fatal("not one chunk")
					}
				}
			})
		}
	}
}
