package ingest

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	answerChunkSize = 65536 // what ffmpeg then uses for its own chunks, too
	answerWindow    = 2_500_000
	minAckWindow    = 64 << 10
	ackTimeout      = time.Second
	farewellTimeout = 2 * time.Second
)

// errStopped ends a read or write once the connection's context is done; the context's cause says why.
var errStopped = errors.New("stopped")

// wire is a connection under deadlines. It counts what comes and sends the acknowledgements for it from inside Read, so
// that a peer which stops at its window in the middle of a large message goes on.
type wire struct {
	conn         net.Conn
	done         <-chan struct{}
	writeTimeout time.Duration
	bytes        prometheus.Counter

	idle    time.Duration // read timeout, renewed by every read; zero keeps the deadline set last
	timeout time.Duration // the one set last, of either kind
	armed   time.Time     // when the deadline was renewed

	received uint64
	acked    uint64
	window   uint64 // acknowledge after this many bytes; zero never does
	mute     bool   // the peer does not read: no more answers

	out       []byte
	chunkSize int

	urgent struct {
		sync.Mutex
		bytes []byte // for the reader to send
	}
}

// expectBy gives the peer a time until which the next phase must be over.
func (w *wire) expectBy(timeout time.Duration) error {
	w.idle, w.timeout = 0, timeout
	return w.conn.SetReadDeadline(time.Now().Add(timeout))
}

// expectWithin gives the peer a time that starts again with every byte.
func (w *wire) expectWithin(idle time.Duration) {
	w.idle, w.timeout, w.armed = idle, idle, time.Time{}
}

// Read implements io.Reader.
func (w *wire) Read(p []byte) (int, error) {
	if now := time.Now(); w.idle > 0 && now.Sub(w.armed) > w.idle/16 {
		if err := w.conn.SetReadDeadline(now.Add(w.idle)); err != nil {
			return 0, err
		}
		w.armed = now
	}
	if err := w.sendUrgent(); err != nil {
		return 0, err
	}
	// After the deadline is set: whoever stops the connection closes done first and then sets a deadline in the past.
	select {
	case <-w.done:
		return 0, errStopped
	default:
	}
	n, err := w.conn.Read(p)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && w.isUrgent() {
		return w.Read(p)
	}
	w.received += uint64(n)
	w.bytes.Add(float64(n))
	// Half a window early, since a sender may wait at its end.
	if w.window > 0 && !w.mute && w.received-w.acked >= w.window/2 {
		w.ack()
	}
	return n, err
}

// urge has the reader send bytes as soon as it can, though it waits for the peer. It may be called on any goroutine,
// while the peer is expected within a time.
func (w *wire) urge(b []byte) {
	w.urgent.Lock()
	defer w.urgent.Unlock()
	w.urgent.bytes = append(w.urgent.bytes, b...)
	_ = w.conn.SetReadDeadline(time.Unix(1, 0)) // the reader looks again, and sets another
}

func (w *wire) isUrgent() bool {
	w.urgent.Lock()
	defer w.urgent.Unlock()
	return len(w.urgent.bytes) > 0
}

// sendUrgent sends what urge left. The deadline is set under the lock, so that urge's is not taken for the peer's.
func (w *wire) sendUrgent() error {
	w.urgent.Lock()
	b := w.urgent.bytes
	w.urgent.bytes = nil
	var err error
	if len(b) > 0 {
		w.armed = time.Now()
		err = w.conn.SetReadDeadline(w.armed.Add(w.timeout))
	}
	w.urgent.Unlock()
	if len(b) == 0 || err != nil {
		return err
	}
	w.out = append(w.out, b...)
	w.offer()
	return nil
}

// ack sends an Acknowledgement (RTMP 1.0, section 5.4.3).
func (w *wire) ack() {
	w.acked = w.received
	var total [4]byte
	binary.BigEndian.PutUint32(total[:], uint32(w.received))
	w.queue(chunkStreamControl, message{kind: typeAck, payload: total[:]})
	w.offer()
}

// offer sends what was queued from inside Read. A peer that has not read for so long that the socket is full (some
// cameras never do) gets no more answers; its stream goes on.
func (w *wire) offer() { w.mute = w.flush(ackTimeout) != nil || w.mute }

// setWindow obeys the peer's Window Acknowledgement Size.
func (w *wire) setWindow(size uint32) { w.window = uint64(max(size, minAckWindow)) }

// queue adds a message to what flush sends.
func (w *wire) queue(chunkStream uint32, m message) {
	w.out = appendMessage(w.out, chunkStream, m, w.chunkSize)
}

// queueCommand adds an AMF0 command.
func (w *wire) queueCommand(chunkStream, stream uint32, values ...any) {
	w.queue(chunkStream, message{kind: typeCommandAMF0, stream: stream, payload: appendAMF0(nil, values...)})
}

// answer sends what was queued.
func (w *wire) answer() error {
	timeout := w.writeTimeout
	select {
	case <-w.done:
		timeout = min(timeout, farewellTimeout)
	default:
	}
	return w.flush(timeout)
}

func (w *wire) flush(timeout time.Duration) error {
	if w.mute {
		w.out = w.out[:0]
		return nil
	}
	err := w.conn.SetWriteDeadline(time.Now().Add(timeout))
	if err == nil {
		_, err = w.conn.Write(w.out)
	}
	w.out = w.out[:0]
	return err
}

// Write implements io.Writer for the handshake.
func (w *wire) Write(p []byte) (int, error) {
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.writeTimeout)); err != nil {
		return 0, err
	}
	return w.conn.Write(p)
}

// linger says goodbye so that the peer can read the last answer: closing a socket that has unread bytes resets it,
// and a reset throws away what the peer has not read yet.
func (w *wire) linger(timeout time.Duration, limit int) {
	half, ok := w.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || w.conn.SetReadDeadline(time.Now().Add(timeout)) != nil {
		return
	}
	var waste [4 << 10]byte
	for limit > 0 {
		n, err := w.conn.Read(waste[:])
		if limit -= n; err != nil {
			return
		}
	}
}
