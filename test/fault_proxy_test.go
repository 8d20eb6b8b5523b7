package test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What a faultProxy does with connections.
type proxyMode int

const (
	proxyPass   proxyMode = iota
	proxyRefuse           // nobody listens; what is established goes on
	proxyHole             // connections are taken, and nothing passes: neither on them nor on established ones
)

// faultProxy stands between two parts and passes TCP on, or does not. It changes while connections are established.
//
// Each direction of a connection has a reader and a writer with a bounded queue between them, so that a delay costs no
// throughput. What is held or delayed when a connection is cut is lost, as on a line.
type faultProxy struct {
	tb      testing.TB
	address string // where it listens
	to      string

	accepted atomic.Int64 // connections
	failed   atomic.Int64 // of them: those that the other side did not take
	cuts     atomic.Int64 // that were cut by a fault
	sent     atomic.Int64 // bytes to the other side
	received atomic.Int64

	closing context.CancelFunc
	ctx     context.Context
	wg      sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	line     proxyLine
	changed  chan struct{} // closed and replaced with every change of line
	links    map[*proxyLink]struct{}
}

// open is the number of connections that it carries now.
func (p *faultProxy) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// proxyLine is how the line is.
type proxyLine struct {
	mode  proxyMode
	delay time.Duration // of every byte, each way
	rate  int64         // bytes a second of a connection, each way; 0 is no limit
}

// proxyLink is one connection and its other half.
type proxyLink struct {
	near, far net.Conn
	once      sync.Once
	gone      chan struct{}
}

// newFaultProxy passes everything on to the address until told otherwise.
func newFaultProxy(tb testing.TB, to string) *faultProxy {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &faultProxy{
		tb: tb, address: steadyAddress(tb), to: to, ctx: ctx, closing: cancel,
		changed: make(chan struct{}), links: map[*proxyLink]struct{}{},
	}
	if err := p.listen(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.close)
	return p
}

// set changes what happens from now on.
func (p *faultProxy) set(line proxyLine) {
	p.mu.Lock()
	old := p.line
	p.line = line
	close(p.changed)
	p.changed = make(chan struct{})
	listener := p.listener
	if line.mode == proxyRefuse {
		p.listener = nil
	}
	p.mu.Unlock()
	var err error
	switch {
	case line.mode == proxyRefuse && listener != nil:
		err = listener.Close()
	case line.mode != proxyRefuse && old.mode == proxyRefuse:
		err = p.listen()
	}
	if err != nil {
		p.tb.Errorf("proxy to %s: %v", p.to, err)
	}
}

func (p *faultProxy) pass() { p.set(proxyLine{}) }

// refuse is the other side's process gone: connections end at once, and no new one is taken.
func (p *faultProxy) refuse() {
	p.set(proxyLine{mode: proxyRefuse})
	p.cut()
}

// hole is a partition: packets go nowhere, and nobody is told.
func (p *faultProxy) hole() { p.set(proxyLine{mode: proxyHole}) }

// cut resets every established connection.
func (p *faultProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		p.cuts.Add(1)
		l.end(true)
	}
}

// established counts connections that are open.
func (p *faultProxy) established() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// close ends all; no goroutine is left.
func (p *faultProxy) close() {
	p.closing()
	p.set(proxyLine{mode: proxyRefuse})
	p.cut()
	p.wg.Wait()
}

func (p *faultProxy) listen() error {
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.listener = l
	p.mu.Unlock()
	p.wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			p.accepted.Add(1)
			p.wg.Go(func() { p.serve(near) })
		}
	})
	return nil
}

// serve connects to the other side, once the line is there, and passes on until either side ends.
func (p *faultProxy) serve(near net.Conn) {
	link := &proxyLink{near: near, gone: make(chan struct{})}
	p.mu.Lock()
	p.links[link] = struct{}{}
	p.mu.Unlock()
	defer func() {
		link.end(false)
		p.mu.Lock()
		delete(p.links, link)
		p.mu.Unlock()
	}()
	if p.ctx.Err() != nil || !p.await(link) {
		return
	}
	far, err := new(net.Dialer).DialContext(p.ctx, "tcp", p.to)
	if err != nil {
		p.failed.Add(1)
		link.end(true)
		return
	}
	p.mu.Lock()
	link.far = far
	p.mu.Unlock()
	select {
	case <-link.gone: // cut while it was dialled
		_ = far.Close()
		return
	default:
	}
	var both sync.WaitGroup
	both.Go(func() { p.pump(link, far, near, &p.sent) })
	both.Go(func() { p.pump(link, near, far, &p.received) })
	both.Wait()
}

// end closes both halves: with a reset, or as they are.
func (l *proxyLink) end(reset bool) {
	l.once.Do(func() {
		close(l.gone)
		for _, conn := range []net.Conn{l.near, l.far} {
			if conn == nil {
				continue
			}
			if reset {
				_ = conn.(*net.TCPConn).SetLinger(0)
			}
			_ = conn.Close()
		}
	})
}

// await waits while the line is a hole, and says whether the connection is still there.
func (p *faultProxy) await(l *proxyLink) bool {
	for {
		p.mu.Lock()
		line, changed := p.line, p.changed
		p.mu.Unlock()
		select {
		case <-l.gone:
			return false
		default:
		}
		if line.mode != proxyHole {
			return true
		}
		select {
		case <-l.gone:
			return false
		case <-changed:
		}
	}
}

// piece is bytes on the line; none is the end of the direction.
type piece struct {
	data []byte
	due  time.Time
}

const proxyQueue, proxyPiece = 64, 32 << 10

// pump passes one direction on.
func (p *faultProxy) pump(l *proxyLink, to, from net.Conn, count *atomic.Int64) {
	queue := make(chan piece, proxyQueue)
	p.wg.Go(func() {
		defer close(queue)
		for {
			buf := make([]byte, proxyPiece)
			n, err := from.Read(buf)
			p.mu.Lock()
			delay := p.line.delay
			p.mu.Unlock()
			if n > 0 {
				select {
				case queue <- piece{buf[:n], time.Now().Add(delay)}:
				case <-l.gone:
					return
				}
			}
			if err != nil {
				if !errors.Is(err, net.ErrClosed) && !isEOF(err) {
					l.end(true)
				}
				return
			}
		}
	})
	for next := range queue {
		if !p.rest(l, time.Until(next.due)) || !p.await(l) {
			return
		}
		if _, err := to.Write(next.data); err != nil {
			l.end(true)
			return
		}
		count.Add(int64(len(next.data)))
		p.mu.Lock()
		rate := p.line.rate
		p.mu.Unlock()
		if rate > 0 && !p.rest(l, time.Duration(len(next.data))*time.Second/time.Duration(rate)) {
			return
		}
	}
	if p.await(l) {
		_ = to.(*net.TCPConn).CloseWrite()
	}
}

// rest waits, and says whether the connection is still there.
func (p *faultProxy) rest(l *proxyLink, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.gone:
		return false
	}
}
