package operator

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// maxAnswer bounds an answer, in bytes: a page of 1000 recordings has 1 MB.
	maxAnswer = 16 << 20
	// maxProblem bounds an error's document.
	maxProblem = 256 << 10
	// maxTries and maxRetryWait bound how patiently a server that is busy is asked.
	maxTries     = 4
	maxRetryWait = 10 * time.Second
)

// ClientConfig says which API is asked.
type ClientConfig struct {
	// URL is the API's base URL, without /v1.
	URL   string
	Token string
	// Timeout bounds one request with its answer; zero is 30 s.
	Timeout time.Duration
	// Version is told to the server as that of this command.
	Version string
}

// Client asks an API.
type Client struct {
	cfg  ClientConfig
	http *http.Client
}

// NewClient makes a client. An unusable URL or token is a UsageError.
func NewClient(cfg ClientConfig) (*Client, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	if err := media.CheckBaseURL(cfg.URL); err != nil {
		return nil, UsageError{fmt.Errorf("--api: %w", err)}
	}
	cfg.URL = strings.TrimSuffix(strings.TrimSuffix(cfg.URL, "/"), "/v1")
	if cfg.Token == "" {
		return nil, usage("no token: put it into OXBOW_TOKEN, or into a file for --token-file; %s", tokenAdvice)
	}
	if strings.ContainsFunc(cfg.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, UsageError{errors.New("the token has characters that no token has: is it the whole of its line?")}
	}
	return &Client{cfg: cfg, http: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Request is one request: Path begins with /v1, Body is sent as JSON unless it is nil.
type Request struct {
	Method  string
	Path    string
	Query   url.Values
	Body    any
	IfMatch string
	// Creates marks what makes something: it carries an Idempotency-Key.
	Creates bool
}

// Do sends a request and gives the JSON of the answer, nil if that has none. What the API refuses is an *APIError.
func (c *Client) Do(ctx context.Context, r Request) (json.RawMessage, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = json.Marshal(r.Body); err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.Method, r.Path, err)
		}
	}
	key := ""
	if r.Creates {
		key = rand.Text()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.Timeout, errTimeout)
	defer cancel()
	for try := 1; ; try++ {
		answer, err := c.once(ctx, r, body, key)
		var told *APIError
		if !errors.As(err, &told) || !told.again(r.Method) || try == maxTries {
			return answer, err
		}
		select {
		case <-time.After(told.RetryAfter):
		case <-ctx.Done():
			return nil, err
		}
	}
}

var errTimeout = errors.New("no answer within --timeout")

func (c *Client) once(ctx context.Context, r Request, body []byte, key string) (_ json.RawMessage, err error) {
	req, err := c.request(ctx, r.Method, r.Path, r.Query)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Body = io.NopCloser(bytes.NewReader(body))
		req.ContentLength = int64(len(body))
		req.Header.Set("Content-Type", "application/json")
	}
	if r.IfMatch != "" {
		req.Header.Set("If-Match", quoted(r.IfMatch))
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreached(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read, or is given up
	if resp.StatusCode >= 300 {
		return nil, c.problem(r.Method, r.Path, resp)
	}
	text, err := readAtMost(resp.Body, maxAnswer)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.Path, timedOut(ctx, err))
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	if kind := contentType(resp.Header); kind != "application/json" || !json.Valid(text) {
		return nil, fmt.Errorf("%s %s: the answer is %s and no JSON: is %s the address of Oxbow's API? (--api URL)",
			r.Method, r.Path, clean(kind, 60), c.cfg.URL)
	}
	return text, nil
}

func (c *Client) request(ctx context.Context, method, path string, query url.Values) (*http.Request, error) {
	target := c.cfg.URL + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "oxbow/"+c.cfg.Version)
	return req, nil
}

// quoted gives a revision as an entity tag; one that is quoted already, and *, stay as they are.
func quoted(revision string) string {
	if revision == "*" || strings.HasSuffix(revision, `"`) {
		return revision
	}
	return `"` + revision + `"`
}

// unreached says why there is no answer, and what to do.
func (c *Client) unreached(ctx context.Context, err error) error {
	err = timedOut(ctx, err)
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // it repeats the URL with the query
	}
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &dns), errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("nobody answers at %s: %w: start `oxbow serve` there, or name a server that runs with --api URL "+
			"or OXBOW_API", c.cfg.URL, err)
	}
	return fmt.Errorf("%s: %w: is that the address of Oxbow's API? (--api URL)", c.cfg.URL, err)
}

// timedOut puts the cause in the place of an error that came of it.
func timedOut(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(cause, errTimeout) {
		return cause
	}
	return err
}

var errLong = errors.New("the answer is too long")

func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%w: over %d bytes", errLong, limit)
	}
	return text, err
}

func contentType(h http.Header) string {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || kind == "" {
		return "of no type"
	}
	return kind
}

// retryAfter reads the header's seconds; it gives a second where it has none, and bounds them.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 1 {
		seconds = 1
	}
	return time.Duration(min(seconds, 24*3600)) * time.Second
}
