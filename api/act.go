package api

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// auditWait bounds the writing of a row of the audit log, which the end of the answer waits for: who has the answer
// finds the row.
const auditWait = 2 * time.Second

// act is what a request does that is no GET, on its way to the audit log. A nil one is of a request that leaves no row.
type act struct {
	entry    media.AuditEntry
	query    url.Values
	body     *copied // nil when the request did not reach its operation
	finished bool    // else it panicked
	max      int64   // bytes of the body
}

// actKey is the key of the request's act in its context.
type actKey struct{}

func withAct(ctx context.Context, a *act) context.Context {
	if a == nil {
		return ctx
	}
	return context.WithValue(ctx, actKey{}, a)
}

// concerns notes which publisher a request is about, where neither the path nor a field or parameter "publisher" says
// so: its tokens see the row in the audit log.
func concerns(ctx context.Context, publisher string) {
	a, _ := ctx.Value(actKey{}).(*act)
	a.concerns(publisher)
}

func (s *Server) newAct(op *huma.Operation, r *http.Request, token media.Token) *act {
	remote := r.RemoteAddr
	if host, _, err := net.SplitHostPort(remote); err == nil {
		remote = host
	}
	return &act{
		max: s.cfg.MaxBody, query: r.URL.Query(),
		entry: media.AuditEntry{
			Time: time.Now(), TokenID: token.ID, TokenLabel: token.Label, Publisher: token.Publisher,
			Operation: op.OperationID, Method: r.Method, Path: r.URL.Path, Remote: remote,
		},
	}
}

// concerns keeps the first publisher that it is told, but for one that can't be.
func (a *act) concerns(publisher string) {
	if a != nil && a.entry.Publisher == "" && media.CheckPublisherName(publisher) == nil {
		a.entry.Publisher = publisher
	}
}

// watch keeps a copy of the body as the operation reads it.
func (a *act) watch(r *http.Request) {
	if a != nil {
		a.body = &copied{ReadCloser: r.Body, left: a.max}
		r.Body = a.body
	}
}

func (a *act) done() {
	if a != nil {
		a.finished = true
	}
}

// copied is a body that keeps what is read of it.
type copied struct {
	io.ReadCloser
	left int64
	text []byte
}

func (c *copied) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	keep := min(int64(n), c.left)
	c.text = append(c.text, p[:keep]...)
	c.left -= keep
	return n, err
}

// audit writes the row of an act that has been answered on w, or has panicked. Requests that came too often leave none:
// they did nothing, and there may be many.
func (s *Server) audit(ctx context.Context, a *act, w http.ResponseWriter) {
	e := &a.entry
	e.Status = http.StatusInternalServerError
	if answered, ok := w.(interface{ Status() int }); ok && a.finished {
		if e.Status = answered.Status(); e.Status == 0 {
			e.Status = http.StatusOK
		}
	}
	if e.Status == http.StatusTooManyRequests {
		return
	}
	fields := auditFields{query: a.query}
	if a.body != nil {
		fields.body = a.body.text
	}
	// A request out of form may have a secret in any field, by mistake.
	fields.valueless = e.Status == http.StatusBadRequest || e.Status == http.StatusUnprocessableEntity
	var publisher string
	e.Fields, publisher = fields.encode()
	a.concerns(publisher)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditWait)
	defer cancel()
	if _, err := s.deps.Audit.AddAudit(ctx, *e); err != nil {
		s.metrics.auditLost.Inc()
		s.log.ErrorContext(ctx, "row of the audit log not written", "at", e.Time, "token", e.TokenID,
			"token_label", e.TokenLabel, "publisher", e.Publisher, "operation", e.Operation, "method", e.Method,
			"path", e.Path, "status", e.Status, "remote", e.Remote, "fields", string(e.Fields), "err", err)
	}
}
