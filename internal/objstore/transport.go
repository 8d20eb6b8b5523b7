package objstore

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	dialTimeout = 10 * time.Second
	// stallTimeout cuts a connection on which no byte moved. It is long because some servers are silent while they
	// join the parts of an upload.
	stallTimeout = 2 * time.Minute
	// idleTimeout is how long an unused connection is kept; less than stallTimeout, and than most servers' own.
	idleTimeout = 50 * time.Second
	// putAttempts is how often what carries an object's bytes is sent, at most.
	putAttempts = 6
)

// newHTTPClient makes the client that an S3 store uses for itself alone.
func newHTTPClient(c *S3Config) (*http.Client, error) {
	authorities, err := c.tls()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &stallConn{Conn: conn, patience: c.Stall}, nil
		},
		TLSClientConfig:       authorities,
		TLSHandshakeTimeout:   dialTimeout,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       min(idleTimeout, c.Stall/2),
		MaxIdleConnsPerHost:   64,
		// An object's bytes are wanted as they are.
		DisableCompression: true,
		WriteBufferSize:    64 << 10,
		ReadBufferSize:     64 << 10,
	}
	return &http.Client{
		Transport: &limitTransport{Transport: transport, bandwidth: c.Limits.bandwidth},
		// A redirect would be signed for the wrong host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// newRetryer asks again where that may help. A store's own pace is obeyed for every request by itself: a bucket of
// tokens for all would end a long upload for what a short one met.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.RateLimiter = ratelimit.None
		o.Retryables = slices.Insert(o.Retryables, 0, retry.IsErrorRetryable(retry.IsErrorRetryableFunc(untrusted)))
		o.Retryables = append(o.Retryables, retry.RetryableHTTPStatusCode{
			Codes: map[int]struct{}{http.StatusTooManyRequests: {}},
		})
	})
}

// untrusted: a certificate that nobody trusts now is not trusted in a second either.
func untrusted(err error) aws.Ternary {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

// patiently gives a request that carries bytes more tries than others have: about half a minute of them.
func patiently(o *s3.Options) { o.RetryMaxAttempts = putAttempts }

// stallConn ends a connection on which nothing moves. A write also puts off the end of the read that waits for the
// answer, since sending a part may well take longer than that.
type stallConn struct {
	net.Conn
	patience time.Duration
}

func (c *stallConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *stallConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.patience)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
