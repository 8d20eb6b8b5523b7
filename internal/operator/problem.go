package operator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// UsageError is a wrong command line that only its command can tell; the process exits with 2.
type UsageError struct{ error }

func (e UsageError) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

const (
	tokenAdvice = "the server's first start printed the admin token, or took it from OXBOW_ADMIN_TOKEN, and " +
		"`oxbow token create` makes others; if all are lost, " + tokenAnew
	tokenAnew = "start the server with OXBOW_ADMIN_TOKEN=TEXT, which sets the admin token"
)

// APIError is an answer that says what is wrong (RFC 9457).
type APIError struct {
	Status int
	Detail string
	// Fields are the values of the request at fault.
	Fields []Fault
	// Advice says what to do here about it, if anything.
	Advice string
	// RetryAfter is when a 429 or 503 may be tried again.
	RetryAfter time.Duration
}

// Fault is one value at fault: Location is like body.retention, path.stream or query.limit.
type Fault struct {
	Location string `json:"location"`
	Message  string `json:"message"`
}

func (e *APIError) Error() string {
	var b strings.Builder
	b.WriteString(e.Detail)
	for _, f := range e.Fields {
		switch {
		case f.Location == "":
			fmt.Fprintf(&b, "\n  %s", f.Message)
		case f.Message == "" || strings.Contains(e.Detail, f.Message):
			fmt.Fprintf(&b, "\n  at fault: %s", f.Location)
		default:
			fmt.Fprintf(&b, "\n  at fault: %s: %s", f.Location, f.Message)
		}
	}
	if e.Advice != "" {
		fmt.Fprintf(&b, "\n  %s", e.Advice)
	}
	return b.String()
}

// again says whether the same request may be sent once more, and soon.
func (e *APIError) again(method string) bool {
	if e.RetryAfter > maxRetryWait {
		return false
	}
	return e.Status == http.StatusTooManyRequests ||
		e.Status == http.StatusServiceUnavailable && method == http.MethodGet
}

// problem reads an answer that is an error.
func (c *Client) problem(method, path string, resp *http.Response) error {
	e := &APIError{Status: resp.StatusCode}
	told := false
	text, err := readAtMost(resp.Body, maxProblem)
	if err == nil && contentType(resp.Header) == "application/problem+json" {
		told = e.read(text)
	}
	if e.Detail == "" {
		e.Detail = fmt.Sprintf("%s %s: %d %s", method, path, e.Status, http.StatusText(e.Status))
	}
	switch {
	case e.Status < 400:
		to := clean(resp.Header.Get("Location"), maxCell)
		e.Advice = "the server redirects to " + to + ": give --api the address that answers itself"
	case e.Status == http.StatusUnauthorized:
		e.Advice = "set OXBOW_TOKEN or --token-file to a token of this server; if all are lost, " + tokenAnew
	case e.Status == http.StatusForbidden:
		e.Advice = "`oxbow token show` tells what the token may; one with wider scopes is made by `oxbow token create`"
	case e.Status == http.StatusPreconditionFailed:
		e.Advice = "look with show, and give its new revision to --if-match"
	case !told, e.Status == http.StatusNotFound && len(e.Fields) == 0: // the API has no such path
		e.Advice = fmt.Sprintf("is %s the address of Oxbow's API (--api URL), and as new as this command?", c.cfg.URL)
	}
	if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
		e.RetryAfter = retryAfter(resp.Header)
	}
	if e.Status == http.StatusTooManyRequests {
		e.Advice = fmt.Sprintf("try again in %v", e.RetryAfter)
	}
	return e
}

// read takes what a problem document says, and says whether it is one.
func (e *APIError) read(text []byte) bool {
	var doc struct {
		Title  string  `json:"title"`
		Detail string  `json:"detail"`
		Errors []Fault `json:"errors"`
	}
	if json.Unmarshal(text, &doc) != nil {
		return false
	}
	e.Detail = clean(doc.Detail, maxText)
	if e.Detail == "" {
		e.Detail = clean(doc.Title, maxText)
	}
	for _, f := range doc.Errors[:min(len(doc.Errors), 50)] {
		e.Fields = append(e.Fields, Fault{clean(f.Location, maxCell), clean(f.Message, maxText)})
	}
	return e.Detail != "" || len(e.Fields) > 0
}
