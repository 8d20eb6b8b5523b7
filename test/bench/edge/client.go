//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// request is one to send, and what is expected back.
type request struct {
	bytes  []byte
	number uint64
	size   int  // of the body; negative is not known
	whole  bool // hold every byte of the body against what it must be; else its head, status and length
}

func newRequest(path string, number uint64, size int) request {
	return request{
		bytes:  []byte("GET " + path + " HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"),
		number: number, size: size,
	}
}

// reply is a whole answer that was as expected.
type reply struct {
	size     int
	released int64 // as the origin stamped it
	at       int64 // when its last byte was here; both in Unix nanoseconds
}

// clientConn is one viewer's connection. It has one request under way at a time.
type clientConn struct {
	fd    int
	index int
	asked request
	busy  bool
	head  []byte // of an answer's head, what came so far
	size  int    // the body's; negative while the head is incomplete
	got   int    // of the body
	stamp int64
}

// client is many connections in one loop of epoll: one goroutine, no allocation per answer. Bytes of bodies that are
// not looked at stay in the kernel (MSG_TRUNC), so that the client costs less than what it measures.
type client struct {
	port     int
	epoll    int
	conns    []*clientConn
	copies   bool // read all bytes of every body, as a real client would
	scratch  []byte
	failures map[string]int
	failed   int
}

const (
	headBuffer  = 4 << 10
	bodyBuffer  = 256 << 10
	maxHead     = 16 << 10
	maxFailures = 10_000
)

// dial opens so many connections to a port of loopback.
func dial(ctx context.Context, port, n int, copies bool) (*client, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	c := &client{
		port: port, epoll: epoll, copies: copies, scratch: make([]byte, maxObject+headBuffer), failures: make(map[string]int),
	}
	for i := range n {
		conn := &clientConn{index: i, fd: -1, head: make([]byte, 0, 1024)}
		c.conns = append(c.conns, conn)
		if err := c.connect(conn); err != nil {
			c.close()
			return nil, fmt.Errorf("connection %d of %d: %w", i+1, n, err)
		}
		if i%64 == 63 { // the server gets to accept them
			pause(ctx, 2*time.Millisecond)
		}
	}
	return c, ctx.Err()
}

func (c *client) connect(conn *clientConn) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	conn.fd = fd
	at := &unix.SockaddrInet4{Port: c.port, Addr: [4]byte{127, 0, 0, 1}}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(conn.index)}
	return errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.Connect(fd, at), unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &event))
}

func (c *client) close() {
	for _, conn := range c.conns {
		if conn.fd >= 0 {
			_ = unix.Close(conn.fd)
		}
	}
	_ = unix.Close(c.epoll)
}

// run sends each connection's first request, and gives every answer to next, which gives the connection's next
// request; one without bytes ends it. It ends at the time, or when no connection has a request. Without first it goes
// on with the requests that an earlier run left under way.
func (c *client) run(
	ctx context.Context, until time.Time, first func(int) request, next func(int, reply) request,
) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	busy := 0
	for _, conn := range c.conns {
		if first != nil {
			c.send(conn, first(conn.index))
		}
		if conn.busy {
			busy++
		}
	}
	events := make([]unix.EpollEvent, 256)
	for busy > 0 && ctx.Err() == nil && time.Now().Before(until) {
		n, err := unix.EpollWait(c.epoll, events, 20)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for i := range max(0, n) {
			conn := c.conns[events[i].Fd]
			answer, done, err := c.receive(conn)
			switch {
			case err != nil:
				if c.fail(err); c.failed > maxFailures {
					return fmt.Errorf("more than %d failures: %v", maxFailures, c.failures)
				}
				again := conn.asked
				wasBusy := conn.busy
				if err := c.reconnect(conn); err != nil {
					return fmt.Errorf("connect again after a failure (%v): %w", c.failures, err)
				}
				if wasBusy {
					c.send(conn, again)
				}
			case done:
				if c.send(conn, next(conn.index, answer)); !conn.busy {
					busy--
				}
			}
		}
	}
	return ctx.Err()
}

func (c *client) fail(err error) {
	c.failures[err.Error()]++
	c.failed++
}

func (c *client) reconnect(conn *clientConn) error {
	_ = unix.Close(conn.fd)
	conn.fd = -1
	return c.connect(conn)
}

func (c *client) send(conn *clientConn, r request) {
	conn.asked, conn.busy, conn.head, conn.size, conn.got = r, len(r.bytes) > 0, conn.head[:0], -1, 0
	if !conn.busy {
		return
	}
	n, errno := rawSend(conn.fd, r.bytes)
	if errno != 0 || n != len(r.bytes) {
		c.fail(fmt.Errorf("send: %w", errno)) // its connection is closed, and epoll tells
	}
}

