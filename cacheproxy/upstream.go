package cacheproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/slab"
	pool "github.com/oxbow-video/oxbow/internal/upstream"
)

// upstream is one place to ask: an ingest node, an archive, or another edge.
type upstream struct {
	name  string // host and port, or archiveName, behind which others than the default one have their name
	base  string // empty for an archive
	store string // an archive's name; empty for a node
	peer  *peer  // another edge; nil is none
}

// id names the upstream in the pool: two ports or schemes of a host are two.
func (u upstream) id() string {
	if u.base != "" {
		return u.base
	}
	return u.name
}

// ask is one request as it goes to upstreams, whichever is chosen.
type ask struct {
	method string
	path   string
	query  string
	header http.Header
	kind   kind
	// wait bounds the wait for an answer's header.
	wait time.Duration
	// holds says that an upstream may hold the answer back, so that a 503 means "not yet" and not "not here".
	holds bool
}

// waits says that an answer may take its time without any fault of the upstream's: it is held back, or a node has
// nothing to list yet, or a file is put together.
func (a ask) waits() bool { return a.holds || a.kind.text() || a.kind == kindDownload }

// bodyTimeout bounds the time from an answer's header to its end. A download that passes through has none.
const bodyTimeout = 3 * time.Minute

// roundTrip sends the request to one upstream. The caller closes the answer's body, which ends the use; if there is
// none, the caller ends it.
func (p *Proxy) roundTrip(ctx context.Context, up upstream, a ask, use *pool.Use) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(a.wait, func() { cancel(fmt.Errorf("no answer within %s: %w", a.wait, errTimeout)) })
	resp, err := p.send(ctx, up, a)
	// Stop says false when the timer has fired: the answer's body is then cut, even if the header made it.
	if err == nil && !late.Stop() {
		_ = resp.Body.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		late.Stop()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return nil, fmt.Errorf("ask %s: %w", up.name, err)
	}
	limit := bodyTimeout
	if a.kind == kindDownload {
		limit = 0
	}
	body := newGuarded(ctx, resp.Body, p.config.StallTimeout, limit, cancel)
	body.use = use
	resp.Body = body
	return resp, nil
}

func (p *Proxy) send(ctx context.Context, up upstream, a ask) (*http.Response, error) {
	uri := a.path
	if a.query != "" {
		uri += "?" + a.query
	}
	base := up.base
	transport := p.transport
	if base == "" {
		base, transport = "http://"+archiveName, p.archives.stores[up.store]
	}
	req, err := http.NewRequestWithContext(ctx, a.method, base+uri, nil)
	if err != nil {
		return nil, err
	}
	req.Header = a.header
	if up.peer == nil {
		p.metrics.upstreamRequests.WithLabelValues(a.kind.String()).Inc()
		p.config.OnUpstream(up.name, uri)
	}
	resp, err := transport.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusUnauthorized && up.base != "" && up.peer == nil {
		_ = resp.Body.Close()
		return nil, errStranger
	}
	return resp, err
}

// errStranger: a node does not take this edge's token, which is nothing to tell a viewer.
var errStranger = fmt.Errorf("it does not take our --cluster-token: %w", media.ErrUnavailable)

// guarded is a body whose pauses, and whose whole, are bounded.
type guarded struct {
	io.ReadCloser
	stall  time.Duration
	timer  *time.Timer
	whole  *time.Timer
	cancel context.CancelCauseFunc
	cause  func() error
	use    *pool.Use // nil is none
}

func newGuarded(
	ctx context.Context, body io.ReadCloser, stall, whole time.Duration, cancel context.CancelCauseFunc,
) *guarded {
	g := &guarded{ReadCloser: body, stall: stall, cancel: cancel, cause: func() error { return context.Cause(ctx) }}
	g.timer = time.AfterFunc(stall, func() { cancel(fmt.Errorf("no bytes for %s: %w", stall, errTimeout)) })
	if whole > 0 {
		g.whole = time.AfterFunc(whole, func() { cancel(fmt.Errorf("body took %s: %w", whole, errTimeout)) })
	}
	return g
}

func (g *guarded) Read(b []byte) (int, error) {
	g.timer.Reset(g.stall)
	n, err := g.ReadCloser.Read(b)
	g.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		cause := g.cause()
		if cause != nil {
			err = cause
		}
		if g.use != nil && (cause == nil || errors.Is(cause, errTimeout)) {
			g.use.Failed(pool.Broken)
		}
	}
	return n, err
}

func (g *guarded) Close() error {
	g.timer.Stop()
	if g.whole != nil {
		g.whole.Stop()
	}
	err := g.ReadCloser.Close()
	g.cancel(nil)
	if g.use != nil {
		g.use.Done()
	}
	return err
}

