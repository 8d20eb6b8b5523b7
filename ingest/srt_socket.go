package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	gosrt "github.com/datarhei/gosrt"
	"github.com/datarhei/gosrt/circular"
	"github.com/datarhei/gosrt/packet"

	"github.com/oxbow-video/oxbow/internal/media"
)

// This file is all that knows the SRT library, and its traps: deadlines that do nothing, queues that drop silently, a
// goodbye that throws away what is held back, a request that leaks unless it is answered.

// SRTListener listens for SRT publishers on one UDP port.
type SRTListener struct {
	inner      gosrt.Listener
	events     *srtEvents
	passphrase string
}

// ListenSRT opens a UDP address (HOST:PORT) for SRT with the Config's SRT fields. Server.ServeSRT serves it. A port in
// use is syscall.EADDRINUSE.
func ListenSRT(cfg Config, address string, logger *slog.Logger) (*SRTListener, error) {
	cfg = cfg.withDefaults()
	// The library wants an IP address, or none.
	resolved, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for SRT: %w", err)
	}
	events := &srtEvents{}
	events.mu.sockets = make(map[uint32]*srtSocket)
	granted := 0
	inner := gosrt.DefaultConfig()
	inner.ReceiverLatency = cfg.SRTLatency
	inner.Passphrase = cfg.SRTPassphrase
	inner.Logger = events
	inner.ListenerControl = func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { granted, failed = prepareSocket(int(fd), cfg.SRTReceiveBuffer) })
		return errors.Join(err, failed)
	}
	listener, err := gosrt.Listen("srt", resolved.String(), inner)
	if err != nil {
		return nil, fmt.Errorf("listen for SRT: %w", err)
	}
	if granted < cfg.SRTReceiveBuffer {
		logger.Warn("the kernel gives the SRT port a smaller receive buffer: bursts may be lost",
			"wanted", cfg.SRTReceiveBuffer, "got", granted,
			"do", fmt.Sprintf("sysctl -w net.core.rmem_max=%d", cfg.SRTReceiveBuffer))
	}
	return &SRTListener{inner: listener, events: events, passphrase: cfg.SRTPassphrase}, nil
}

// prepareSocket sets options before the socket is bound, and gives the bytes that it may hold.
func prepareSocket(fd, buffer int) (granted int, err error) {
	// The library sets SO_REUSEADDR, with which two servers would share the port and each get some of the packets.
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 0); err != nil {
		return 0, fmt.Errorf("set SO_REUSEADDR: %w", err)
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, buffer); err != nil {
		return 0, fmt.Errorf("set SO_RCVBUF: %w", err)
	}
	doubled, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF)
	if err != nil {
		return 0, fmt.Errorf("get SO_RCVBUF: %w", err)
	}
	return doubled / 2, nil // Linux counts its own overhead in: socket(7)
}

// Addr is the address that it listens on.
func (l *SRTListener) Addr() net.Addr { return l.inner.Addr() }

// Close ends it and its connections.
func (l *SRTListener) Close() error {
	l.inner.Close()
	return nil
}

// accept waits for a client. Its request must be answered with accept or reject.
func (l *SRTListener) accept() (*srtRequest, error) {
	inner, err := l.inner.Accept2()
	if err != nil {
		if errors.Is(err, gosrt.ErrListenerClosed) {
			err = net.ErrClosed
		}
		return nil, err
	}
	return &srtRequest{listener: l, inner: inner, remote: inner.RemoteAddr().String(), streamID: inner.StreamId()}, nil
}

// srtRequest is a client that waits for its answer. It asks again until it has one; the library passes over that.
type srtRequest struct {
	listener *SRTListener
	inner    gosrt.ConnRequest
	remote   string
	streamID string
}

// Faults of encryption.
var (
	errSRTPlain      = errors.New("not encrypted: set the stream's SRT passphrase, or else the server's, in the encoder")
	errSRTEncrypted  = errors.New("encrypted, but the stream has no SRT passphrase: remove it from the encoder")
	errSRTPassphrase = errors.New("wrong SRT passphrase")
)

// decrypt checks the client's passphrase against the stream's, or else the listener's.
func (r *srtRequest) decrypt(stream media.Stream) error {
	switch passphrase := cmp.Or(stream.SRTPassphrase, r.listener.passphrase); {
	case passphrase == "" && r.inner.IsEncrypted():
		return errSRTEncrypted
	case passphrase == "":
		return nil
	case !r.inner.IsEncrypted():
		return errSRTPlain
	case r.inner.SetPassphrase(passphrase) != nil:
		return errSRTPassphrase
	}
	return nil
}

func (r *srtRequest) reject(code int) { r.inner.Reject(gosrt.RejectionReason(code)) }

func (r *srtRequest) accept() (*srtSocket, error) {
	s := &srtSocket{events: r.listener.events, id: r.inner.SocketId(), closed: make(chan struct{})}
	s.events.add(s) // before it can say goodbye
	conn, err := r.inner.Accept()
	if err != nil {
		s.events.remove(s)
		// The error may only be that it was answered already.
		r.inner.Reject(gosrt.REJ_PEER)
		return nil, fmt.Errorf("accept: %w: %w", io.ErrUnexpectedEOF, err)
	}
	s.conn.Store(&conn)
	return s, nil
}

