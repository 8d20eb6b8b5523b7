package admission

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Detail is what a refused request is told.
const Detail = "this port is for the cluster's own processes: send Authorization: Bearer with its --cluster-token"

// Guard stands in front of an --internal port.
type Guard struct {
	tokens *Tokens
	logger *slog.Logger
	damper damper

	open    prometheus.Counter
	refused [Wrong + 1]prometheus.Counter
	delayed prometheus.Counter
}

// NewGuard makes one.
func NewGuard(tokens *Tokens, logger *slog.Logger, reg prometheus.Registerer) *Guard {
	g := &Guard{tokens: tokens, logger: logger}
	g.open = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_internal_tokenless_total",
		Help: "Requests to --internal that were let in without a token, while the cluster has one: its file says optional.",
	})
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_internal_refused_total",
		Help: "Requests to --internal that were refused: with a wrong token, or without one (missing).",
	}, []string{"token"})
	g.refused[Missing], g.refused[Wrong] = refused.WithLabelValues("missing"), refused.WithLabelValues("wrong")
	g.delayed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_internal_delayed_total",
		Help: "Answers to wrong tokens that were held back, since many came from one address.",
	})
	reg.MustRegister(g.open, refused, g.delayed)
	return g
}

// Admit says whether a request goes on, by the lines of its Authorization field and where it came from. What is refused
// with a wrong token may be held back in here until ctx ends; both are asked for only then.
func (g *Guard) Admit(lines []string, from func() (context.Context, netip.Addr)) bool {
	switch verdict := g.tokens.Judge(lines); verdict {
	case Right:
		return true
	case Open:
		if g.tokens.Known() {
			g.open.Inc()
			_, remote := from()
			g.note("a request without the cluster's token was let in", remote,
				"give it --cluster-token-file, and then remove the line optional from the file here")
		}
		return true
	case Missing:
		g.refused[Missing].Inc()
		_, remote := from()
		g.note("a request without the cluster's token was refused", remote,
			"if it is a process of the cluster, give it the --cluster-token or --cluster-token-file of this one")
	case Wrong:
		g.refused[Wrong].Inc()
		ctx, remote := from()
		g.note("a request with a wrong token was refused", remote,
			"if it is a process of the cluster, give both the same --cluster-token or --cluster-token-file")
		g.hold(ctx, remote)
	}
	return false
}

// note logs a request that showed no right token, once for each address and hour.
func (g *Guard) note(message string, remote netip.Addr, do string) {
	unlogged, ok := g.damper.line(message, prefixOf(remote), time.Now())
	if !ok {
		return
	}
	attrs := []any{"remote", remote.String(), "do", do}
	if unlogged > 0 {
		attrs = append(attrs, "unlogged", unlogged)
	}
	g.logger.Warn(message, attrs...)
}

// hold delays the answer to a wrong token, if many came from its address.
func (g *Guard) hold(ctx context.Context, remote netip.Addr) {
	delay, done := g.damper.guessed(prefixOf(remote), time.Now())
	if delay <= 0 {
		return
	}
	defer done()
	g.delayed.Inc()
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Handler guards a port of net/http; open says which paths need no token.
func (g *Guard) Handler(next http.Handler, open func(path string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if open(r.URL.Path) || g.Admit(r.Header["Authorization"], func() (context.Context, netip.Addr) {
			return r.Context(), remoteOf(r.RemoteAddr)
		}) {
			next.ServeHTTP(w, r)
			return
		}
		body := `{"type":"about:blank","title":` + strconv.Quote(http.StatusText(http.StatusUnauthorized)) +
			`,"status":401,"code":"unauthorised","detail":` + strconv.Quote(Detail) + "}\n"
		h := w.Header()
		h.Set("Content-Type", "application/problem+json")
		h.Set("Cache-Control", "no-store")
		h.Set("Www-Authenticate", `Bearer realm="oxbow"`)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(body)) // who asked may have left
	})
}

// remoteOf reads a connection's address; a zone and what is no address do not matter for counting.
func remoteOf(text string) netip.Addr {
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// prefixOf is what is counted as one client: an IPv4 address, or an IPv6 /64, of which anybody has all.
func prefixOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a = a.Unmap(); a.Is4() {
		bits = 32
	}
	p, _ := a.WithZone("").Prefix(bits) // the zero prefix is of those without an address
	return p
}
