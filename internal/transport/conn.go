package transport

import (
	"net"
	"sync"
)

// conn holds a request's first byte back until what came before it was read.
type conn struct {
	net.Conn

	mu struct {
		sync.Mutex
		free    sync.Cond // reading or closed became true
		reading bool      // somebody waits for what comes, so all that came was taken
		closed  bool
		begun   uint64 // requests
		sent    uint64 // of these, at least in part
	}
}

func newConn(c net.Conn) *conn {
	wrapped := &conn{Conn: c}
	wrapped.mu.free.L = &wrapped.mu
	return wrapped
}

// begin says that a request follows, and gives its number.
func (c *conn) begin() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.begun++
	return c.mu.begun
}

// sent says whether a request is on its way, at least in part.
func (c *conn) sent(number uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.sent >= number
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	c.reads(true)
	defer c.reads(false)
	return c.Conn.Read(p)
}

func (c *conn) reads(now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.reading = now
	if now {
		c.mu.free.Signal()
	}
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.await()
	return c.Conn.Write(p)
}

// await holds a request's first write back while there may be a rest.
func (c *conn) await() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.mu.sent < c.mu.begun && !c.mu.reading && !c.mu.closed {
		c.mu.free.Wait()
	}
	if c.mu.reading && !c.mu.closed {
		c.mu.sent = c.mu.begun
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.mu.Lock()
	c.mu.closed = true
	c.mu.free.Broadcast()
	c.mu.Unlock()
	return c.Conn.Close()
}
