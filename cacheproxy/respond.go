package cacheproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// respond answers with an object, or with the head of one and what its flight brings. An error means that nothing was
// sent; a body that can't be finished aborts the connection, so that no viewer takes a part for the whole.
func (p *Proxy) respond(w http.ResponseWriter, r *http.Request, f found, now time.Time) error {
	o := f.object
	ranges := r.Header["Range"]
	ranged := len(ranges) == 1 && o.status == http.StatusOK && ifRange(r.Header, o)
	if ranged && o.length < 0 {
		whole, err := f.flight.complete(r.Context())
		if err != nil {
			return err
		}
		o = whole
	}
	h := w.Header()
	for name, values := range o.header {
		h[name] = values
	}
	p.describe(h, o, f.result, now)
	if o.status == http.StatusOK && notModified(r.Header, o) {
		for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Disposition", "Accept-Ranges"} {
			delete(h, name)
		}
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	status, from, to := o.status, int64(0), o.length
	if ranged {
		var ok, satisfiable bool
		if from, to, ok, satisfiable = parseRange(ranges[0], o.length); ok {
			if !satisfiable {
				return p.unsatisfiable(w, o.length)
			}
			status = http.StatusPartialContent
			h["Content-Range"] = []string{fmt.Sprintf("bytes %d-%d/%d", from, to-1, o.length)}
		} else {
			from, to = 0, o.length
		}
	}
	switch {
	case to < 0:
	case from == 0 && to == o.length:
		h["Content-Length"] = o.contentLength
	default:
		h["Content-Length"] = []string{strconv.FormatInt(to-from, 10)}
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	out := writer{w: w, control: http.NewResponseController(w), timeout: p.config.WriteTimeout, from: from, to: to}
	if r.ProtoMajor != 1 {
		out.copies = &p.copies
	}
	defer func() { p.metrics.sentBytes.Add(float64(out.sent)) }()
	if err := out.body(r.Context(), f.flight, o); err != nil {
		// The viewer left or was too slow, or the upstream broke off.
		p.metrics.requests[resultError].Inc()
		panic(http.ErrAbortHandler)
	}
	return nil
}

// describe adds what the answer says of itself: Age (HTTP-21) and Cache-Status (RFC 9211).
func (p *Proxy) describe(h http.Header, o *object, res result, now time.Time) {
	if age := o.ageAt(now); res != resultMiss || age >= time.Second {
		h["Age"] = []string{strconv.FormatInt(int64(age/time.Second), 10)}
	}
	if res == resultHit && o.passed == "" {
		h["Cache-Status"] = p.hitStatus
		return
	}
	var status string
	switch res {
	case resultHit:
		status = "oxbow; hit"
	case resultStale:
		status = "oxbow; hit; ttl=" + strconv.FormatInt(int64((o.policy.lifetime-o.ageAt(now))/time.Second), 10)
	case resultCollapsed:
		status = "oxbow; fwd=miss; collapsed"
	default:
		status = "oxbow; fwd=miss"
	}
	if res != resultHit && o.status != http.StatusOK {
		status += "; fwd-status=" + strconv.Itoa(o.status)
	}
	if o.passed != "" {
		status = o.passed + ", " + status
	}
	h["Cache-Status"] = []string{status}
}

func (p *Proxy) unsatisfiable(w http.ResponseWriter, length int64) error {
	h := w.Header()
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Disposition", "Etag", "Last-Modified"} {
		delete(h, name)
	}
	h["Content-Range"] = []string{"bytes */" + strconv.FormatInt(length, 10)}
	h["Content-Length"] = []string{"0"}
	h["Cache-Control"] = []string{"no-store"}
	w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
	return nil
}

// maxWrite is what Config.WriteTimeout is for: chunks are larger than a slow viewer takes in that time.
const maxWrite = 256 << 10

// writer sends bytes from up to to (or to the end, if that is negative) of a body to one viewer, with a deadline per
// write, so that a viewer who stopped reading holds nothing but its own connection, and not that for long.
type writer struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	timeout  time.Duration
	from, to int64
	at       int64 // position in the body of what comes next
	sent     int64
	copies   *sync.Pool // of buffers for writeCopy; nil writes what pieces show
}

// body sends what there is of the object, or follows the flight to its end.
func (w *writer) body(ctx context.Context, f *flight, o *object) error {
	if f == nil || len(o.chunks) > 0 {
		for _, chunk := range o.chunks {
			if err := w.write(chunk); err != nil {
				return err
			}
		}
		return w.end()
	}
	var c cursor
	for w.to < 0 || w.at < w.to {
		v, err := f.read(ctx, &c)
		if err != nil {
			return err
		}
		if err := w.write(v.piece); err != nil {
			return err
		}
		if v.done {
			break
		}
		if w.sent > 0 {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return w.end()
}

func (w *writer) write(piece slab.Piece) error {
	chunk := piece.Data
	start := max(0, w.from-w.at)
	end := int64(len(chunk))
	if w.to >= 0 {
		end = min(end, w.to-w.at)
	}
	w.at += int64(len(chunk))
	if start >= end {
		return nil
	}
	if w.copies != nil && piece.Buffer.Mapped() {
		return w.writeCopy(piece, start, end)
	}
	for start < end {
		w.deadline(w.timeout)
		n, err := w.w.Write(chunk[start:min(end, start+maxWrite)])
		runtime.KeepAlive(piece.Buffer)
		w.sent += int64(n)
		if err != nil {
			return err
		}
		start += maxWrite
	}
	return nil
}

// copy sends all of a body whose length is known or negative.
func (w *writer) copy(body io.Reader, length int64) error {
	buf := make([]byte, passChunk)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if err := w.write(slab.Of(buf[:n])); err != nil {
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
func (w *writer) end() error {
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

// acceptsGzip reads Accept-Encoding (RFC 9110 section 12.5.3).
func acceptsGzip(lines []string) bool {
	gzip, star := -1, -1
	for _, line := range lines {
		for line != "" {
			var field string
			field, line, _ = strings.Cut(line, ",")
			coding, params, _ := strings.Cut(field, ";")
			ok := 1
			if name, q, _ := strings.Cut(params, "="); strings.EqualFold(strings.TrimSpace(name), "q") &&
				strings.Trim(strings.TrimSpace(q), "0.") == "" {
				ok = 0
			}
			switch coding = strings.TrimSpace(coding); {
			case strings.EqualFold(coding, "gzip"), strings.EqualFold(coding, "x-gzip"):
				gzip = ok
			case coding == "*":
				star = ok
			}
		}
	}
	return gzip == 1 || (gzip < 0 && star == 1)
}
