package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	idempotencyKey = "Idempotency-Key"
	replayed       = "Idempotent-Replayed"
	minReplyKey    = 16 // characters: shorter ones are counted up, and found by counting
	maxReplyKey    = 200
	replyKept      = 24 * time.Hour
	replyLate      = 5 * time.Second // beyond the request's timeout, until somebody else may answer it
	bodyWait       = 5 * time.Second
)

// Replies keeps answers to requests that came with an idempotency key: see the catalog's DB.
type Replies interface {
	ClaimReply(ctx context.Context, c media.ReplyClaim) (answer string, err error)
	SaveReply(ctx context.Context, c media.ReplyClaim, answer string) error
	DropReply(ctx context.Context, c media.ReplyClaim) error
	PruneReplies(ctx context.Context, limit int) (int, error)
}

// idempotent has a POST with an Idempotency-Key be done once: the same request under the same key gets the answer of
// the first. Only success is kept; what failed may be tried again under its key. Such a request goes on when its client
// leaves, since that one will ask again for the answer.
func (s *Server) idempotent(ctx huma.Context, next func(huma.Context)) {
	key := ctx.Header(idempotencyKey)
	if ctx.Method() != http.MethodPost || !present(ctx, idempotencyKey) {
		next(ctx)
		return
	}
	_, w := humachi.Unwrap(ctx)
	if !replyKeyOK(key) {
		writeProblem(w, keyProblem(http.StatusUnprocessableEntity, fmt.Sprintf(
			"use %d to %d printable ASCII characters without spaces: a random UUID for each creation",
			minReplyKey, maxReplyKey)))
		return
	}
	_ = ctx.SetReadDeadline(time.Now().Add(bodyWait)) // not every writer can; huma does the same
	limit := ctx.Operation().MaxBodyBytes
	body, err := io.ReadAll(io.LimitReader(ctx.BodyReader(), limit+1))
	if err != nil || int64(len(body)) > limit { // nothing is going to be done: huma says why
		next(&rerun{humaContext: ctx, body: io.MultiReader(bytes.NewReader(body), failing{err})})
		return
	}
	request := newSealed(caller(ctx.Context()).ID, key)
	url := ctx.URL()
	claim := media.ReplyClaim{
		Hash: request.hash, Fingerprint: request.fingerprint(ctx.Method(), url.RequestURI(), body), ID: rand.Text(),
		Lease: s.cfg.Timeout + replyLate, Keep: replyKept,
	}
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx.Context()), s.cfg.Timeout)
	defer cancel()
	answer, err := s.deps.Replies.ClaimReply(detached, claim)
	switch {
	case errors.Is(err, media.ErrConflict):
		w.Header().Set("Retry-After", "1")
		writeProblem(w, keyProblem(http.StatusConflict,
			"the request under this key is being answered: ask again in a moment"))
	case errors.Is(err, media.ErrExists):
		writeProblem(w, keyProblem(http.StatusUnprocessableEntity,
			"another request came under this key before: use a new key for a new request"))
	case err != nil:
		writeProblem(w, s.problem(ctx.Context(), err))
	case answer != "":
		s.replay(ctx.Context(), w, request, answer)
	default:
		s.answerOnce(detached, ctx, next, request, claim, body)
	}
}

// answerOnce has the request answered, and keeps the answer before it is sent.
func (s *Server) answerOnce(
	ctx context.Context, in huma.Context, next func(huma.Context), request *sealed, claim media.ReplyClaim, body []byte,
) {
	out := &rerun{humaContext: huma.WithContext(in, ctx), body: bytes.NewReader(body), kept: &reply{Header: http.Header{}}}
	settled := false
	settle := func(f func(context.Context) error) {
		settled = true
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), replyLate)
		defer cancel()
		if err := f(ctx); err != nil {
			s.log.WarnContext(ctx, "answer not kept for a repeated request", "err", err)
		}
	}
	drop := func(ctx context.Context) error { return s.deps.Replies.DropReply(ctx, claim) }
	defer func() {
		if !settled { // a panic
			settle(drop)
		}
	}()
	next(out)
	if out.kept.Status/100 == 2 {
		settle(func(ctx context.Context) error { return s.deps.Replies.SaveReply(ctx, claim, request.seal(out.kept)) })
	} else {
		settle(drop)
	}
	_, w := humachi.Unwrap(in)
	out.kept.send(w)
}

// replay sends an answer again.
func (s *Server) replay(ctx context.Context, w http.ResponseWriter, request *sealed, answer string) {
	kept, err := request.open(answer)
	if err != nil {
		writeProblem(w, s.problem(ctx, err))
		return
	}
	w.Header().Set(replayed, "true")
	kept.send(w)
}

// runReplies removes the answers that have expired, also while nobody brings new ones.
func (s *Server) runReplies(ctx context.Context) {
	if s.deps.Replies == nil {
		return
	}
	pruneLoop(ctx, pruneEvery, func() {
		for {
			const limit = 1000
			n, err := s.deps.Replies.PruneReplies(ctx, limit)
			if err != nil {
				s.log.WarnContext(ctx, "answers that have expired stay for now", "err", err)
			}
			if n < limit {
				return
			}
		}
	})
}

func present(ctx huma.Context, header string) (found bool) {
	ctx.EachHeader(func(name, _ string) { found = found || name == header })
	return found
}

func replyKeyOK(key string) bool {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return false
		}
	}
	return minReplyKey <= len(key) && len(key) <= maxReplyKey
}

func keyProblem(status int, text string) *huma.ErrorModel {
	p := newProblem(status, "%s", text)
	p.Errors = []*huma.ErrorDetail{{Location: "header." + idempotencyKey, Message: text}}
	return p
}
