package fastlane

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// told is what a request says, as both servers' handlers tell it.
func told(head bool, path, query string, values func(string) []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%t %q %q", head, path, query)
	for _, name := range []string{"Range", "Accept-Encoding", "If-None-Match", "A", "Content-Length"} {
		fmt.Fprintf(&b, " %q", slices.Clone(values(name)))
	}
	return b.String()
}

type teller struct{}

func (teller) ServeLane(x *Exchange) error {
	text := told(x.Head(), x.Path(), x.Query(), x.Values)
	length := int64(len(text))
	if x.Head() {
		length = 0
	}
	err := x.Begin(ok, nil, fmt.Appendf(nil,
		"Content-Length: %d\r\nDate: now\r\nContent-Type: text/plain; charset=utf-8\r\n", len(text)), length)
	if err == nil && !x.Head() {
		err = x.Write(slab.Of([]byte(text)))
	}
	if err == nil {
		err = x.End()
	}
	return err
}

// both are the lane and net/http alone, which tell the same.
func both(t testing.TB) (lane, alone string) {
	t.Helper()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := told(r.Method == http.MethodHead, r.URL.Path, r.URL.RawQuery, func(name string) []string { return r.Header[name] })
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = io.WriteString(w, text)
	})
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first, second := listen(), listen()
	s := New(Config{Handler: teller{}, HTTP: &http.Server{Handler: handler, MaxHeaderBytes: 32 << 10, ErrorLog: quiet}})
	std := &http.Server{Handler: handler, MaxHeaderBytes: 32 << 10, ErrorLog: quiet}
	done := make(chan error, 2)
	go func() { done <- s.Serve(first) }()
	go func() { done <- std.Serve(second) }()
	t.Cleanup(func() {
		_, _ = s.Close(), std.Close()
		_, _ = <-done, <-done
	})
	return first.Addr().String(), second.Addr().String()
}

// answers sends all of raw and gives all that comes back, the times left out.
func answers(t testing.TB, addr string, raw []byte) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = conn.Write(raw)
	_ = conn.(*net.TCPConn).CloseWrite()
	var all bytes.Buffer
	_, _ = io.Copy(&all, conn) // a reset after an answer to what is no HTTP loses nothing that both have
	return dates.ReplaceAllString(all.String(), "Date: now\r\n")
}

var dates = regexp.MustCompile(`Date: [^\r]*\r\n`)

func TestTheLaneAnswersWhatNetHTTPAnswers(t *testing.T) {
	lane, alone := both(t)
	for head := range heads() {
		for _, raw := range []string{head, plain + head + plain, head + "0\r\n\r\n" + plain, head[:len(head)/2]} {
			if got, want := answers(t, lane, []byte(raw)), answers(t, alone, []byte(raw)); got != want {
				t.Errorf("%.200q:\n got %q\nwant %q", raw, got, want)
			}
		}
	}
}

// FuzzServer sends the same bytes to both servers, and wants the same bytes back: neither sees a request that the other
// does not see.
func FuzzServer(f *testing.F) {
	for head := range heads() {
		f.Add([]byte(head), []byte(plain))
	}
	f.Add([]byte(plain), []byte("0")) // fewer than four bytes behind a request are nothing
	lane, alone := both(f)
	f.Fuzz(func(t *testing.T, head, next []byte) {
		raw := slices.Concat(head, next)
		if len(raw) > 4*maxHead {
			return
		}
		if got, want := answers(t, lane, raw), answers(t, alone, raw); got != want {
			t.Errorf("%q:\n got %q\nwant %q", raw, got, want)
		}
	})
}
