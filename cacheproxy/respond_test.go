package cacheproxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHTTP14_RangesConditionsAndHEADComeFromTheCache(t *testing.T) {
	const (
		body     = "0123456789"
		modified = "Fri, 20 Nov 2026 12:00:00 GMT"
		later    = "Fri, 20 Nov 2026 12:00:01 GMT"
		before   = "Fri, 20 Nov 2026 11:59:59 GMT"
	)
	tests := []struct {
		name         string
		method       string
		head         []string
		status       int
		body         string
		contentRange string
	}{
		{name: "plain", status: 200, body: body},
		{name: "HEAD", method: http.MethodHead, status: 200},
		{name: "first bytes", head: []string{"Range", "bytes=0-3"}, status: 206, body: "0123", contentRange: "bytes 0-3/10"},
		{name: "one byte", head: []string{"Range", "bytes=9-9"}, status: 206, body: "9", contentRange: "bytes 9-9/10"},
		{name: "open", head: []string{"Range", "bytes=7-"}, status: 206, body: "789", contentRange: "bytes 7-9/10"},
		{name: "past the end", head: []string{"Range", "bytes=7-99"}, status: 206, body: "789", contentRange: "bytes 7-9/10"},
		{name: "suffix", head: []string{"Range", "bytes=-4"}, status: 206, body: "6789", contentRange: "bytes 6-9/10"},
		{name: "long suffix", head: []string{"Range", "bytes=-40"}, status: 206, body: body, contentRange: "bytes 0-9/10"},
		{name: "unit in capitals", head: []string{"Range", "Bytes=1-1"}, status: 206, body: "1", contentRange: "bytes 1-1/10"},
		{name: "HEAD of a range: the whole", method: http.MethodHead, head: []string{"Range", "bytes=0-3"}, status: 200},
		{name: "HEAD beyond: the whole", method: http.MethodHead, head: []string{"Range", "bytes=10-"}, status: 200},
		{name: "beyond", head: []string{"Range", "bytes=10-"}, status: 416, contentRange: "bytes */10"},
		{name: "empty suffix", head: []string{"Range", "bytes=-0"}, status: 416, contentRange: "bytes */10"},
		{name: "several that touch", head: []string{"Range", "bytes=2-3,0-1"}, status: 206, body: "0123", contentRange: "bytes 0-3/10"},
		{name: "several that overlap", head: []string{"Range", "bytes=4-8, -3"}, status: 206, body: "456789", contentRange: "bytes 4-9/10"},
		{name: "one of two is there", head: []string{"Range", "bytes=10-,1-2"}, status: 206, body: "12", contentRange: "bytes 1-2/10"},
		{name: "none of two is there", head: []string{"Range", "bytes=10-,-0"}, status: 416, contentRange: "bytes */10"},
		{name: "one of two is junk: the whole", head: []string{"Range", "bytes=1-2,x"}, status: 200, body: body},
		{name: "too many: the whole", head: []string{"Range", "bytes=0-0" + strings.Repeat(",2-2", 16)}, status: 200, body: body},
		{name: "several, If-Range of another", head: []string{"Range", "bytes=0-1,4-5", "If-Range", `"e2"`}, status: 200, body: body},
		{name: "backwards: the whole", head: []string{"Range", "bytes=5-4"}, status: 200, body: body},
		{name: "junk: the whole", head: []string{"Range", "bytes=a-b"}, status: 200, body: body},
		{name: "negative: the whole", head: []string{"Range", "bytes=--4"}, status: 200, body: body},
		{name: "overflow: the whole", head: []string{"Range", "bytes=0-99999999999999999999"}, status: 200, body: body},
		{name: "other unit: the whole", head: []string{"Range", "lines=0-1"}, status: 200, body: body},
		{name: "If-Range holds", head: []string{"Range", "bytes=0-3", "If-Range", `"e1"`}, status: 206, body: "0123", contentRange: "bytes 0-3/10"},
		{name: "If-Range of another", head: []string{"Range", "bytes=0-3", "If-Range", `"e2"`}, status: 200, body: body},
		{name: "weak If-Range", head: []string{"Range", "bytes=0-3", "If-Range", `W/"e1"`}, status: 200, body: body},
		{name: "If-Range date", head: []string{"Range", "bytes=0-3", "If-Range", modified}, status: 206, body: "0123", contentRange: "bytes 0-3/10"},
		{name: "If-Range other date", head: []string{"Range", "bytes=0-3", "If-Range", later}, status: 200, body: body},
		{name: "If-None-Match", head: []string{"If-None-Match", `"e1"`}, status: 304},
		{name: "If-None-Match, HEAD", method: http.MethodHead, head: []string{"If-None-Match", `"e1"`}, status: 304},
		{name: "If-None-Match before Range", head: []string{"If-None-Match", `"e1"`, "Range", "bytes=0-3"}, status: 304},
		{name: "If-None-Match, list, weak", head: []string{"If-None-Match", `"e0", W/"e1"`}, status: 304},
		{name: "If-None-Match *", head: []string{"If-None-Match", "*"}, status: 304},
		{name: "If-None-Match of another", head: []string{"If-None-Match", `"e2"`}, status: 200, body: body},
		{name: "If-None-Match of another wins over date", head: []string{"If-None-Match", `"e2"`, "If-Modified-Since", later}, status: 200, body: body},
		{name: "If-None-Match junk", head: []string{"If-None-Match", `e1`}, status: 200, body: body},
		{name: "If-Modified-Since", head: []string{"If-Modified-Since", modified}, status: 304},
		{name: "If-Modified-Since before", head: []string{"If-Modified-Since", before}, status: 200, body: body},
	}
	for _, tt := range tests {
		for _, cached := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, cached=%t", tt.name, cached), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, Config{})
					w.a.set(fixed(body, immutable, "Etag", `"e1"`, "Last-Modified", modified, "Content-Type", "video/mp4"))
					if cached {
						w.get(t, segPath)
					}
					method := tt.method
					if method == "" {
						method = http.MethodGet
					}
					rec := w.do(t.Context(), method, segPath, tt.head...)
					wantStatus(t, rec, tt.status)
					if rec.Body.String() != tt.body {
						t.Errorf("body %q", rec.Body)
					}
					h := rec.Header()
					if h.Get("Content-Range") != tt.contentRange {
						t.Errorf("Content-Range %q", h.Get("Content-Range"))
					}
					if tt.body != "" && h.Get("Content-Length") != strconv.Itoa(len(tt.body)) {
						t.Errorf("Content-Length %q", h.Get("Content-Length"))
					}
					if tt.method == http.MethodHead && tt.status == 200 && h.Get("Content-Length") != "10" {
						t.Errorf("Content-Length of HEAD %q", h.Get("Content-Length"))
					}
					if tt.status == 304 && (h.Get("Etag") == "" || h.Get("Cache-Control") == "" || h.Get("Content-Length") != "") {
						t.Errorf("304 with %v", h)
					}
					if cached {
						wantCacheStatus(t, rec, "oxbow; hit")
					}
					synctest.Wait()
					if n := w.a.total(); n != 1 {
						t.Errorf("%d upstream requests", n)
					}
				})
			})
		}
	}
}

