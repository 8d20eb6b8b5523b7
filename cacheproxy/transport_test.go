//go:build unix

package cacheproxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/transport"
)

// BenchmarkTransport measures what newTransport's doc comment decides by: the pool of HTTP/1.1 connections, with what
// keeps answers apart and alone, beside one connection of HTTP/2 without TLS, between an edge and a node. The CPU time
// is that of both ends.
func BenchmarkTransport(b *testing.B) {
	for _, version := range []string{"http1", "pool alone", "h2c"} {
		for _, held := range []int{200, 1000} {
			b.Run(fmt.Sprintf("%s/reloads=%d", version, held), func(b *testing.B) { benchReloads(b, version, held) })
		}
		for _, c := range []struct{ size, readers int }{{60 << 10, 1}, {60 << 10, 64}, {1 << 20, 1}, {1 << 20, 16}} {
			b.Run(fmt.Sprintf("%s/%dKiB/readers=%d", version, c.size>>10, c.readers), func(b *testing.B) {
				benchBodies(b, version, c.size, c.readers)
			})
		}
	}
}

// hop is a transport to a server on loopback, and how many connections it opened.
func hop(b *testing.B, version string, h http.HandlerFunc) (rt http.RoundTripper, url string, opened *atomic.Int64) {
	b.Helper()
	opened = new(atomic.Int64)
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 10_000}
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	b.Cleanup(server.Close)
	pool := newPool()
	rt = pool
	switch version {
	case "http1":
		rt = transport.New(pool)
	case "h2c":
		pool.Protocols = new(http.Protocols)
		pool.Protocols.SetUnencryptedHTTP2(true)
		pool.HTTP2 = &http.HTTP2Config{
			MaxConcurrentStreams: 10_000, MaxReadFrameSize: 256 << 10,
			MaxReceiveBufferPerConnection: 64 << 20, MaxReceiveBufferPerStream: 4 << 20,
		}
	}
	b.Cleanup(pool.CloseIdleConnections)
	return rt, server.URL, opened
}

func read(b *testing.B, rt http.RoundTripper, url string, buf []byte) {
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Error(err)
		return
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		b.Error(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	for {
		_, err := resp.Body.Read(buf)
		if err == io.EOF {
			return
		}
		if err != nil {
			b.Error(err)
			return
		}
	}
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// benchReloads has many requests held, and all answered at once with a playlist of 4 KB; the time is from there to the
// last one's end.
func benchReloads(b *testing.B, version string, held int) {
	playlist := []byte(strings.Repeat("x", 4<<10))
	var waiting atomic.Int64
	var gate atomic.Pointer[chan struct{}]
	rt, url, opened := hop(b, version, func(w http.ResponseWriter, _ *http.Request) {
		open := *gate.Load()
		waiting.Add(1)
		<-open
		_, _ = w.Write(playlist)
	})
	first := make(chan struct{})
	close(first)
	gate.Store(&first)
	read(b, rt, url, make([]byte, 8<<10)) // HTTP/2 then has its connection
	cpu, took := time.Duration(0), time.Duration(0)
	for b.Loop() {
		open := make(chan struct{})
		gate.Store(&open)
		waiting.Store(0)
		begun := cpuTime(b)
		var wg sync.WaitGroup
		for i := range held {
			wg.Go(func() { read(b, rt, url+"/"+strconv.Itoa(i), make([]byte, 8<<10)) })
		}
		eventually(b, "all are held", func() bool { return waiting.Load() == int64(held) })
		released := time.Now()
		close(open)
		wg.Wait()
		took += time.Since(released)
		cpu += cpuTime(b) - begun
	}
	b.ReportMetric(float64(took.Microseconds())/1000/float64(b.N), "ms-to-last")
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N)/float64(held), "cpu-us/req")
	b.ReportMetric(float64(opened.Load()), "conns")
}

func benchBodies(b *testing.B, version string, size, readers int) {
	body := make([]byte, size)
	rt, url, opened := hop(b, version, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		_, _ = w.Write(body)
	})
	read(b, rt, url, make([]byte, 64<<10))
	b.SetBytes(int64(size))
	cpu := cpuTime(b)
	work := make(chan struct{})
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			buf := make([]byte, 256<<10)
			for range work {
				read(b, rt, url, buf)
			}
		})
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-us/req")
	b.ReportMetric(float64(opened.Load()), "conns")
}