// errTimeout is an upstream's: it had its time.
var errTimeout = errors.New("upstream timed out")

func nodeUpstream(base string) upstream {
	for len(base) > 0 && base[len(base)-1] == '/' {
		base = base[:len(base)-1]
	}
	u, err := url.Parse(base)
	if err != nil {
		return upstream{name: base, base: base}
	}
	return upstream{name: u.Host, base: base}
}

// handlerTransport makes an upstream of a handler in this process: its answer's bytes arrive as it writes them.
type handlerTransport struct {
	handler http.Handler
	logger  *slog.Logger
}

// RoundTrip implements http.RoundTripper.
func (t *handlerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	inner := req.Clone(req.Context())
	inner.URL = &url.URL{Path: req.URL.Path, RawQuery: req.URL.RawQuery}
	inner.RequestURI = inner.URL.RequestURI()
	inner.Host = req.URL.Host
	inner.Body = http.NoBody
	pr := newPipe()
	w := &pipeWriter{header: make(http.Header), answered: make(chan struct{}), body: pr}
	w.head = req.Method == http.MethodHead
	go t.serve(w, inner)
	select {
	case <-w.answered:
	case <-req.Context().Done():
		pr.close(req.Context().Err())
		return nil, req.Context().Err()
	}
	if w.err != nil {
		return nil, w.err
	}
	// A pipe does not watch the context, so that a handler that hangs would hold its reader.
	stop := context.AfterFunc(req.Context(), func() { pr.close(context.Cause(req.Context())) })
	resp := &http.Response{
		StatusCode: w.status, Header: w.sent, ContentLength: w.length, Request: req,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: &pipeBody{pipe: pr, stop: stop},
	}
	if w.length < 0 {
		// The handler's return ends the body, and a panic cuts it: as good as chunks.
		resp.TransferEncoding = []string{"chunked"}
	}
	return resp, nil
}

func (t *handlerTransport) serve(w *pipeWriter, req *http.Request) {
	defer func() {
		fault := recover()
		if fault == nil {
			w.finish(nil)
			return
		}
		if err, ok := fault.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			t.logger.Error("archive handler panicked", "path", req.URL.Path, "err", fault, "stack", string(debug.Stack()))
		}
		w.finish(fmt.Errorf("archive handler stopped: %w", media.ErrUnavailable))
	}()
	t.handler.ServeHTTP(w, req)
}

// pipeBody is the reader's end of a pipe.
type pipeBody struct {
	*pipe
	stop func() bool
}

func (b *pipeBody) Close() error {
	b.stop()
	b.close(io.ErrClosedPipe)
	return nil
}

// pipeWriter is the http.ResponseWriter of handlerTransport.
type pipeWriter struct {
	header http.Header
	body   *pipe
	head   bool

	// What follows is set before answered is closed.
	answered chan struct{}
	status   int
	sent     http.Header
	length   int64
	err      error

	written int64
}

// Header implements http.ResponseWriter.
func (w *pipeWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *pipeWriter) WriteHeader(status int) {
	if w.status != 0 || status < 200 {
		return
	}
	w.status, w.sent, w.length = status, w.header.Clone(), -1
	if n, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		w.length = n
	}
	close(w.answered)
}

// Write implements http.ResponseWriter.
func (w *pipeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.head {
		return len(b), nil
	}
	if w.length >= 0 && w.written+int64(len(b)) > w.length {
		return 0, http.ErrContentLength
	}
	n, err := w.body.write(b)
	w.written += int64(n)
	return n, err
}

// WritePiece implements slab.PieceWriter.
func (w *pipeWriter) WritePiece(p slab.Piece, again slab.Weak) error {
	w.WriteHeader(http.StatusOK)
	if w.head {
		return nil
	}
	if w.length >= 0 && w.written+int64(len(p.Data)) > w.length {
		return http.ErrContentLength
	}
	if err := w.body.writePiece(p, again); err != nil {
		return err
	}
	w.written += int64(len(p.Data))
	return nil
}

// Flush implements http.Flusher: a pipe holds nothing back.
func (w *pipeWriter) Flush() { w.WriteHeader(http.StatusOK) }

func (w *pipeWriter) finish(err error) {
	if w.status == 0 && err != nil {
		w.status, w.err = http.StatusBadGateway, err
		close(w.answered)
	}
	w.WriteHeader(http.StatusOK)
	if err == nil && !w.head && w.length > w.written {
		err = io.ErrUnexpectedEOF
	}
	w.body.end(err)
}
