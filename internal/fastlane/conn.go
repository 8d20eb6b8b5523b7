package fastlane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// phase is what a connection is at. The sweeper, and Shutdown, may take one from idle or heading to over; whatever else
// is its own goroutine's to say.
type phase uint64

const (
	idle      phase = iota // no byte of a request
	heading                // some of its head
	busy                   // the Handler has it
	waiting                // it waits for somebody else
	waitingOn              // the same, and the next request is here already
	over
	phaseBits = 8
)

// conn is one connection in the lane. Its fields are its goroutine's, but for state and presence.
type conn struct {
	server *Server
	outer  net.Conn // what was accepted: tcp, or an OverTCP
	tcp    *net.TCPConn
	raw    syscall.RawConn
	x      Exchange
	// state is the phase, and above phaseBits the server's tick at which it began.
	state    atomic.Uint64
	presence atomic.Pointer[presence]

	buf        *[maxHead]byte // nil while nothing is in it
	start, end int            // of what was read and not answered
	whole      int            // length of the head that is being answered
	head       uint64         // state since the next head's first byte; 0: that has not come

	readable, writable func(fd uintptr) bool
	got                int
	err                error // of the last read or send

	sending []slab.Piece
	vector  vector
	armed   bool // there is a write deadline
	taken   int  // bytes since it was set
	peeked  bool
	peek    func(fd uintptr)
}

// presence is a viewer's, as a context.
type presence struct {
	gone chan struct{}
	left atomic.Bool
}

func (p *presence) leave() {
	if p.left.CompareAndSwap(false, true) {
		close(p.gone)
	}
}

// Deadline implements context.Context.
func (p *presence) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (p *presence) Done() <-chan struct{} { return p.gone }

// Err implements context.Context.
func (p *presence) Err() error {
	if p.left.Load() {
		return context.Canceled
	}
	return nil
}

// Value implements context.Context.
func (p *presence) Value(any) any { return nil }

func newConn(s *Server, outer net.Conn, tcp *net.TCPConn, raw syscall.RawConn) *conn {
	c := &conn{server: s, outer: outer, tcp: tcp, raw: raw}
	c.x.conn = c
	c.readable, c.writable, c.peek = c.read, c.write, c.look
	c.state.Store(s.mark(idle)) // from now on, though its goroutine may come to run late
	return c
}

func remoteOf(nc net.Conn) netip.AddrPort {
	if addr, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return addr.AddrPort()
	}
	return netip.AddrPort{}
}

// serve answers requests until the connection ends or is handed over.
func (c *conn) serve() {
	why := taken
	defer func() {
		if fault := recover(); fault != nil {
			c.server.logger.Error("lane panicked",
				"remote", c.outer.RemoteAddr().String(), "err", fault, "stack", string(debug.Stack()))
			why = taken
		}
		c.leave(why)
	}()
	remote := remoteOf(c.outer)
	for again := false; ; again = true {
		var ok bool
		if why, ok = c.next(again); !ok || why != taken {
			return
		}
		if c.x.remote = remote; !c.server.takes(c.x.Path()) {
			why = reasonPath
			return
		}
		if !c.answer() {
			return
		}
	}
}

// next waits for a whole head. Not ok is the connection's end. Behind a first request, nothing is made of less than
// four bytes, as net/http does it, for there were clients that send a line's end too much.
func (c *conn) next(again bool) (why Reason, ok bool) {
	least := 1
	if again {
		least = 4
	}
	scanned := 0
	c.head = 0
	for {
		if c.end-c.start >= least {
			unread := c.buf[c.start:c.end]
			n, next, ok := headEnd(unread, scanned)
			switch {
			case !mayBegin(unread):
				return reasonMethod, true
			case !ok:
				return reasonLine, true
			case n > 0:
				c.whole = n
				return c.x.parse(unsafe.String(&unread[0], n)), true
			case len(unread) == maxHead:
				return reasonSize, true
			}
			scanned = next
		}
		if c.start > 0 {
			c.start, c.end = 0, copy(c.buf[:], c.buf[c.start:c.end])
		}
		if !c.fill(c.end == 0) {
			if c.end-c.start >= least && c.err == nil && c.got == 0 { // its end came in the middle of a head
				return reasonLine, true
			}
			return taken, false
		}
	}
}

