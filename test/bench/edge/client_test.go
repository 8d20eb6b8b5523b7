//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serveAnswers answers every request on a port of loopback, until the test is over.
func serveAnswers(t *testing.T, answer func(path string) string) int {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				in := bufio.NewReader(conn)
				for {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					if _, err := io.WriteString(conn, answer(req.URL.Path)); err != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// goodAnswer is what a server should give for an object that is always there.
func goodAnswer(path string) string {
	number, size, _, _ := parseMedia(path)
	body := make([]byte, size)
	putHead(body, number, 0)
	copy(body[headBytes:], rest(number, size))
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: %d\r\n\r\n%s", size, body)
}

func TestClientHoldsAnswersAgainstWhatTheyMustBe(t *testing.T) {
	changed := func(at int) func(string) string {
		return func(path string) string {
			b := []byte(goodAnswer(path))
			b[len(b)-at]++
			return string(b)
		}
	}
	other := func(path string) string { return goodAnswer(staticPath(1, 7)) }
	tests := []struct {
		name   string
		answer func(path string) string
		want   string // of the failure; empty is none
	}{
		{"good", goodAnswer, ""},
		{"last byte changed", changed(1), "wrong bytes in a body"},
		{"byte of the first read changed", changed(60<<10 - 100), "wrong bytes in a body"},
		{"another object", other, "another body than was asked for"},
		{"status", func(string) string { return "HTTP/1.1 503 No\r\nContent-Length: 20\r\n\r\n12345678901234567890" }, "status 503"},
		{"no length", func(string) string { return "HTTP/1.1 200 OK\r\n\r\n12345678901234567890" }, "no Content-Length"},
		{"length", func(path string) string {
			return strings.Replace(goodAnswer(path), "length: 61440", "length: 61439", 1)
		}, "a body of 61439 bytes instead of 61440"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var first atomic.Bool // the first answer is the one that is tested
			port := serveAnswers(t, func(path string) string {
				if first.CompareAndSwap(false, true) {
					return test.answer(path)
				}
				return goodAnswer(path)
			})
			c, err := dial(t.Context(), port, 2, false)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			answers := 0
			wanted := newRequest(staticPath(1, 3), classOf+3, sizes[1])
			wanted.whole = true
			until := time.Now().Add(2 * time.Minute)
			err = c.run(t.Context(), until, func(int) request { return wanted }, func(int, reply) request {
				if answers++; answers >= 200 {
					return request{}
				}
				following := wanted
				following.whole = answers%2 == 0
				return following
			})
			if err != nil || answers < 200 {
				t.Fatalf("%d answers, failures %v: %v", answers, c.failures, err)
			}
			if test.want == "" && c.failed > 0 || test.want != "" && (c.failures[test.want] != 1 || c.failed != 1) {
				t.Fatalf("failures %v, want %q", c.failures, test.want)
			}
		})
	}
}
