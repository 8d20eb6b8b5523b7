package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	maxDetails = 20 // errors told of one request
	maxEcho    = 80 // bytes of a value that an error repeats
)

// statusOf is the server's one table from errors to HTTP statuses.
func statusOf(err error) int {
	table := []struct {
		err    error
		status int
	}{
		{media.ErrNotFound, http.StatusNotFound},
		{media.ErrGone, http.StatusGone},
		{media.ErrExists, http.StatusConflict},
		{media.ErrConflict, http.StatusConflict},
		{media.ErrLimit, http.StatusConflict},
		{media.ErrPrecondition, http.StatusPreconditionFailed},
		{media.ErrBadName, http.StatusUnprocessableEntity},
		{media.ErrInvalid, http.StatusUnprocessableEntity},
		{media.ErrUnsupported, http.StatusUnprocessableEntity},
		{media.ErrTooLarge, http.StatusRequestEntityTooLarge},
		{media.ErrDenied, http.StatusForbidden},
		{media.ErrUnavailable, http.StatusServiceUnavailable},
		{media.ErrFenced, http.StatusServiceUnavailable}, // the stream moves to another node right now
		{media.ErrTakenOver, http.StatusServiceUnavailable},
		{context.DeadlineExceeded, http.StatusServiceUnavailable},
		{context.Canceled, http.StatusServiceUnavailable}, // the client left: nobody reads it
	}
	for _, row := range table {
		if errors.Is(err, row.err) {
			return row.status
		}
	}
	return http.StatusInternalServerError
}

// locatedError says which value of the request caused an error: "path.stream", "body.name".
type locatedError struct {
	location string
	err      error
}

func (e *locatedError) Error() string { return e.err.Error() }
func (e *locatedError) Unwrap() error { return e.err }

// at marks err, if it is one, as caused by the request's value at location.
func at(location string, err error) error {
	if err == nil {
		return nil
	}
	return &locatedError{location: location, err: err}
}

// problem makes the document that tells a client of err. An error that is not in the table is logged and not told.
func (s *Server) problem(ctx context.Context, err error) *huma.ErrorModel {
	var told *huma.ErrorModel
	if errors.As(err, &told) {
		return told
	}
	p := &huma.ErrorModel{Status: statusOf(err), Detail: err.Error()}
	p.Title = http.StatusText(p.Status)
	switch p.Status {
	case http.StatusInternalServerError:
		s.log.ErrorContext(ctx, "request failed", "err", err)
		p.Detail = "internal error: the server's log says more"
		return p
	case http.StatusServiceUnavailable:
		if ctx.Err() == nil || errors.Is(err, context.DeadlineExceeded) {
			s.log.Log(ctx, s.awayLevel(time.Now()), "request failed: a service is away", "err", err)
		}
		p.Detail = "a service that this needs is away: try again in a moment"
		return p
	}
	var located *locatedError
	var field *media.FieldError
	detail := &huma.ErrorDetail{Message: err.Error()}
	if errors.As(err, &field) {
		detail.Location, detail.Message = "body."+field.Field, field.Want
	}
	if errors.As(err, &located) && (field == nil || !strings.HasPrefix(located.location, "path.")) {
		detail.Location = located.location
	}
	if detail.Location != "" {
		p.Errors = []*huma.ErrorDetail{detail}
	}
	return p
}

// awayAgain is how often it is logged that a service is away. Edges and players ask again and again.
const awayAgain = 30 * time.Second

// awayLevel is the level of a failure for a service that is away: of many in a row one is for the operator. While this
// process starts none is: edges ask already.
func (s *Server) awayLevel(now time.Time) slog.Level {
	if s.deps.Ready != nil && s.deps.Ready(context.Background()) != nil {
		return slog.LevelDebug
	}
	last := s.toldAway.Load()
	if now.UnixNano()-last >= int64(awayAgain) && s.toldAway.CompareAndSwap(last, now.UnixNano()) {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// writeProblem answers with p outside of huma.
func writeProblem(w http.ResponseWriter, p *huma.ErrorModel) {
	body, err := json.Marshal(p)
	if err != nil {
		panic("BUG: problem document: " + err.Error())
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	if p.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the client may have left
}

// newProblem makes a document of a status and a text.
func newProblem(status int, format string, args ...any) *huma.ErrorModel {
	return &huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: fmt.Sprintf(format, args...)}
}

// explain is the huma transformer that makes huma's own problems say in detail what is wrong, bounds what they echo,
// and puts the headers on that every problem has.
func explain(ctx huma.Context, _ string, v any) (any, error) {
	p, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	if p.Status == http.StatusServiceUnavailable {
		ctx.SetHeader("Retry-After", "1")
	}
	switch p.Status {
	case http.StatusRequestEntityTooLarge:
		p.Errors = []*huma.ErrorDetail{{Location: "body", Message: p.Detail}}
		return p, nil
	case http.StatusUnsupportedMediaType:
		p.Detail = "Content-Type must be application/json"
		p.Errors = []*huma.ErrorDetail{{Location: "header.Content-Type", Message: "must be application/json"}}
		return p, nil
	case http.StatusBadRequest:
		if len(p.Errors) == 0 { // the body is missing
			p.Errors = []*huma.ErrorDetail{{Location: "body", Message: p.Detail}}
		}
	}
	for _, e := range p.Errors {
		nameMissing(e)
		advise(e)
	}
	if len(p.Errors) > maxDetails {
		p.Errors = p.Errors[:maxDetails]
	}
	var texts []string
	for _, e := range p.Errors {
		bound(e)
		if len(texts) < 3 {
			texts = append(texts, strings.TrimPrefix(e.Location+": "+e.Message, "body."))
		}
	}
	if p.Detail == "validation failed" {
		p.Detail = strings.Join(texts, "; ")
	}
	return p, nil
}

// bound cuts what an error echoes of the request.
func bound(e *huma.ErrorDetail) {
	if len(e.Location) > maxEcho {
		e.Location = strings.ToValidUTF8(e.Location[:maxEcho], "") + "..."
	}
	if len(e.Message) > 4*maxEcho {
		e.Message = strings.ToValidUTF8(e.Message[:4*maxEcho], "") + "..."
	}
	switch value := e.Value.(type) {
	case string:
		if len(value) > maxEcho {
			e.Value = nil
		}
	case map[string]any, []any, []string:
		e.Value = nil
	}
}