// fill waits for more bytes.
func (c *conn) fill(fresh bool) bool {
	was := c.head
	switch {
	case !fresh && was == 0: // the head's time begins with its first byte, and no other begins it anew
		was = c.server.mark(heading)
		c.head = was
	case fresh:
		if c.server.draining.Load() {
			return false
		}
		was = c.server.mark(idle)
	}
	c.state.Store(was)
	if err := c.raw.Read(c.readable); err != nil {
		c.err = err
	}
	if c.err != nil || c.got == 0 {
		return false
	}
	c.end += c.got
	return c.state.CompareAndSwap(was, c.server.mark(busy)) // the sweeper may have been first
}

// answer has the Handler answer, and says whether the connection goes on.
func (c *conn) answer() bool {
	c.server.count.requests.Add(1)
	err := c.server.handler.ServeLane(&c.x)
	ok := err == nil && c.x.ended && !c.x.close
	c.x.reset()
	if c.start += c.whole; c.start == c.end {
		c.start, c.end = 0, 0
	}
	c.whole = 0
	return ok
}

// wait gives the viewer's presence, and has the sweeper watch it.
func (c *conn) wait() context.Context {
	p := c.presence.Load()
	if p == nil {
		p = &presence{gone: make(chan struct{})}
		c.presence.Store(p)
		if c.server.closed.Load() {
			p.leave()
		}
	}
	if phaseOf(c.state.Load()) == busy {
		at := waiting
		if c.start+c.whole < c.end {
			at = waitingOn
		}
		c.state.Store(c.server.mark(at))
	}
	return p
}

// loose says that the buffer has nothing but the request that is being answered.
func (c *conn) loose() bool { return c.buf != nil && c.start+c.whole == c.end }

// release gives the buffer back.
func (c *conn) release() {
	if c.buf != nil {
		c.server.buffers.Put(c.buf)
		c.buf, c.start, c.end, c.whole = nil, 0, 0, 0
	}
}

// leave ends the connection's time in the lane.
func (c *conn) leave(why Reason) {
	if p := c.presence.Load(); p != nil {
		p.leave()
	}
	if why != taken {
		c.server.count.handed[why].Add(1)
		h := &handed{TCPConn: c.tcp, outer: c.outer, unread: slices.Clone(c.buf[c.start:c.end])}
		c.release()
		c.server.forget(c)
		c.server.lobby.offer(h)
		return
	}
	c.release()
	_ = c.outer.Close() // what the other end does not know yet it will find out
	c.server.forget(c)
}

// send sends all of the pieces. Their slice is used up.
func (c *conn) send(pieces []slab.Piece) error {
	c.sending, c.err = pieces, nil
	err := c.raw.Write(c.writable)
	c.sending = nil
	clear(c.vector)
	if err == nil {
		err = c.err
	}
	if c.armed && err == nil {
		c.armed = false
		err = c.tcp.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) { // else the viewer went
			c.server.count.cut[cutWrite].Add(1)
		}
		return fmt.Errorf("send to %s: %w", c.outer.RemoteAddr(), err)
	}
	return nil
}

// writeSpan is how many bytes a viewer must take within WriteTimeout.
const writeSpan = 256 << 10

// full sets the deadline before a wait for a viewer who reads too slowly.
func (c *conn) full() {
	if c.armed && c.taken < writeSpan {
		return
	}
	c.armed, c.taken = true, 0
	if err := c.tcp.SetWriteDeadline(time.Now().Add(c.server.cfg.WriteTimeout)); err != nil {
		c.err = err
	}
}

// sent takes n bytes off what is being sent.
func (c *conn) sent(n int) {
	c.taken += n
	for n > 0 {
		first := &c.sending[0]
		if n < len(first.Data) {
			first.Data = first.Data[n:]
			return
		}
		n -= len(first.Data)
		c.sending = c.sending[1:]
	}
}