// srtSocket is an accepted connection. receive is called by one goroutine, the other methods by any.
type srtSocket struct {
	events *srtEvents
	id     uint32
	conn   atomic.Pointer[gosrt.Conn]
	bye    atomic.Bool
	once   sync.Once
	closed chan struct{}

	expected circular.Number
	started  bool
	missing  atomic.Int64
}

// receive gives the payloads to put until the connection ends, and says how: nil after a goodbye. gap says that packets
// are missing, which SRT gave up.
func (s *srtSocket) receive(put func(data []byte, gap bool)) error {
	conn := *s.conn.Load()
	// At its end the library chooses at random between saying so and giving what it still has; and it says so, wrongly,
	// of a packet out of order. So it is asked until it can have nothing left.
	const sure = 32
	for ends := 0; ends < sure; {
		p, err := conn.ReadPacket()
		if err != nil {
			ends++
			continue
		}
		ends = 0
		s.take(p, put)
	}
	if s.bye.Load() {
		return nil
	}
	return io.ErrUnexpectedEOF
}

func (s *srtSocket) take(p packet.Packet, put func(data []byte, gap bool)) {
	number := p.Header().PacketSequenceNumber
	gap := s.started && number.Gt(s.expected)
	if gap {
		s.missing.Add(int64(number.Distance(s.expected)))
	}
	s.started, s.expected = true, number.Inc()
	put(p.Data(), gap)
	p.Decommission()
}

// drain waits until what the receiver holds back is delivered: the library throws it away after a goodbye.
func (s *srtSocket) drain() {
	conn := s.conn.Load()
	if conn == nil {
		return
	}
	var stats gosrt.Statistics
	(*conn).Stats(&stats)
	latency := time.Duration(stats.Instantaneous.MsRecvTsbPdDelay) * time.Millisecond
	const tick = 10 * time.Millisecond // the library's
	poll := time.NewTicker(tick)
	defer poll.Stop()
	for end := time.Now().Add(latency + 10*tick); stats.Instantaneous.PktRecvBuf > 0 && time.Now().Before(end); {
		select {
		case <-poll.C:
		case <-s.closed:
			return
		}
		(*conn).Stats(&stats)
	}
	// Delivered is not yet read.
	select {
	case <-poll.C:
	case <-s.closed:
	}
}

// close ends the connection; the client is told.
func (s *srtSocket) close() {
	s.once.Do(func() { close(s.closed) })
	_ = (*s.conn.Load()).Close() // it never fails
	s.events.remove(s)
}

// srtFigures are a connection's counts since its beginning, in packets, and its state.
type srtFigures struct {
	received, lost, retransmitted, discarded, undecrypted, missing int64

	held    int64 // bytes held back
	latency time.Duration
}

func (s *srtSocket) figures() srtFigures {
	var stats gosrt.Statistics
	(*s.conn.Load()).Stats(&stats)
	sum, now := stats.Accumulated, stats.Instantaneous
	return srtFigures{
		received: int64(sum.PktRecv), lost: int64(sum.PktRecvLoss), retransmitted: int64(sum.PktRecvRetrans),
		discarded: int64(sum.PktRecvDrop), undecrypted: int64(sum.PktRecvUndecrypt), missing: s.missing.Load(),
		held: int64(now.ByteRecvBuf), latency: time.Duration(now.MsRecvTsbPdDelay) * time.Millisecond,
	}
}

// srtEvents is the library's log, which is the only place where it tells of goodbyes and of full queues. It implements
// gosrt.Logger.
type srtEvents struct {
	// count is called for each packet that a queue of the library had no room for ("overflow"), and for each handshake
	// that it did not understand ("handshake").
	count atomic.Pointer[func(what string)]

	mu struct {
		sync.Mutex
		sockets map[uint32]*srtSocket
	}
}

func (e *srtEvents) add(s *srtSocket) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.sockets[s.id] = s
}

func (e *srtEvents) remove(s *srtSocket) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.sockets[s.id] == s {
		delete(e.mu.sockets, s.id)
	}
}

// Print is called by the library, in the goroutine in which it happens.
func (e *srtEvents) Print(topic string, socket uint32, _ int, message func() string) {
	switch topic {
	case "control:recv:shutdown:dump":
		e.mu.Lock()
		s := e.mu.sockets[socket]
		e.mu.Unlock()
		if s != nil {
			s.bye.Store(true)
			s.drain() // here, since the connection is closed when this returns
		}
	case "connection:error", "listen":
		switch message() {
		case "network queue is full", "readQueue was blocking, dropping packet", "receive queue is full":
			e.counted("overflow")
		}
	case "handshake:recv:error":
		e.counted("handshake") // not logged: anybody can send any number of them
	}
}

func (e *srtEvents) counted(what string) {
	if count := e.count.Load(); count != nil {
		(*count)(what)
	}
}

// HasTopic implements gosrt.Logger.
func (e *srtEvents) HasTopic(string) bool { return true }

// Listen implements gosrt.Logger.
func (e *srtEvents) Listen() <-chan gosrt.Log { return nil }

// Close implements gosrt.Logger.
func (e *srtEvents) Close() {}
