package cacheproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// web is an exchange that net/http has read.
type web struct {
	p   *Proxy
	r   *http.Request
	out writer

	status int
}

func (p *Proxy) newWeb(w http.ResponseWriter, r *http.Request) *web {
	return &web{p: p, r: r, out: newWriter(w, r, p.config.WriteTimeout, &p.copies)}
}

func (x *web) context() context.Context { return x.r.Context() }

func (x *web) values(name string) []string { return x.r.Header[name] }

func (x *web) remote() netip.Addr {
	peer, err := netip.ParseAddrPort(x.r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr()
}

func (x *web) keep() {}

func (x *web) told() (status int, body int64) { return x.status, x.out.sent }

func (x *web) begin(r reply) error {
	x.status = r.status
	h := x.out.w.Header()
	for name, values := range r.object.formed(r.form, r.access).header {
		h[name] = values
	}
	if r.age >= 0 {
		h["Age"] = []string{strconv.FormatInt(r.age, 10)}
	}
	if r.told != "" {
		h[toldField] = []string{r.told}
	}
	switch r.cacheStatus {
	case "":
	case x.p.hitStatus[0]:
		h["Cache-Status"] = x.p.hitStatus
	default:
		h["Cache-Status"] = []string{r.cacheStatus}
	}
	switch {
	case r.form == formUnsatisfiable:
		h["Content-Range"] = []string{"bytes */" + strconv.FormatInt(r.object.length, 10)}
		h["Content-Length"] = []string{"0"}
	case r.form == formNotModified, r.to < 0:
	case r.several != nil:
		h["Content-Type"] = []string{r.several.contentType}
		h["Content-Length"] = []string{strconv.FormatInt(r.to, 10)}
	case r.status == http.StatusPartialContent:
		h["Content-Range"] = []string{fmt.Sprintf("bytes %d-%d/%d", r.from, r.to-1, r.object.length)}
		h["Content-Length"] = []string{strconv.FormatInt(r.to-r.from, 10)}
	default:
		h["Content-Length"] = r.object.contentLength
	}
	x.out.w.WriteHeader(r.status)
	return nil
}

func (x *web) write(piece slab.Piece) error { return x.out.write(piece) }

func (x *web) flush() error { return x.out.flush() }

func (x *web) end() error { return x.out.end() }

// maxWrite is what Config.WriteTimeout is for: chunks are larger than a slow viewer takes in that time.
const maxWrite = 256 << 10

// writer sends a body to one viewer of net/http's, with a deadline per write, so that a viewer who stopped reading
// holds nothing but its own connection, and not that for long.
type writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	ctx     context.Context //nolint:containedctx // of the request whose answer this is
	timeout time.Duration
	shared  bool // its connection has other streams
	sent    int64
	pace    pace       // of a body that no other bounds
	copies  *sync.Pool // of buffers for writeCopy; nil writes what pieces show
}

func newWriter(w http.ResponseWriter, r *http.Request, timeout time.Duration, copies *sync.Pool) writer {
	out := writer{w: w, control: http.NewResponseController(w), timeout: timeout, ctx: r.Context()}
	if r.ProtoMajor != 1 {
		out.copies, out.shared = copies, true
	}
	return out
}

func (w *writer) context() context.Context { return w.ctx }

func (w *writer) write(piece slab.Piece) error {
	if w.pace.limits != nil {
		return w.pace.write(unpaced{w}, piece)
	}
	return w.writeNow(piece)
}

// unpaced writes without waiting for the client's rate.
type unpaced struct{ *writer }

func (w unpaced) write(piece slab.Piece) error { return w.writeNow(piece) }

func (w *writer) writeNow(piece slab.Piece) error {
	if w.copies != nil && piece.Buffer.Mapped() {
		return w.writeCopy(piece, 0, int64(len(piece.Data)))
	}
	for data := piece.Data; len(data) > 0; {
		w.deadline(w.timeout)
		n, err := w.w.Write(data[:min(len(data), maxWrite)])
		runtime.KeepAlive(piece.Buffer)
		w.sent += int64(n)
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// copy sends all of a body whose length is known or negative.
func (w *writer) copy(body io.Reader, length int64) error {
	in := chunks{body: body}
	for {
		piece, err := in.next()
		if len(piece.Data) > 0 {
			if err := w.write(piece); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF) && length >= 0 && w.sent != length:
			return io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF):
			return w.end()
		case err != nil:
			return err
		}
	}
}

// flush sends what the server's buffers hold.
func (w *writer) flush() error {
	if err := w.control.Flush(); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// end flushes under the last deadline and then lifts it, for the connection's next request may be another handler's.
// A stream of HTTP/2 or 3 has its deadline to itself, and its end is told with its last bytes if those are not flushed
// before.
func (w *writer) end() error {
	if w.shared {
		return nil
	}
	err := w.flush()
	w.deadline(0)
	return err
}

func (w *writer) deadline(d time.Duration) {
	var t time.Time
	if d > 0 {
		t = time.Now().Add(d)
	}
	_ = w.control.SetWriteDeadline(t) // what has no deadlines is no network connection
}
