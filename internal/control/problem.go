package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/oxbow-video/oxbow/internal/media"
)

// codes is the one table between errors, what they are called on the wire, and their statuses. The first that fits an
// error is its code.
func codes() []code {
	return []code{
		{"not_found", media.ErrNotFound, http.StatusNotFound},
		{"gone", media.ErrGone, http.StatusGone},
		{"exists", media.ErrExists, http.StatusConflict},
		{"conflict", media.ErrConflict, http.StatusConflict},
		{"limit", media.ErrLimit, http.StatusConflict},
		{"bad_name", media.ErrBadName, http.StatusUnprocessableEntity},
		{"invalid", media.ErrInvalid, http.StatusUnprocessableEntity},
		{"unsupported", media.ErrUnsupported, http.StatusUnprocessableEntity},
		{"too_large", media.ErrTooLarge, http.StatusRequestEntityTooLarge},
		{"denied", media.ErrDenied, http.StatusForbidden},
		{"taken_over", media.ErrTakenOver, http.StatusServiceUnavailable},
		{"fenced", media.ErrFenced, http.StatusServiceUnavailable},
		{"corrupt", media.ErrCorrupt, http.StatusInternalServerError},
		{"unavailable", media.ErrUnavailable, http.StatusServiceUnavailable},
		{"unavailable", context.DeadlineExceeded, http.StatusServiceUnavailable},
		{"unavailable", context.Canceled, http.StatusServiceUnavailable},
	}
}

type code struct {
	name   string
	err    error
	status int
}

// Codes that are no sentinel's.
const (
	codeInternal     = "internal"     // the node's log says more
	codeUnauthorised = "unauthorised" // the token is wrong, or missing
)

// problem is an error on the wire.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	// Field and Want are a media.FieldError's.
	Field string `json:"field,omitempty"`
	Want  string `json:"want,omitempty"`
}

// newProblem tells of err. An error that is not in the table is logged and not told.
func newProblem(ctx context.Context, err error, logger *slog.Logger) problem {
	p := problem{
		Status: http.StatusInternalServerError, Code: codeInternal, Detail: "internal error: the node's log says more",
	}
	for _, c := range codes() {
		if errors.Is(err, c.err) {
			p.Status, p.Code, p.Detail = c.status, c.name, err.Error()
			break
		}
	}
	if p.Code == codeInternal {
		logger.ErrorContext(ctx, "control request failed", "err", err)
	}
	if field := (*media.FieldError)(nil); errors.As(err, &field) {
		p.Field, p.Want = field.Field, field.Want
	}
	return p
}

func (p problem) write(w http.ResponseWriter) {
	p.Title = http.StatusText(p.Status)
	body, err := json.Marshal(p)
	if err != nil {
		panic("BUG: problem document: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // who asked may have left
}

// errAnswer is an answer that is none of this protocol's.
var errAnswer = errors.New("unusable answer")

// err gives the error that the problem tells of: with its sentinel, if it has one.
func (p problem) err() error {
	if p.Field != "" {
		return &toldError{text: p.Detail, is: &media.FieldError{Field: p.Field, Want: p.Want}}
	}
	for _, c := range codes() {
		if c.name == p.Code {
			return &toldError{text: p.Detail, is: c.err}
		}
	}
	switch p.Code {
	case codeUnauthorised:
		return errors.New("it does not take our --cluster-token: give every node and api process the same one")
	case "":
		return fmt.Errorf("%w: status %d without a code: is its URL that of an ingest node's internal port?", errAnswer,
			p.Status)
	}
	return fmt.Errorf("%w: status %d, code %.40q: %.200q", errAnswer, p.Status, p.Code, p.Detail)
}

// toldError is an error that another node had: its text, which names all it has to, and what it is.
type toldError struct {
	text string
	is   error
}

func (e *toldError) Error() string { return e.text }
func (e *toldError) Unwrap() error { return e.is }
