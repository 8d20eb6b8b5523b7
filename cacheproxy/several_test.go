package cacheproxy

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
)

// partsOfAnswer reads a multipart/byteranges body.
func partsOfAnswer(t *testing.T, h http.Header, contentType string, body []byte) (ranges, parts []string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		t.Fatalf("%v: %v", h, err)
	}
	in := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		p, err := in.NextRawPart()
		if errors.Is(err, io.EOF) {
			return ranges, parts
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Header.Get("Content-Type") != contentType {
			t.Errorf("part with %v", p.Header)
		}
		text, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		ranges, parts = append(ranges, p.Header.Get("Content-Range")), append(parts, string(text))
	}
}

func TestHTTP14_SeveralRangesComeInTheOrderThatTheyWereAskedFor(t *testing.T) {
	synctest.Test(t, timelessHTTP14_SeveralRangesComeInTheOrderThatTheyWereAskedFor)
}

func timelessHTTP14_SeveralRangesComeInTheOrderThatTheyWereAskedFor(t *testing.T) {
	w := newWorld(t, Config{})
	w.a.set(fixed("0123456789", immutable, "Etag", `"e1"`, "Content-Type", "video/mp4", "Cdn-Cache-Control", "max-age=9"))
	for _, cached := range []bool{false, true} {
		rec := w.get(t, segPath, "Range", "bytes=8-,0-1, 4-5,20-30", "If-Range", `"e1"`)
		wantStatus(t, rec, http.StatusPartialContent)
		h := rec.Header()
		if h.Get("Content-Range") != "" || h.Get("Content-Length") != strconv.Itoa(rec.Body.Len()) || h.Get("Etag") != `"e1"` {
			t.Errorf("cached=%t: %v for %d bytes", cached, h, rec.Body.Len())
		}
		ranges, parts := partsOfAnswer(t, h, "video/mp4", rec.Body.Bytes())
		if got := strings.Join(ranges, "|"); got != "bytes 8-9/10|bytes 0-1/10|bytes 4-5/10" {
			t.Errorf("ranges %s", got)
		}
		if got := strings.Join(parts, "|"); got != "89|01|45" {
			t.Errorf("parts %s", got)
		}
	}
	if n := w.a.total(); n != 1 {
		t.Errorf("%d upstream requests", n)
	}
}

// The first half of a body is with who asked for it, while the other is still to come.
func TestHTTP14_SeveralRangesOfAnObjectUnderWay(t *testing.T) {
	for _, lane := range []bool{false, true} {
		g := newGated(100_000)
		e := newRealEdge(t, Config{}, nil, g)
		url := e.url
		if lane {
			_, url = inLane(t, e.Proxy)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+segPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Range", "bytes=99990-,100-109,49990-50009")
		done := make(chan []byte, 1)
		var head http.Header
		go func() {
			resp, err := e.client.Do(req)
			if err != nil {
				t.Error(err)
				done <- nil
				return
			}
			defer func() { _ = resp.Body.Close() }()
			head = resp.Header
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Error(err)
			}
			done <- body
		}()
		eventually(t, "the fetch is under way", func() bool { return g.total() == 1 })
		close(g.release)
		body := <-done
		if t.Failed() {
			return
		}
		want := bodyOf(segPath, 100_000)
		_, parts := partsOfAnswer(t, head, "text/plain; charset=utf-8", body)
		if got := strings.Join(parts, "|"); got != string(want[99990:])+"|"+string(want[100:110])+"|"+string(want[49990:50010]) {
			t.Errorf("lane=%t: parts %q", lane, got)
		}
	}
}
