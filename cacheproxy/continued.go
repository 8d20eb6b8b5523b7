package cacheproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// maxContinued bounds how often one download goes on elsewhere.
const maxContinued = 64

// continued is the body of a download. Where an answer breaks off before its end, for a node went away or its copy was
// dropped, the rest is asked for by its range: a download has the same bytes and ETag wherever it comes from. Hours may
// lie between its begin and its end, and the viewer notices nothing.
type continued struct {
	proxy *Proxy
	ctx   context.Context //nolint:containedctx // of the request whose answer this is
	route route
	key   key
	etag  string

	body    io.ReadCloser
	up      string   // who sends it
	at, end int64    // the file's next byte, and the one behind the last
	broken  error    // what ended body too early
	times   int      // that it went on elsewhere
	sent    bool     // body has given bytes
	silent  []string // who sent nothing since the last byte that came
}

// continueBody gives resp's body, which goes on elsewhere if the answer allows that.
func (p *Proxy) continueBody(ctx context.Context, rt route, k key, resp *http.Response, up string) io.ReadCloser {
	c := &continued{proxy: p, ctx: ctx, route: rt, key: k, etag: resp.Header.Get("Etag"), body: resp.Body, up: up}
	var ok bool
	if c.at, c.end, ok = extentOf(resp); !ok || !strings.HasPrefix(c.etag, `"`) {
		return resp.Body
	}
	return c
}

// extentOf gives which bytes of a file an answer has.
func extentOf(resp *http.Response) (from, end int64, ok bool) {
	if resp.StatusCode == http.StatusOK {
		return 0, resp.ContentLength, resp.ContentLength >= 0
	}
	spec, _, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes "), "/")
	first, last, _ := strings.Cut(spec, "-")
	from, err := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	return from, to + 1, resp.StatusCode == http.StatusPartialContent && err == nil && err2 == nil && from <= to
}

// Read implements io.Reader.
func (c *continued) Read(b []byte) (int, error) {
	return c.read(func() (int, error) { return c.body.Read(b) })
}

// NextPiece implements pieceBody.
func (c *continued) NextPiece() (p slab.Piece, again slab.Weak, err error) {
	_, err = c.read(func() (int, error) {
		pieces, ok := c.body.(pieceBody)
		if !ok {
			return 0, errBytes
		}
		p, again, err = pieces.NextPiece()
		return len(p.Data), err
	})
	return p, again, err
}

// read has what follows read, wherever that is.
func (c *continued) read(read func() (int, error)) (int, error) {
	for {
		if c.broken != nil {
			if err := c.goOn(); err != nil {
				return 0, err
			}
		}
		n, err := read()
		c.at += int64(n)
		if n > 0 {
			c.sent, c.silent = true, nil
		}
		if err == nil || c.at >= c.end || errors.Is(err, errBytes) {
			return n, err
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		c.broken = err
		if !c.sent {
			c.silent = append(c.silent, c.up)
		}
		if n > 0 {
			return n, nil
		}
	}
}

// goOn asks for what is missing, of whom did not just send nothing.
func (c *continued) goOn() error {
	cause := c.broken
	c.times++
	if c.ctx.Err() != nil || c.times > maxContinued || c.proxy.gone.has(c.route.recording, time.Now()) {
		return cause
	}
	_ = c.body.Close()
	s := c.proxy.search(c.route, c.key, http.MethodGet)
	s.ask.header["Range"] = []string{fmt.Sprintf("bytes=%d-%d", c.at, c.end-1)}
	s.ask.header["If-Range"] = []string{c.etag}
	s.tried = slices.Clone(c.silent)
	resp, up, err := s.next(c.ctx)
	if err != nil {
		return cause
	}
	from, end, ok := extentOf(resp)
	if !ok || from != c.at || end != c.end || resp.Header.Get("Etag") != c.etag {
		_ = resp.Body.Close()
		return cause
	}
	c.proxy.metrics.continued.Inc()
	c.proxy.logger.Debug("download goes on", "path", c.key.path, "from", c.up, "to", up, "at", c.at, "err", cause)
	c.body, c.up, c.sent, c.broken = resp.Body, up, false, nil
	return nil
}

// Close implements io.Closer.
func (c *continued) Close() error { return c.body.Close() }
