package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// tunnelBacklog bounds the answers that wait for a client's next request, in bytes.
	tunnelBacklog = 64 << 10
	// tunnelAhead is how many requests may be under way at once, and how far one may be ahead of the one that is due.
	tunnelAhead = 8
	// tunnelAheadWait is how long a request that came too early waits for those before it.
	tunnelAheadWait = 5 * time.Second
	// tunnelSettle is how long a request waits for what the session says to it.
	tunnelSettle = 500 * time.Millisecond
)

// errGoodbye is the end of a connection whose client said, below RTMP, that it closes it.
var errGoodbye = errors.New("closed by the client")

// tunnelConn is a net.Conn whose bytes travel in HTTP requests and answers. What a client sends is lent to the reader
// from the request's own buffer, so that a request lasts until it was read: that is the back-pressure. What is written
// waits for the next answer in a buffer; when that is full, writing fails at once, as for a peer that does not read.
type tunnelConn struct {
	id            string
	local, remote net.Addr
	reaper        *time.Timer // ends it unless a request comes

	mu struct {
		sync.Mutex
		changed chan struct{} // closed and replaced with every change

		in     []byte // lent by feed
		ended  error  // what Read gives behind in
		readBy time.Time
		hungry bool // Read waits: all that came before was obeyed
		out    []byte
		begun  bool // its handler runs
		closed bool

		requests int    // under way
		next     int64  // number of the request that is due; -1 before the first
		busy     bool   // it is being served
		last     []byte // the answer to the one before it, for a client that must ask again
		empty    int    // answers without data since the last one with
	}
}

func newTunnelConn(id string, local, remote net.Addr) *tunnelConn {
	c := &tunnelConn{id: id, local: local, remote: remote}
	c.mu.changed = make(chan struct{})
	c.mu.next = -1
	return c
}

// wakeLocked tells all who wait that something changed. The caller holds mu.
func (c *tunnelConn) wakeLocked() {
	close(c.mu.changed)
	c.mu.changed = make(chan struct{})
}

// await blocks until done, which is called with mu held, says so. It says whether done did: else ctx ended, or the
// time came that is not zero.
func (c *tunnelConn) await(ctx context.Context, by time.Time, done func() bool) bool {
	var timeout <-chan time.Time
	if !by.IsZero() {
		timer := time.NewTimer(time.Until(by))
		defer timer.Stop()
		timeout = timer.C
	}
	for {
		c.mu.Lock()
		ok, changed := done(), c.mu.changed
		c.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		case <-timeout:
			return false
		}
	}
}

// Read implements net.Conn.
func (c *tunnelConn) Read(p []byte) (n int, err error) {
	for len(p) > 0 {
		c.mu.Lock()
		n, err = c.readLocked(p)
		changed, by := c.mu.changed, c.mu.readBy
		c.mu.Unlock()
		if n > 0 || err != nil {
			return n, err
		}
		waitFor(changed, by)
	}
	return 0, nil
}

// readLocked gives what there is; nothing and no error is to wait.
func (c *tunnelConn) readLocked(p []byte) (int, error) {
	switch {
	case c.mu.closed:
		return 0, net.ErrClosed
	case !c.mu.readBy.IsZero() && !time.Now().Before(c.mu.readBy):
		return 0, os.ErrDeadlineExceeded
	case len(c.mu.in) > 0:
		n := copy(p, c.mu.in)
		c.mu.in = c.mu.in[n:]
		c.mu.hungry = false
		if len(c.mu.in) == 0 {
			c.wakeLocked()
		}
		return n, nil
	case c.mu.ended != nil:
		return 0, c.mu.ended
	case !c.mu.hungry:
		c.mu.hungry = true
		c.wakeLocked()
	}
	return 0, nil
}

func waitFor(changed <-chan struct{}, by time.Time) {
	if by.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(by))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

// Write implements net.Conn. It never blocks, hence no write deadline.
func (c *tunnelConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return 0, net.ErrClosed
	}
	if len(c.mu.out)+len(p) > tunnelBacklog {
		return 0, fmt.Errorf("the client fetches no answers: %w", os.ErrDeadlineExceeded)
	}
	c.mu.out = append(c.mu.out, p...)
	return len(p), nil
}

// Close implements net.Conn. What was written can still be fetched.
func (c *tunnelConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.closed {
		c.mu.closed, c.mu.in = true, nil
		c.wakeLocked()
	}
	return nil
}

