package operator

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// eventGap is the name of the event that tells of the log's bounds.
const eventGap = "lost"

const (
	// maxEvent bounds one event of a stream, in bytes.
	maxEvent = 1 << 20
	// followSilence is how long a stream may say nothing, not even that it is there, before it is opened anew.
	followSilence = 90 * time.Second
	// followRetry is the first wait before that, followRetryMax the longest.
	followRetry    = time.Second
	followRetryMax = 30 * time.Second
)

// ErrEnough ends a Follow without an error.
var ErrEnough = errors.New("enough")

// ServerEvent is one server-sent event.
type ServerEvent struct {
	ID   string
	Name string
	Data []byte
}

// Feed says what is followed.
type Feed struct {
	Path  string
	Query url.Values
	// After is the id behind which it begins; empty is now.
	After string
	// Take gets the events that carry data and an id. Its error ends all.
	Take func(ServerEvent) error
	// Gap is told that the log does not go back to where it was asked to begin.
	Gap func()
	// Lost is told of each time that the stream broke and is opened again.
	Lost func(error)
}

// takeError is the reason for which Take wants no more.
type takeError struct{ error }

func (e takeError) Unwrap() error { return e.error }

var errStreamEnded = errors.New("the server ended it")

// Follow hands on a stream's server-sent events until ctx ends or Take does not want more. When the stream breaks it is
// opened again behind the last event. What the API refuses ends it, and that it can't be reached at all.
func (c *Client) Follow(ctx context.Context, f Feed) error {
	wait := followRetry
	for worked := false; ; {
		began := time.Now()
		opened, err := c.follow(ctx, &f)
		worked = worked || opened
		var told *APIError
		var taken takeError
		switch {
		case errors.Is(err, ErrEnough):
			return nil
		case errors.As(err, &taken):
			return taken.error
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end that was asked for
		case errors.As(err, &told) && told.Status < 500 && told.Status != http.StatusTooManyRequests, !worked && told == nil:
			return err
		}
		if opened && time.Since(began) > followRetryMax {
			wait = followRetry
		}
		if told != nil {
			wait = max(wait, min(told.RetryAfter, followRetryMax))
		}
		f.Lost(err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		wait = min(2*wait, followRetryMax)
	}
}

// follow reads one stream until it breaks. It says whether it was opened.
func (c *Client) follow(ctx context.Context, f *Feed) (opened bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Until the answer's head comes the usual timeout counts, and from then on each line.
	silence := time.AfterFunc(c.cfg.Timeout, func() { cancel(errTimeout) })
	defer silence.Stop()
	query := url.Values{}
	maps.Copy(query, f.Query)
	if f.After != "" { // also 0, which as a header is none
		query.Set("after", f.After)
	}
	req, err := c.request(ctx, http.MethodGet, f.Path, query)
	if err != nil {
		return false, err
	}
	req.Header.Set("Accept", "text/event-stream")
	if f.After != "" && f.After != "0" {
		req.Header.Set("Last-Event-ID", f.After)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return false, c.unreached(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // it is given up
	if resp.StatusCode != http.StatusOK {
		return false, c.problem(req.Method, f.Path, resp)
	}
	if kind := contentType(resp.Header); kind != "text/event-stream" {
		return false, &APIError{Status: http.StatusNotAcceptable, Detail: fmt.Sprintf(
			"GET %s: the answer is %s and no event stream: is %s the address of Oxbow's API? (--api URL)", f.Path,
			clean(kind, 60), c.cfg.URL)}
	}
	err = readEvents(resp.Body, func() { silence.Reset(followSilence) }, func(e ServerEvent) error {
		switch {
		case e.Name == eventGap:
			f.Gap()
		case len(e.Data) > 0 && e.ID != "":
			if err := f.Take(e); err != nil {
				return takeError{err}
			}
		}
		if e.ID != "" {
			f.After = e.ID
		}
		return nil
	})
	return true, timedOut(ctx, err)
}

// readEvents reads server-sent events (HTML Living Standard, 9.2.6) until the stream ends, which is an error. It calls
// alive for each line.
func readEvents(r io.Reader, alive func(), take func(ServerEvent) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxEvent)
	var e ServerEvent
	var data bytes.Buffer
	for lines.Scan() {
		alive()
		line := strings.TrimSuffix(lines.Text(), "\r")
		if line == "" {
			e.Data = bytes.TrimSuffix(data.Bytes(), []byte("\n"))
			if err := take(e); err != nil {
				return err
			}
			data.Reset()
			e = ServerEvent{}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			if len(value) <= maxCell && clean(value, maxCell) == value {
				e.ID = value
			}
		case "event":
			e.Name = value
		case "data":
			if data.Len()+len(value) > maxEvent {
				return fmt.Errorf("event: %w: over %d bytes", errLong, maxEvent)
			}
			data.WriteString(value)
			data.WriteByte('\n')
		}
	}
	err := lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("event: %w: over %d bytes", errLong, maxEvent)
	}
	if err == nil {
		err = errStreamEnded
	}
	return err
}