// receive takes what a connection has. Done says that the answer is whole.
func (c *client) receive(conn *clientConn) (r reply, done bool, err error) {
	if !conn.busy {
		return r, false, errors.New("closed, or bytes, without a request")
	}
	if conn.size < 0 {
		if err := c.receiveHead(conn); err != nil || conn.size < 0 {
			return r, false, err
		}
	}
	for conn.got < conn.size {
		n, errno := c.receiveBody(conn)
		switch {
		case errno == unix.EAGAIN:
			return r, false, nil
		case errno != 0:
			return r, false, fmt.Errorf("receive: %w", errno)
		case n == 0:
			return r, false, errors.New("closed within a body")
		}
		if conn.asked.whole && !c.matches(conn, c.scratch[:n]) {
			return r, false, errors.New("wrong bytes in a body")
		}
		conn.got += n
	}
	return reply{size: conn.size, released: conn.stamp, at: time.Now().UnixNano()}, true, nil
}

// receiveBody reads more of the body, or has the kernel forget it.
func (c *client) receiveBody(conn *clientConn) (int, syscall.Errno) {
	more := c.scratch[:conn.size-conn.got]
	if conn.asked.whole || c.copies {
		return rawReceive(conn.fd, more[:min(len(more), bodyBuffer)], 0)
	}
	return rawReceive(conn.fd, more, unix.MSG_TRUNC)
}

func (c *client) receiveHead(conn *clientConn) error {
	n, errno := rawReceive(conn.fd, c.scratch[:headBuffer], 0)
	switch {
	case errno == unix.EAGAIN:
		return nil
	case errno != 0:
		return fmt.Errorf("receive: %w", errno)
	case n == 0:
		return errors.New("closed before an answer")
	}
	text := c.scratch[:n]
	if len(conn.head) > 0 {
		conn.head = append(conn.head, text...)
		text = conn.head
	}
	end := bytes.Index(text, []byte("\r\n\r\n"))
	// The body's own head comes with it, or is waited for: it tells what this is.
	if end < 0 || len(text) < end+4+headBytes {
		if len(conn.head) == 0 {
			conn.head = append(conn.head, text...)
		}
		if len(conn.head) > maxHead {
			return errors.New("a head without an end")
		}
		return nil
	}
	body := text[end+4:]
	size, err := parseAnswer(text[:end+2])
	if err != nil {
		return err
	}
	// A playlist's head is longer, and a playlist comes whole: with its beginning.
	number, stamp, ok := parseHead(body)
	switch {
	case size > maxObject || conn.asked.size >= 0 && size != conn.asked.size:
		return fmt.Errorf("a body of %d bytes instead of %d", size, conn.asked.size)
	case len(body) > size:
		return errors.New("more bytes than the body has")
	case !ok || number != conn.asked.number:
		return errors.New("another body than was asked for")
	}
	conn.size, conn.got, conn.stamp = size, 0, stamp
	if conn.asked.whole && !c.matches(conn, body) {
		return errors.New("wrong bytes in a body")
	}
	conn.got = len(body)
	return nil
}

// matches holds bytes at the body's present position against what they must be.
func (c *client) matches(conn *clientConn, b []byte) bool {
	at := conn.got
	if at == 0 {
		at, b = headBytes, b[headBytes:]
	}
	return bytes.Equal(b, rest(conn.asked.number, conn.size)[at-headBytes:at-headBytes+len(b)])
}

// parseAnswer reads an answer's status line and fields: it must be a 200 with a length.
func parseAnswer(head []byte) (size int, err error) {
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, errors.New("no answer of HTTP/1.1")
	}
	if string(line[9:12]) != "200" {
		return 0, fmt.Errorf("status %s", line[9:12])
	}
	size = -1
	for len(fields) > 0 {
		line, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		const name = "content-length:"
		if len(line) > len(name) && (line[0]|0x20) == 'c' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			if size, err = strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))); err != nil || size < 0 {
				return 0, errors.New("bad Content-Length")
			}
		}
	}
	if size < 0 {
		return 0, errors.New("no Content-Length")
	}
	return size, nil
}

// rawReceive and rawSend never block, so that the scheduler need not know of them.
func rawReceive(fd int, b []byte, flags int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), uintptr(flags|unix.MSG_DONTWAIT), 0, 0)
	return int(n), errno
}

func rawSend(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
