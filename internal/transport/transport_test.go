package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"
)

// upstream answers with the path, and /evil with an answer too many in the same write.
func upstream(t *testing.T, l net.Listener) {
	t.Helper()
	var running sync.WaitGroup
	serve := func(c net.Conn) {
		defer func() { _ = c.Close() }()
		for in := bufio.NewReader(c); ; {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			said := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(r.URL.Path), r.URL.Path)
			if r.URL.Path == "/evil" {
				said = "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
			}
			if _, err := io.WriteString(c, said); err != nil {
				return
			}
		}
	}
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
}

type answer struct {
	text string
	err  error
}

func ask(ctx context.Context, rt http.RoundTripper, method, url string, body io.Reader) answer {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return answer{err: err}
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return answer{string(text), err}
}

// askBetween asks for /evil, and for /good just when the connection is back in the pool and not looked at yet.
func askBetween(t *testing.T, rt http.RoundTripper, base, method string, body io.Reader) (first, second answer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	then := make(chan answer, 1)
	between := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{PutIdleConn: func(error) {
		taken := make(chan struct{}, 8)
		go func() {
			traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
				GotConn: func(httptrace.GotConnInfo) { taken <- struct{}{} },
			})
			then <- ask(traced, rt, method, base+"/good", body)
		}()
		<-taken
	}})
	first = ask(between, rt, http.MethodGet, base+"/evil", nil)
	return first, <-then
}

func good(t *testing.T, rt http.RoundTripper, base string) {
	t.Helper()
	first, second := askBetween(t, rt, base, http.MethodGet, nil)
	if first != (answer{}) || second != (answer{text: "/good"}) {
		t.Fatalf("/evil: %q, %v; then /good: %q, %v", first.text, first.err, second.text, second.err)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestARestIsNobodysAnswer(t *testing.T) {
	t.Parallel()
	l := listen(t)
	upstream(t, l)
	plain := new(http.Transport)
	t.Cleanup(plain.CloseIdleConnections)
	base := "http://" + l.Addr().String()
	poisoned := 0
	for range 200 { // it is a race between two goroutines of net/http
		if first, got := askBetween(t, plain, base, http.MethodGet, nil); first.text == "poison" || got.text == "poison" {
			poisoned++
		}
	}
	t.Logf("net/http's own transport was poisoned %d times of 200", poisoned)
	guarded := New(new(http.Transport))
	t.Cleanup(guarded.CloseIdleConnections)
	for range 200 {
		good(t, guarded, base)
	}
}

func TestARestIsNobodysAnswerOverTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	l := tls.NewListener(listen(t), &tls.Config{Certificates: server.TLS.Certificates})
	upstream(t, l)
	config := server.Client().Transport.(*http.Transport).TLSClientConfig
	guarded := New(&http.Transport{TLSClientConfig: config, TLSHandshakeTimeout: time.Minute})
	t.Cleanup(guarded.CloseIdleConnections)
	for range 50 {
		good(t, guarded, "https://"+l.Addr().String())
	}
	other := New(new(http.Transport))
	if got := ask(t.Context(), other, http.MethodGet, "https://"+l.Addr().String()+"/good", nil); got.err == nil {
		t.Error("a certificate that nobody signed is taken")
	}
}

// What has a body is not sent twice, and never answered by a rest: it fails, by us or by net/http that saw the rest first.
func TestARestIsNobodysAnswerWithABody(t *testing.T) {
	t.Parallel()
	l := listen(t)
	upstream(t, l)
	guarded := New(new(http.Transport))
	t.Cleanup(guarded.CloseIdleConnections)
	base := "http://" + l.Addr().String()
	for range 50 {
		_, got := askBetween(t, guarded, base, http.MethodPost, io.MultiReader(strings.NewReader("hello")))
		if got.text != "/good" && got.err == nil {
			t.Fatalf("%q, %v", got.text, got.err)
		}
	}
}

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	l := listen(t)
	upstream(t, l)
	guarded := New(new(http.Transport))
	t.Cleanup(guarded.CloseIdleConnections)
	opened := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if !info.Reused {
			opened++
		}
	}})
	for i := range 100 {
		path := fmt.Sprintf("/%d", i)
		if got := ask(ctx, guarded, http.MethodPut, "http://"+l.Addr().String()+path, strings.NewReader(path)); got.text != path {
			t.Fatalf("%s: %q, %v", path, got.text, got.err)
		}
	}
	if opened != 1 {
		t.Errorf("%d connections for requests one after the other", opened)
	}
}

// A request that waits for its turn ends with its context, and leaves no goroutine behind.
func TestAConnectionIsClosedWhileARequestWaits(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	defer func() { _ = b.Close() }()
	c := newConn(a)
	number := c.begin()
	ended := make(chan error, 1)
	go func() {
		_, err := c.Write([]byte("GET"))
		ended <- err
	}()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, io.ErrClosedPipe) || c.sent(number) {
		t.Errorf("%v, sent %v", err, c.sent(number))
	}
}
