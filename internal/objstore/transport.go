package objstore

import (
	"context"
	"net"
	"net/http"
	"time"
)

const (
	dialTimeout = 10 * time.Second
	// stallTimeout cuts a connection on which no byte moved. It is long because some servers are silent while they
	// join the parts of an upload.
	stallTimeout = 2 * time.Minute
	// idleTimeout is how long an unused connection is kept; less than stallTimeout, and than most servers' own.
	idleTimeout = 50 * time.Second
)

// newHTTPClient makes the client that an S3 store uses for itself alone.
func newHTTPClient() *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &stallConn{Conn: conn}, nil
		},
		TLSHandshakeTimeout:   dialTimeout,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       idleTimeout,
		MaxIdleConnsPerHost:   64,
		// An object's bytes are wanted as they are.
		DisableCompression: true,
		WriteBufferSize:    64 << 10,
		ReadBufferSize:     64 << 10,
	}
	return &http.Client{
		Transport: transport,
		// A redirect would be signed for the wrong host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// stallConn ends a connection on which nothing moves. A write also puts off the end of the read that waits for the
// answer, since sending a part may well take longer than stallTimeout.
type stallConn struct {
	net.Conn
}

func (c *stallConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(stallTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *stallConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(stallTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
