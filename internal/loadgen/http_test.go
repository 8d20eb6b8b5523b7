package loadgen

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHTTPClientReadsEveryKindOfAnswer(t *testing.T) {
	mux := http.NewServeMux()
	long := strings.Repeat("0123456789", 5000)
	mux.HandleFunc("/plain", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "short") })
	mux.HandleFunc("/chunked", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, long)
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "end")
	})
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			_, _ = io.WriteString(w, "not asked for")
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, long)
		_ = z.Close()
	})
	mux.HandleFunc("/last", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "last")
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	c := &httpClient{addr: strings.TrimPrefix(server.URL, "http://"), timeout: 10 * time.Second}
	defer c.close()
	for range 2 { // the second time over the kept connection, or a new one behind /last
		for _, tt := range []struct {
			path   string
			status int
			want   string
		}{
			{"/plain", 200, "short"}, {"/chunked", 200, long + "end"}, {"/gzip", 200, long},
			{"/nothing", 404, "404 page not found\n"}, {"/last", 200, "last"},
		} {
			a, err := c.get(t.Context(), tt.path, true)
			if err != nil || a.status != tt.status || string(a.body) != tt.want {
				t.Errorf("%s: %d, %d bytes, %v", tt.path, a.status, len(a.body), err)
			}
			a, err = c.get(t.Context(), tt.path, false)
			if err != nil || a.status != tt.status || a.body != nil || a.size == 0 {
				t.Errorf("%s thrown away: %+v, %v", tt.path, a, err)
			}
		}
	}
}

func TestHTTPClientIsInterrupted(t *testing.T) {
	asked := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	defer server.Close()
	c := &httpClient{addr: strings.TrimPrefix(server.URL, "http://"), timeout: time.Minute}
	ctx, cancel := context.WithCancel(t.Context())
	defer context.AfterFunc(ctx, c.interrupt)()
	got := make(chan error)
	go func() {
		_, err := c.get(ctx, "/", true)
		got <- err
	}()
	<-asked
	cancel()
	if err := <-got; err == nil {
		t.Error("an interrupted exchange has no error")
	}
	if _, err := c.get(context.WithoutCancel(ctx), "/", true); !errors.Is(err, context.Canceled) {
		t.Errorf("after the interruption: %v", err)
	}
}

func TestHTTPClientRefusesWhatIsNoAnswer(t *testing.T) {
	for _, answer := range []string{
		"SSH-2.0-OpenSSH\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 200 OK\r\n\r\nuntil the end",
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 100) + "\r\n",
		fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", maxBody+1),
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, answer)
				_ = conn.Close()
			}
		}))
		c := &httpClient{addr: strings.TrimPrefix(server.URL, "http://"), timeout: 10 * time.Second}
		if a, err := c.get(t.Context(), "/", true); err == nil {
			t.Errorf("%.40q: %+v", answer, a)
		}
		c.close()
		server.Close()
	}
}
