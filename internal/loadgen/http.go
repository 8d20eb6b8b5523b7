package loadgen

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// maxBody bounds what is kept of an answer's body, in bytes, compressed or not.
	maxBody = 32 << 20
	// maxHeaders bounds the header lines of an answer.
	maxHeaders = 64
)

// dialer makes connections, as net.Dialer.DialContext does.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// httpClient is one HTTP/1.1 connection that is kept open: far cheaper than net/http's client, whose two goroutines and
// header maps would make of a load generator the thing measured. It reconnects when the server closes.
type httpClient struct {
	addr    string
	timeout time.Duration // of one exchange
	dialer  dialer        // nil: the system's
	r       *bufio.Reader

	mu   sync.Mutex // guards conn against interrupt
	conn net.Conn
	over bool

	request []byte
	body    bytes.Buffer
	plain   bytes.Buffer
	unzip   *gzip.Reader
}

// answer is an HTTP answer. Its body is valid until the next exchange, and nil where it was not to be kept.
type answer struct {
	status   int
	location string // where a redirect leads
	body     []byte
	size     int64 // of the body as it came
}

// get asks for a path. With keep false the body is read and thrown away.
func (c *httpClient) get(ctx context.Context, path string, keep bool) (answer, error) {
	fresh := c.conn == nil
	a, err := c.exchange(ctx, path, keep)
	if err != nil && !fresh && ctx.Err() == nil && !errors.Is(err, media.ErrInvalid) {
		// A kept connection may have been closed meanwhile, which is no failure of the server's.
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			a, err = c.exchange(ctx, path, keep)
		}
	}
	return a, err
}

func (c *httpClient) exchange(ctx context.Context, path string, keep bool) (a answer, err error) {
	if err := c.dial(ctx); err != nil {
		return a, err
	}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return a, err
	}
	c.request = append(c.request[:0], "GET "...)
	c.request = append(c.request, path...)
	c.request = append(c.request, " HTTP/1.1\r\nHost: "...)
	c.request = append(c.request, c.addr...)
	c.request = append(c.request, "\r\nUser-Agent: oxbow-bench\r\n"...)
	if keep {
		c.request = append(c.request, "Accept-Encoding: gzip\r\n"...)
	}
	c.request = append(c.request, "\r\n"...)
	if _, err := c.conn.Write(c.request); err != nil {
		return a, err
	}
	h, err := c.readHeader()
	if err != nil {
		return a, err
	}
	a.status, a.location = h.status, h.location
	if a.size, err = c.readBody(h, keep); err != nil {
		return a, err
	}
	if keep {
		if a.body, err = c.unpack(h.gzip); err != nil {
			return a, err
		}
	}
	if h.last {
		c.close()
	}
	return a, nil
}

// httpHeader is what counts of an answer's header.
type httpHeader struct {
	status  int
	length  int64 // -1 if it is not said
	chunked bool
	gzip    bool
	last    bool // the server closes the connection

	location string
}

func (c *httpClient) readHeader() (httpHeader, error) {
	h := httpHeader{length: -1}
	line, err := c.line()
	if err != nil {
		return h, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return h, fmt.Errorf("%w: no HTTP/1 answer", media.ErrInvalid)
	}
	if h.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return h, fmt.Errorf("%w: no HTTP status", media.ErrInvalid)
	}
	for range maxHeaders {
		if line, err = c.line(); err != nil || len(line) == 0 {
			return h, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if h.length, err = strconv.ParseInt(string(value), 10, 63); err != nil || h.length < 0 {
				return h, fmt.Errorf("%w: Content-Length %.20q", media.ErrInvalid, value)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			h.chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("Content-Encoding")):
			h.gzip = bytes.EqualFold(value, []byte("gzip"))
		case bytes.EqualFold(name, []byte("Location")):
			h.location = string(value)
		case bytes.EqualFold(name, []byte("Connection")):
			h.last = bytes.EqualFold(value, []byte("close"))
		}
	}
	return h, fmt.Errorf("%w: more than %d header lines", media.ErrTooLarge, maxHeaders)
}

// line reads a line without its end. One that is longer than the reader's buffer is an error.
func (c *httpClient) line() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// readBody reads the body, into c.body if it is kept, and gives its length.
func (c *httpClient) readBody(h httpHeader, keep bool) (int64, error) {
	c.body.Reset()
	switch {
	case h.chunked:
		return c.readChunks(keep)
	case h.length < 0:
		return 0, fmt.Errorf("%w: an answer without length", media.ErrUnsupported)
	}
	return h.length, c.take(h.length, keep)
}

func (c *httpClient) readChunks(keep bool) (int64, error) {
	for total := int64(0); ; {
		line, err := c.line()
		if err != nil {
			return total, err
		}
		digits, _, _ := strings.Cut(string(line), ";")
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 16, 32)
		if err != nil || n < 0 {
			return total, fmt.Errorf("%w: chunk of %.20q bytes", media.ErrInvalid, digits)
		}
		if err := c.take(n, keep); err != nil {
			return total, err
		}
		if _, err := c.line(); err != nil { // behind each chunk, and behind the last one in place of trailers
			return total, err
		}
		if total += n; n == 0 {
			return total, nil
		}
	}
}

func (c *httpClient) take(n int64, keep bool) error {
	if !keep {
		for n > 0 {
			step, err := c.r.Discard(int(min(n, 1<<20)))
			if err != nil {
				return err
			}
			n -= int64(step)
		}
		return nil
	}
	if n > maxBody-int64(c.body.Len()) {
		return fmt.Errorf("%w: a body of more than %d bytes", media.ErrTooLarge, maxBody)
	}
	_, err := io.CopyN(&c.body, c.r, n)
	return err
}

func (c *httpClient) unpack(packed bool) ([]byte, error) {
	if !packed {
		return c.body.Bytes(), nil
	}
	var err error
	if c.unzip == nil {
		c.unzip, err = gzip.NewReader(&c.body)
	} else {
		err = c.unzip.Reset(&c.body)
	}
	if err != nil {
		return nil, err
	}
	c.plain.Reset()
	n, err := io.Copy(&c.plain, io.LimitReader(c.unzip, maxBody+1))
	if err == nil && n > maxBody {
		err = fmt.Errorf("%w: a body of more than %d bytes", media.ErrTooLarge, maxBody)
	}
	return c.plain.Bytes(), err
}

func (c *httpClient) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.Close() // nothing is lost with it
		c.conn = nil
	}
}

// interrupt ends the exchange under way, and all to come. It may be called from anywhere.
func (c *httpClient) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.conn != nil {
		_ = c.conn.Close()
	}
}

// dial makes the connection unless there is one.
func (c *httpClient) dial(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	connect := c.dialer
	if connect == nil {
		connect = new(net.Dialer).DialContext
	}
	conn, err := connect(ctx, "tcp", c.addr)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return errors.Join(context.Canceled, conn.Close())
	}
	c.conn = conn
	if c.r == nil {
		c.r = bufio.NewReaderSize(conn, 16<<10)
	}
	c.r.Reset(conn)
	return nil
}
