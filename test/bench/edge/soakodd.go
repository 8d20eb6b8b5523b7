//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// dialOdd opens a connection that a client treats as it likes.
func (l *soakLoad) dialOdd(ctx context.Context, kind string) *net.TCPConn {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(l.port)))
	if err != nil {
		if ctx.Err() == nil {
			l.fail(kind, errors.New("connection refused"))
			pause(ctx, time.Second)
		}
		return nil
	}
	return conn.(*net.TCPConn)
}

func ask1(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: bench.example\r\n\r\n" }

// slow reads one large object at some hundred kilobytes a second, and holds its sum against what it must be.
func (l *soakLoad) slow(ctx context.Context, random *rand.Rand) {
	conn := l.dialOdd(ctx, "slow")
	if conn == nil {
		return
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_ = conn.SetReadBuffer(16 << 10)
	n := 1 + random.IntN(8)
	number := uint64(2*classOf + n)
	if _, err := io.WriteString(conn, ask1(staticPath(2, n))); err != nil {
		l.fail("slow", errors.New("connection lost at the request"))
		return
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 4<<10), nil)
	if err != nil {
		if ctx.Err() == nil {
			l.fail("slow", errors.New("no answer"))
		}
		return
	}
	defer func() { _ = resp.Body.Close() }()
	bytesRead, sum, buf := l.count("bytes read slowly"), crc32.NewIEEE(), make([]byte, 8<<10)
	want := make([]byte, headBytes)
	putHead(want, number, 0)
	want = append(want, rest(number, maxObject)...)
	got := 0
	for time.Now().Before(l.until) {
		n, err := io.ReadFull(resp.Body, buf)
		_, _ = sum.Write(buf[:n]) // never fails
		got += n
		bytesRead.Add(int64(n))
		if err != nil {
			if got == maxObject && sum.Sum32() == crc32.ChecksumIEEE(want) {
				l.count("objects read slowly to their end").Add(1)
			} else if ctx.Err() == nil {
				l.fail("slow", fmt.Errorf("status %d, and not the bytes that it should have", resp.StatusCode))
			}
			return
		}
		pause(ctx, time.Duration(10+random.IntN(60))*time.Millisecond)
	}
}

// broken does what no client should.
func (l *soakLoad) broken(ctx context.Context, random *rand.Rand) {
	conn := l.dialOdd(ctx, "broken")
	if conn == nil {
		return
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	l.count("broken clients").Add(1)
	large, garbage := staticPath(2, 1+random.IntN(8)), make([]byte, 1+random.IntN(2000))
	for i := range garbage {
		garbage[i] = byte(random.Uint32())
	}
	reset := func() { _ = conn.SetLinger(0) } // what close then sends
	say := func(text string) { _, _ = io.WriteString(conn, text) }
	hear := func(n int64) { _, _ = io.CopyN(io.Discard, conn, n) }
	switch random.IntN(9) {
	case 0: // half a request, and a silent end
		say(ask1(large)[:10+random.IntN(40)])
		pause(ctx, time.Duration(random.IntN(1500))*time.Millisecond)
	case 1: // noise
		_, _ = conn.Write(garbage)
		hear(1 << 10)
	case 2: // a reset within the body
		say(ask1(large))
		hear(1 + int64(random.IntN(300_000)))
		reset()
	case 3: // a reset at once
		say(ask1(large))
		reset()
	case 4: // a head without an end
		say("GET " + large + " HTTP/1.1\r\nHost: bench.example\r\n")
		for range 300 {
			if _, err := io.WriteString(conn, "X-Long: "+strings.Repeat("a", 500)+"\r\n"); err != nil {
				break
			}
		}
		hear(1 << 10)
	case 5: // a body where none belongs, and a second request in it
		say("GET " + large + " HTTP/1.1\r\nHost: bench.example\r\nContent-Length: 40\r\n" +
			"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n")
		hear(1 << 10)
	case 6: // requests one behind the other, and away
		say(strings.Repeat(ask1(large), 5))
		hear(100_000)
		reset()
	case 7: // what is not there, and what is no path
		say("GET /" + strings.Repeat("%2e./", 30) + " HTTP/1.1\r\nHost: bench.example\r\n\r\nBREW / HTTP/9.9\r\n\r\n")
		hear(1 << 10)
	case 8: // byte by byte
		for _, c := range []byte(ask1(staticPath(0, 1))) {
			if _, err := conn.Write([]byte{c}); err != nil {
				return
			}
			pause(ctx, time.Millisecond)
		}
		head := make([]byte, 15)
		_, err := io.ReadFull(conn, head)
		if ctx.Err() == nil && (err != nil || !bytes.Equal(head, []byte("HTTP/1.1 200 OK"))) {
			l.fail("byte by byte", errors.New("no 200"))
		}
	}
	pause(ctx, time.Duration(random.IntN(20))*time.Millisecond)
}

// leave asks for a part that is not there yet, and goes before it comes, or just then.
func (l *soakLoad) leave(ctx context.Context, random *rand.Rand) {
	conn := l.dialOdd(ctx, "leaving")
	if conn == nil {
		return
	}
	defer func() { _ = conn.Close() }()
	ahead := l.ticks - 100 - int(time.Until(l.until)/tick) + 1 + random.IntN(3)
	_, _ = io.WriteString(conn, ask1(livePath(max(0, min(l.ticks-1, ahead)))))
	pause(ctx, time.Duration(random.IntN(250))*time.Millisecond)
	if random.IntN(2) == 0 {
		_ = conn.SetLinger(0)
	}
	l.count("clients that left").Add(1)
}
