package fastlane

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// Handler answers requests.
type Handler interface {
	// ServeLane answers one request: Begin, any number of Writes and Flushes, End. An error, or an answer without its
	// end, cuts the connection. The exchange is nobody's when it returns.
	ServeLane(x *Exchange) error
}

// Exchange is one request and its answer. It is its goroutine's.
type Exchange struct {
	Request
	conn  *conn
	begun bool
	ended bool
	// chunked: the body's length was not told. Else left is what is still to come of it.
	chunked bool
	left    int64
	status  int
	written int64
	header  []byte
	// queue is what waits for Flush, queued its bytes.
	queue  []slab.Piece
	queued int
	frames []byte // of chunks
	// trailer is what follows the last chunk.
	trailer []byte
}

// maxQueue is how many bytes, and maxPieces how many pieces, are sent at once at the most.
const (
	maxQueue  = 4 << 20
	maxPieces = 16
)

var (
	errTwice  = errors.New("BUG: an answer has two headers")
	errLength = errors.New("a body is not as long as its header told")
)

// Context ends when the viewer has left, which is noticed within two seconds, or the server was closed. It is the
// connection's. Calling it says that the answer is waited for.
func (x *Exchange) Context() context.Context { return x.conn.wait() }

// Keep copies the request out of the connection's buffer, which can serve another as long. Views that were taken before
// it are no good any more.
func (x *Exchange) Keep() {
	if x.conn.loose() {
		x.text = strings.Clone(x.text)
		x.values = x.values[:0]
		x.conn.release()
	}
}

// Begin queues the header: the status line, a block of lines that others may share, and lines that are the answer's
// own, all with their CRLFs. Length is that of the body that will be written; negative is not known yet. A HEAD request
// and a 304 have a body of none.
func (x *Exchange) Begin(status string, block, more []byte, length int64) error {
	if x.begun {
		return errTwice
	}
	x.begun, x.chunked, x.left = true, length < 0, max(0, length)
	x.status, _ = strconv.Atoi(status[len("HTTP/1.1 "):][:3])
	h := append(append(append(x.header[:0], status...), block...), more...)
	if x.chunked {
		h = append(h, "Transfer-Encoding: chunked\r\n"...)
	}
	if s := x.conn.server; s.leaving.Load() || s.draining.Load() {
		x.close = true
	}
	if x.close {
		h = append(h, "Connection: close\r\n"...)
	}
	x.header = append(h, "\r\n"...)
	x.push(slab.Of(x.header))
	return nil
}

// Interim sends an answer of the 1xx kind, before Begin. It may come from another goroutine, as long as that alone uses
// the exchange.
func (x *Exchange) Interim(status string, block []byte) error {
	if x.begun {
		return errTwice
	}
	x.push(slab.Of(append(append([]byte(status), block...), "\r\n"...)))
	return x.Flush()
}

func (x *Exchange) push(p slab.Piece) {
	x.queue = append(x.queue, p)
	x.queued += len(p.Data)
}

// Write queues a run of the body, and sends when much has gathered.
func (x *Exchange) Write(p slab.Piece) error {
	if len(p.Data) == 0 {
		return nil
	}
	x.written += int64(len(p.Data))
	if x.chunked {
		from := len(x.frames)
		x.frames = append(strconv.AppendInt(x.frames, int64(len(p.Data)), 16), "\r\n"...)
		x.push(slab.Of(x.frames[from:]))
		x.push(p)
		from = len(x.frames)
		x.frames = append(x.frames, "\r\n"...)
		x.push(slab.Of(x.frames[from:]))
	} else {
		if x.left -= int64(len(p.Data)); x.left < 0 {
			return errLength
		}
		x.push(p)
	}
	if x.queued >= maxQueue || len(x.queue) >= maxPieces {
		return x.Flush()
	}
	return nil
}

// Written gives the answer's status, 0 before Begin, and the bytes of its body up to now.
func (x *Exchange) Written() (status int, body int64) { return x.status, x.written }

// Flush sends what is queued.
func (x *Exchange) Flush() error {
	if len(x.queue) == 0 {
		return nil
	}
	err := x.conn.send(x.queue)
	clear(x.queue)
	x.queue, x.queued, x.frames = x.queue[:0], 0, x.frames[:0]
	return err
}

// Trailer sets lines, with their CRLFs, that follow a body whose length was not told.
func (x *Exchange) Trailer(lines []byte) { x.trailer = lines }

// End ends the answer and sends what is queued.
func (x *Exchange) End() error {
	if !x.begun || x.left > 0 {
		return errLength
	}
	if x.chunked {
		x.push(slab.Of(append(append([]byte("0\r\n"), x.trailer...), "\r\n"...)))
	}
	x.ended = true
	return x.Flush()
}

// reset makes it ready for another request.
func (x *Exchange) reset() {
	clear(x.queue)
	x.begun, x.ended, x.queue, x.queued, x.frames, x.trailer = false, false, x.queue[:0], 0, x.frames[:0], nil
	x.status, x.written = 0, 0
}
