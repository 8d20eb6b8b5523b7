// Package transport carries requests to upstreams by HTTP/1.1 and takes for a request's answer only what came when it
// had been sent.
//
// net/http's transport gives a connection back to its pool before it looks whether anything came behind the answer.
// Who takes the connection in that moment is given what came: an upstream that can be made to send more than one answer
// (a split header, a body behind HEAD, 204 or 304) would so put an answer of its own under another's URL, in a cache
// for all viewers. It finds the moment by trying often enough.
//
// Here a connection sends the first byte of a request only while somebody reads from it, which is so when nothing is
// left of what came before. An answer of which no request was sent is so an old one's rest: the connection is closed,
// and the request goes over another. What an upstream sends later, when the next request is on its way, nobody can tell
// from its answer.
package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"
)

// ErrUnasked is that of a request whose connections, one after the other, each had an answer before it was sent.
var ErrUnasked = errors.New("the upstream sends answers that it was not asked for")

// tries is how many connections a request may find spoilt. Each took an answer too many to spoil.
const tries = 4

// Transport is a http.Transport that tells answers from rests of others.
type Transport struct{ pool *http.Transport }

// New takes over a transport of HTTP/1.1 and how it dials; it must not be used by others then.
func New(pool *http.Transport) *Transport {
	dial := pool.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	pool.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return newConn(c), nil
	}
	pool.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		secure, err := secured(ctx, c, addr, pool.TLSClientConfig, pool.TLSHandshakeTimeout)
		if err != nil {
			_ = c.Close()
			return nil, err
		}
		return newConn(secure), nil
	}
	return &Transport{pool}
}

func secured(ctx context.Context, c net.Conn, addr string, config *tls.Config, most time.Duration) (*tls.Conn, error) {
	config = config.Clone()
	if config == nil {
		config = new(tls.Config)
	}
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		config.ServerName = host
	}
	if most > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, most)
		defer cancel()
	}
	secure := tls.Client(c, config)
	return secure, secure.HandshakeContext(ctx)
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var taken *conn
	var turn uint64
	trace := httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		taken, _ = info.Conn.(*conn)
		if taken != nil {
			turn = taken.begin()
		}
	}}
	traced := req.WithContext(httptrace.WithClientTrace(req.Context(), &trace))
	for range tries {
		resp, err := t.pool.RoundTrip(traced)
		if err != nil || taken == nil || taken.sent(turn) {
			return resp, err
		}
		_ = taken.Close() // first, else the rest of its body would be waited for
		_ = resp.Body.Close()
		if req.Body != nil && req.Body != http.NoBody {
			break // it may have been read
		}
	}
	return nil, ErrUnasked
}

// CloseIdleConnections closes what nobody uses.
func (t *Transport) CloseIdleConnections() { t.pool.CloseIdleConnections() }
