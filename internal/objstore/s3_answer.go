package objstore

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/oxbow-video/oxbow/internal/media"
)

// maxDocument bounds the answers that the SDK reads as a whole, or reads away: lists, errors, what comes behind a put.
// A list of a thousand of the longest keys has a third of it. As XML it may cost forty times as much memory.
const maxDocument = 6 << 20

// errDocument: an answer goes on past what any such has.
var errDocument = errors.New("the store's answer has no end")

// bounded puts a bound on an answer that is no object's bytes, which their reader counts.
func bounded(r *http.Request, resp *http.Response) {
	if r.URL.Query().Get("x-id") != "GetObject" || resp.StatusCode >= http.StatusMultipleChoices {
		resp.Body = &document{ReadCloser: resp.Body, left: maxDocument}
	}
}

// document is the body of a bounded answer.
type document struct {
	io.ReadCloser
	left int
}

func (d *document) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p[:min(len(p), d.left+1)])
	if d.left -= n; d.left < 0 {
		return n, errDocument
	}
	return n, err
}

// paging is where a list has come to. A store that says that there is more, but not where, or where we were, would be
// asked for ever, or believed that there is no more.
type paging struct{ token string }

func (p *paging) next(more bool, token string) error {
	if !more {
		return nil
	}
	if token == "" || token == p.token {
		return fmt.Errorf("%w: the store's list goes on, and it does not say where", media.ErrUnavailable)
	}
	p.token = token
	return nil
}
