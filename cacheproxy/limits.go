package cacheproxy

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// Limits bounds what one client takes. It is asked on the way of every request, by many at a time: it must be quick,
// and wait for nothing. An address that is not valid is one that nobody knows.
type Limits interface {
	// Request takes one request of the client's. Hold is how long it is to wait for its answer; if it is not ok it is
	// refused, to come again after that time.
	Request(client netip.Addr) (hold time.Duration, ok bool)
	// Bytes takes n bytes of the client's, and says how long to wait before they are sent.
	Bytes(client netip.Addr, n int) time.Duration
}

// tooManyError refuses a request of a client that makes too many. It is a 503, as of a server that has too much to do:
// hls.js and other players come again after that, and give up after a 429.
type tooManyError struct{ after time.Duration }

func (e tooManyError) Error() string { return "too many requests of this address" }

// seconds is what Retry-After tells.
func (e tooManyError) seconds() string {
	return strconv.FormatInt(max(1, seconds(e.after+time.Second-1)), 10)
}

// errLong is a request whose target is longer than any that is ours.
var errLong = errors.New("request target is too long")

// holdBack waits for as long as the client's rate wants.
func (p *Proxy) holdBack(x exchange, v *visit) error {
	if len(v.path)+len(v.query) > maxURI {
		return errLong
	}
	if p.config.Limits == nil {
		return nil
	}
	hold, ok := p.config.Limits.Request(p.config.viewerOf(x))
	switch {
	case !ok:
		return tooManyError{after: hold}
	case hold <= 0:
		return nil
	}
	v.path, v.query = strings.Clone(v.path), strings.Clone(v.query)
	x.keep()
	return pause(x, hold)
}

// pause waits for so long, or until the viewer has left.
func pause(x interface{ context() context.Context }, span time.Duration) error {
	late := time.NewTimer(span)
	defer late.Stop()
	ctx := x.context()
	select {
	case <-late.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pace is the rate at which a client is sent bodies. The zero pace is no limit.
type pace struct {
	limits Limits
	client netip.Addr
}

// maxPaced is how much of a body is sent at a time where there is a rate: a second of 2 Mbit/s.
const maxPaced = 256 << 10

// write writes a piece, in so many as the rate wants.
func (c pace) write(out outlet, piece slab.Piece) error {
	for rest := piece.Data; len(rest) > 0; rest = rest[len(piece.Data):] {
		piece.Data = rest[:min(len(rest), maxPaced)]
		if err := c.await(out, len(piece.Data)); err != nil {
			return err
		}
		if err := out.write(piece); err != nil {
			return err
		}
	}
	return nil
}

// await waits until n bytes may be sent. What was written before is sent first.
func (c pace) await(out outlet, n int) error {
	hold := c.limits.Bytes(c.client, n)
	if hold <= 0 {
		return nil
	}
	if err := out.flush(); err != nil {
		return err
	}
	return pause(out, hold)
}
