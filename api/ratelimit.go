package api

import (
	"cmp"
	"crypto/sha256"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
)

const (
	tokenBurst = 2  // seconds of a token's rate at once
	wrongShare = 10 // wrong tokens of one address are let be a tenth of what a token may do,
	wrongBurst = 10 // and ten seconds of that at once
)

// limits bound what one token may ask, and how often one address may be wrong about its token.
type limits struct {
	tokens *limiter
	wrong  *limiter
}

// newLimits makes those of a rate of requests a second; zero is nil, which bounds nothing.
func newLimits(rate float64) *limits {
	if rate <= 0 {
		return nil
	}
	wrong := max(1, rate/wrongShare)
	return &limits{
		tokens: newLimiter(rate, int(math.Ceil(rate*tokenBurst))), wrong: newLimiter(wrong, int(math.Ceil(wrong*wrongBurst))),
	}
}

// limit refuses what is too much, before the token is looked up. Who comes with a token that was right lately is not
// shut out by others at the same address.
func (s *Server) limit(ctx huma.Context, next func(huma.Context)) {
	if s.limits == nil || len(ctx.Operation().Security) == 0 {
		next(ctx)
		return
	}
	r, w := humachi.Unwrap(ctx)
	sum := sha256.Sum256([]byte(bearerToken(r.Header))) // not of the header: it can be written in many ways
	token := string(sum[:])
	if !s.limits.tokens.known(token) {
		s.limitUnknown(ctx, w, next, token)
		return
	}
	a := s.limits.tokens.take(token)
	tellLimit(w.Header(), s.limits.tokens, a)
	if !a.ok {
		tooMany(w, a, "header.Authorization", "this token asks too often: wait as long as Retry-After says")
		return
	}
	if next(ctx); answered(ctx, w) == http.StatusUnauthorized { // it was revoked, or has expired
		s.limits.tokens.drop(token)
	}
}

// answered is the status of the answer.
func answered(ctx huma.Context, w http.ResponseWriter) int {
	status := 0
	if out, ok := w.(interface{ Status() int }); ok {
		status = out.Status()
	}
	return cmp.Or(status, ctx.Status())
}

// limitUnknown lets a token be tried that is not known to be right.
func (s *Server) limitUnknown(ctx huma.Context, w http.ResponseWriter, next func(huma.Context), token string) {
	address := addressOf(ctx.RemoteAddr())
	if a := s.limits.wrong.look(address); !a.ok {
		tooMany(w, a, "header.Authorization",
			"too many requests without a right token came from this address: wait as long as Retry-After says")
		return
	}
	next(ctx)
	switch status := answered(ctx, w); {
	case status == http.StatusUnauthorized:
		s.limits.wrong.take(address)
	case status < http.StatusInternalServerError: // else nobody may have looked at it
		s.limits.tokens.take(token)
	}
}

// addressOf is what an address is counted as: an IPv6 network of /64 is one, since one host has all of it.
func addressOf(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if network, err := ip.Prefix(64); err == nil {
			return network.String()
		}
	}
	return ip.String()
}

// tellLimit says what is left of the burst, and after how many seconds it is whole again.
func tellLimit(h http.Header, l *limiter, a allowance) {
	h.Set("RateLimit-Limit", strconv.Itoa(l.burst))
	h.Set("RateLimit-Remaining", strconv.Itoa(a.left))
	h.Set("RateLimit-Reset", seconds(a.reset))
}

func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }

func tooMany(w http.ResponseWriter, a allowance, location, text string) {
	refuseFor(w, max(a.retry, time.Second), location, text)
}

// refuseFor tells a client to come again after a while.
func refuseFor(w http.ResponseWriter, retry time.Duration, location, text string) {
	w.Header().Set("Retry-After", seconds(retry))
	p := newProblem(http.StatusTooManyRequests, "%s", text)
	p.Errors = []*huma.ErrorDetail{{Location: location, Message: text}}
	writeProblem(w, p)
}

// The headers that pages of other origins may send and read.
func allowedHeaders() []string {
	return []string{"Authorization", "Content-Type", "If-Match", idempotencyKey, "Last-Event-ID"}
}

func exposedHeaders() []string {
	return strings.Fields("Location ETag Retry-After WWW-Authenticate Idempotent-Replayed " +
		"RateLimit-Limit RateLimit-Remaining RateLimit-Reset")
}