// LocalAddr implements net.Conn: the HTTP server's address.
func (c *tunnelConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn: where the request that opened the tunnel came from.
func (c *tunnelConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *tunnelConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline implements net.Conn.
func (c *tunnelConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.readBy = t
	c.wakeLocked()
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *tunnelConn) SetWriteDeadline(time.Time) error { return nil }

// begin says that the handler runs.
func (c *tunnelConn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.begun = true
	c.wakeLocked()
}

// enter counts a request and holds the reaper; leave lets it go again.
func (c *tunnelConn) enter() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.requests > tunnelAhead {
		return fmt.Errorf("%w: more than %d requests at once", errTunnelOrder, tunnelAhead)
	}
	c.mu.requests++
	c.reaper.Stop()
	return nil
}

func (c *tunnelConn) leave(idle time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.requests--; c.mu.requests == 0 {
		c.reaper.Reset(idle)
	}
}

// turn waits until a request is due. It gives the answer to a request that comes again because its answer was lost.
// Unless there was an error or an answer, the caller must call done.
func (c *tunnelConn) turn(ctx context.Context, sequence int64) (again []byte, err error) {
	outOf := func() error {
		return fmt.Errorf("%w: request %d where %d is due", errTunnelOrder, sequence, c.mu.next)
	}
	if !c.await(ctx, time.Now().Add(tunnelAheadWait), func() bool {
		if c.mu.next < 0 && sequence <= 1 {
			c.mu.next = sequence // clients differ in where they begin
		}
		switch {
		case sequence < c.mu.next && (sequence != c.mu.next-1 || c.mu.last == nil),
			sequence > max(c.mu.next, 0)+tunnelAhead:
			err = outOf()
		case sequence < c.mu.next:
			again = c.mu.last
		case sequence > c.mu.next, c.mu.busy:
			return false
		default:
			c.mu.busy = true
		}
		return true
	}) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return nil, outOf()
	}
	return again, err
}

// done ends a turn with the request's answer.
func (c *tunnelConn) done(answer []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.busy, c.mu.last = false, answer
	c.mu.next++
	c.wakeLocked()
}

// feed gives the reader what came and returns when it was taken.
func (c *tunnelConn) feed(ctx context.Context, p []byte) error {
	c.mu.Lock()
	if c.mu.closed || c.mu.ended != nil {
		c.mu.Unlock()
		return errTunnelEnded
	}
	c.mu.in = p
	c.wakeLocked()
	c.mu.Unlock()
	taken := c.await(ctx, time.Time{}, func() bool { return len(c.mu.in) == 0 })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.in = nil // p is the caller's again
	switch {
	case c.mu.closed:
		return errTunnelEnded
	case !taken:
		return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, context.Cause(ctx))
	}
	return nil
}

// settle waits for a moment until the reader has obeyed all that came.
func (c *tunnelConn) settle(ctx context.Context) {
	c.await(ctx, time.Now().Add(tunnelSettle), func() bool { return c.mu.hungry || c.mu.closed })
}

// take gives what is to be sent, behind the byte that tells the client how often to ask: the more answers had nothing
// to say, the less often. It ends with errTunnelEnded when there is nothing any more.
func (c *tunnelConn) take() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.mu.out) > 0 {
		c.mu.empty = 0
		answer := append([]byte{1}, c.mu.out...)
		c.mu.out = nil
		c.wakeLocked()
		return answer, nil
	}
	if c.mu.closed {
		return nil, errTunnelEnded
	}
	intervals := [...]byte{0x01, 0x03, 0x05, 0x09, 0x11, 0x21} // as Flash knows them; the last is about half a second
	c.mu.empty++
	return []byte{intervals[min(c.mu.empty/10, len(intervals)-1)]}, nil
}

// end ends the input with an error for Read, behind what has come.
func (c *tunnelConn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.ended == nil {
		c.mu.ended, c.mu.hungry = err, false
		c.wakeLocked()
	}
}

// abandon ends a tunnel whose client is gone: nobody fetches what was written.
func (c *tunnelConn) abandon() {
	c.end(io.ErrUnexpectedEOF)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.out = nil
	c.wakeLocked()
}

// drain closes the tunnel, and waits for the client to fetch the last words.
func (c *tunnelConn) drain() {
	_ = c.Close()
	c.await(context.Background(), time.Now().Add(farewellTimeout), func() bool { return len(c.mu.out) == 0 })
	c.reaper.Stop()
}
