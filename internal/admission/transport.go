package admission

import (
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
)

// Transport shows the cluster's token to whomever it asks, and has it told once who refuses it. Only what goes to
// --internal ports may pass it. It follows no redirect, and a client on it must not either.
type Transport struct {
	next   http.RoundTripper
	tokens *Tokens
	logger *slog.Logger
}

// refusals are the hosts that refuse a process's token: all of its transports tell of each once.
type refusals struct {
	any   atomic.Bool
	mu    sync.Mutex
	hosts map[string]bool
}

// maxRefused bounds the hosts that are remembered to refuse the token.
const maxRefused = 1024

// Transport puts the tokens in front of next.
func (t *Tokens) Transport(next http.RoundTripper, logger *slog.Logger) *Transport {
	return &Transport{next: next, tokens: t, logger: logger}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if shown := t.tokens.Shown(); shown != nil {
		authorized := *req // a round trip must not modify its request
		authorized.Header = maps.Clone(req.Header)
		if authorized.Header == nil {
			authorized.Header = make(http.Header, 1)
		}
		authorized.Header["Authorization"] = shown
		req = &authorized
	}
	resp, err := t.next.RoundTrip(req)
	switch {
	case err != nil, t.tokens == nil:
	case resp.StatusCode == http.StatusUnauthorized:
		t.tell(req.URL.Host)
	case t.tokens.refusals.any.Load() && req.URL.Path != "/healthz": // which needs none
		t.taken(req.URL.Host)
	}
	return resp, err
}

// tell logs a refusal, unless that was told.
func (t *Transport) tell(host string) {
	r := &t.tokens.refusals
	r.mu.Lock()
	told := r.hosts[host] || len(r.hosts) >= maxRefused
	if !told {
		if r.hosts == nil {
			r.hosts = make(map[string]bool)
		}
		r.hosts[host] = true
		r.any.Store(true)
	}
	r.mu.Unlock()
	switch {
	case told:
	case t.tokens.Known():
		t.logger.Warn("a process of the cluster does not take this one's token", "at", host,
			"do", "give both the same --cluster-token or --cluster-token-file")
	default:
		t.logger.Warn("a process of the cluster wants a token, and this one has none", "at", host,
			"do", "give this one the --cluster-token or --cluster-token-file of the others")
	}
}

func (t *Transport) taken(host string) {
	r := &t.tokens.refusals
	r.mu.Lock()
	was := r.hosts[host]
	delete(r.hosts, host)
	r.any.Store(len(r.hosts) > 0)
	r.mu.Unlock()
	if was {
		t.logger.Info("a process of the cluster takes this one's token now", "at", host)
	}
}

// CloseIdleConnections closes those of what is behind it.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