func TestHTTP14_RangeOfAnObjectUnderWay(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		g := newGated(100_000)
		g.chunked = chunked
		e := newRealEdge(t, Config{}, nil, g)
		want := bodyOf(segPath, 100_000)[49_990:50_010]
		got := make(chan string, 1)
		go func() {
			resp, body, err := e.fetch(t.Context(), segPath, "Range", "bytes=49990-50009")
			if err != nil || resp.Header.Get("Content-Range") != "bytes 49990-50009/100000" {
				t.Errorf("%v %v", resp, err)
			}
			got <- string(body)
		}()
		eventually(t, "the fetch is under way", func() bool { return g.total() == 1 })
		close(g.release)
		if s := <-got; s != string(want) {
			t.Errorf("chunked=%t: got %q, want %q", chunked, s, want)
		}
	}
}

func TestHTTP3_HTTP4_HTTP5_HTTP16_CORSIsOnEveryAnswerAndMethodsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.a.set(fixed("x", "max-age=5", "Access-Control-Allow-Origin", "http://only.example", "Set-Cookie", "a=b",
			"Connection", "X-Hop", "X-Hop", "1", "X-End", "2"))
		rec := w.get(t, segPath)
		wantStatus(t, rec, 200)
		h := rec.Header()
		if h.Get("Set-Cookie") != "" || h.Get("X-Hop") != "" || h.Get("X-End") != "2" {
			t.Errorf("header %v", h)
		}
		rec = w.do(t.Context(), http.MethodOptions, segPath)
		wantStatus(t, rec, http.StatusNoContent)
		if rec.Header().Get("Access-Control-Max-Age") != "86400" ||
			!strings.Contains(rec.Header().Get("Access-Control-Allow-Headers"), "Range") {
			t.Errorf("preflight %v", rec.Header())
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PURGE", "get"} {
			rec := w.do(t.Context(), method, segPath)
			wantStatus(t, rec, http.StatusMethodNotAllowed)
			if rec.Header().Get("Allow") != "GET, HEAD, OPTIONS" {
				t.Errorf("%s: %v", method, rec.Header())
			}
		}
		wantStatus(t, w.get(t, "/acme/show/none"), http.StatusNotFound)
	})
}

func TestCacheStatusTellsHowItWasAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		s := newShow(7, 0)
		w.net.set("a", s)
		uri := recBase + "/1/video/8.0.m4s"
		got := make(chan string, 2)
		for range 2 {
			go func() { got <- w.get(t, uri).Header().Get("Cache-Status") }()
			synctest.Wait()
		}
		s.advance()
		all := []string{<-got, <-got, w.get(t, uri).Header().Get("Cache-Status")}
		text := strings.Join(all, "|")
		if !strings.Contains(text, "oxbow; fwd=miss; stored|") || !strings.Contains(text, "oxbow; fwd=miss; collapsed") ||
			all[2] != "oxbow; hit" {
			t.Errorf("Cache-Status %q", all)
		}
		w.a.set(fixed("x", "max-age=5", "Cache-Status", "inner; hit"))
		w.net.set("a", w.a)
		if s := w.get(t, segPath).Header().Get("Cache-Status"); s != "inner; hit, oxbow; fwd=miss; stored" {
			t.Errorf("Cache-Status %q", s)
		}
		w.a.set(nil)
		if s := w.get(t, recBase+"/1/video/9.m4s").Header().Get("Cache-Status"); s != "oxbow; fwd=miss; fwd-status=404; stored" {
			t.Errorf("Cache-Status %q", s)
		}
	})
}

// A hit leaves no deadline behind on a connection that another handler may use next.
func TestTheWriteDeadlineIsLifted(t *testing.T) {
	n := &node{}
	n.set(fixed("x", immutable))
	e := newRealEdge(t, Config{WriteTimeout: 500 * time.Millisecond}, nil, n)
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	// The proxy sets no deadline for an answer without a body: an old one would cut that.
	for _, uri := range []string{segPath, segPath, "/acme/show/none"} {
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: edge\r\n\r\n", uri); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", uri, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		<-time.After(600 * time.Millisecond) // past the deadline, on the server's own clock
	}
}
