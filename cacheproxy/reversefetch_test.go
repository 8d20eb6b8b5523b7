package cacheproxy

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestReverseRanges(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, nil)
	w.answers(200, "0123456789", "Cache-Control: max-age=60", `ETag: "v1"`, "Content-Type: text/plain")
	w.get("/a")
	for lines, want := range map[string]reverseAnswer{
		"Range: bytes=0-1":                      {status: 206, body: "01", header: http.Header{"Content-Range": {"bytes 0-1/10"}}},
		"Range: bytes=-3":                       {status: 206, body: "789", header: http.Header{"Content-Range": {"bytes 7-9/10"}}},
		"Range: bytes=5-|If-Range: \"v1\"":      {status: 206, body: "56789", header: http.Header{"Content-Range": {"bytes 5-9/10"}}},
		"Range: bytes=5-|If-Range: \"v0\"":      {status: 200, body: "0123456789"},
		"Range: bytes=10-":                      {status: 416, header: http.Header{"Content-Range": {"bytes */10"}}},
		"Range: bytes=x":                        {status: 200, body: "0123456789"},
		"Range: bytes=0-|If-None-Match: \"v1\"": {status: 304},
		"Range: bytes=0-4,3-9":                  {status: 206, body: "0123456789", header: http.Header{"Content-Range": {"bytes 0-9/10"}}},
	} {
		got := w.get("/a", strings.Split(lines, "|")...)
		if got.status != want.status || got.body != want.body ||
			got.header.Get("Content-Range") != want.header.Get("Content-Range") {
			t.Errorf("%s: got %+v", lines, got)
		}
	}
	got := w.get("/a", "Range: bytes=8-,0-1")
	kind, params, err := mime.ParseMediaType(got.header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" || got.status != 206 || got.header.Get("Content-Length") != strconv.Itoa(len(got.body)) {
		t.Fatalf("got %+v, %v", got, err)
	}
	parts := multipart.NewReader(strings.NewReader(got.body), params["boundary"])
	for _, want := range []string{"bytes 8-9/10 text/plain 89", "bytes 0-1/10 text/plain 01"} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(part)
		if s := part.Header.Get("Content-Range") + " " + part.Header.Get("Content-Type") + " " + string(text); err != nil || s != want {
			t.Errorf("got %q, want %q, %v", s, want, err)
		}
	}
	if _, err := parts.NextPart(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last part: %v", err)
	}
	w.wantAsked(1)
}

func TestReverseAsksOnceForAll(t *testing.T) {
	const clients = 20
	release := make(chan struct{})
	w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(rw, "first ")
		_ = http.NewResponseController(rw).Flush()
		<-release
		_, _ = io.WriteString(rw, "last")
	})
	began, group := make(chan string, clients), sync.WaitGroup{}
	for range clients {
		group.Go(func() {
			resp, err := http.Get(w.url + "/a")
			if err != nil {
				began <- err.Error()
				return
			}
			defer func() { _ = resp.Body.Close() }()
			first := make([]byte, 6)
			_, err = io.ReadFull(resp.Body, first)
			began <- fmt.Sprintf("%s%v", first, err)
			if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "last" {
				t.Errorf("then %q, %v", rest, err)
			}
		})
	}
	for range clients { // all have the first bytes before the last were made
		if got := <-began; got != "first <nil>" {
			t.Errorf("first %q", got)
		}
	}
	close(release)
	group.Wait()
	w.wantAsked(1)
}

// What is too large to hold streams to those who ask, each by himself.
func TestReverseStreamsWhatIsTooLarge(t *testing.T) {
	text := strings.Repeat("0123456789", 1000)
	begun := make(chan struct{})
	w := newReverseWorld(t, ReverseConfig{MaxObjectBytes: 5000}, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Cache-Control", "max-age=60")
		rest := text
		switch r.URL.Path {
		case "/told":
			rw.Header().Set("Content-Length", strconv.Itoa(len(text)))
		case "/shown":
			_, _ = io.WriteString(rw, text[:1000])
			_ = http.NewResponseController(rw).Flush()
			<-begun
			rest = text[1000:]
		}
		_, _ = io.WriteString(rw, rest)
	})
	for _, path := range []string{"/told", "/untold"} {
		for range 2 {
			if got := w.get(path); got.body != text {
				t.Errorf("%s: got %d bytes", path, len(got.body))
			}
		}
	}
	// A client that has bytes of it already is cut off, and those after it get it whole.
	resp, err := http.Get(w.url + "/shown")
	if err != nil {
		t.Fatal(err)
	}
	close(begun)
	if _, err = io.ReadAll(resp.Body); err == nil {
		t.Error("a body beyond what is held came whole")
	}
	_ = resp.Body.Close()
	if got := w.get("/shown"); got.body != text {
		t.Errorf("got %d bytes", len(got.body))
	}
}

// The wait for an answer is not for the time that a request's body takes, only for its pauses.
func TestReverseWaitsForLongBodies(t *testing.T) {
	t.Parallel()
	w := newReverseWorld(t, ReverseConfig{FetchTimeout: time.Second}, func(rw http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		tell(rw, 200, "had it")
	})
	body, feed := io.Pipe()
	go func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for range 6 {
			<-tick.C
			_, _ = feed.Write([]byte("x"))
		}
		_ = feed.Close()
	}()
	resp, err := http.Post(w.url+"/a", "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "had it" {
		t.Errorf("got %d %q, %v", resp.StatusCode, text, err)
	}
	silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	w.origin.Store(&silent)
	if got := w.get("/b"); got.status != http.StatusGatewayTimeout {
		t.Errorf("an origin that says nothing: %+v", got)
	}
}
