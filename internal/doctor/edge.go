package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Edge is an edge of this machine as viewers and other edges see it, and the port of the API that steers viewers.
type Edge struct {
	// PublicURL is where viewers reach it, and SteeringURL where players ask the API; empty is none.
	PublicURL, SteeringURL string
	// Peers are the edges that it asks, and Authorization is what it shows them.
	Peers         []Peer
	Authorization []string
	// Certificates are those of its port with TLS.
	Certificates []Certificate
}

// Peer is an edge as a flag names it.
type Peer struct {
	Flag string // "--siblings"
	URL  string
}

// Certificate is what a file has, or the error with which it was read.
type Certificate struct {
	File string
	// Chain is the server's own certificate and those after it.
	Chain []*x509.Certificate
	Err   error
}

const (
	// warnExpiry is how long a certificate is to last: ACME and most others renew a month before.
	warnExpiry = 14 * 24 * time.Hour
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 4 << 10
	// peerPort is the field of every answer of an edge's port for other edges, but of its health.
	peerPort = "Oxbow-Peer"
)

func (e *Edge) check(ctx context.Context, r *Report) {
	if e == nil {
		return
	}
	for _, c := range e.Certificates {
		c.check(r, e.PublicURL, time.Now())
	}
	e.checkPublic(ctx, r)
	for _, p := range e.Peers {
		p.check(ctx, r, e.Authorization)
	}
	e.checkSteering(ctx, r)
}

// answer is what an HTTP server said.
type answer struct {
	status int
	header http.Header
	text   string
}

// ask gets what is at a URL, without following redirects.
func ask(ctx context.Context, target string, authorization []string) (answer, error) {
	return limited(ctx, func(ctx context.Context) (answer, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
		if err != nil {
			return answer{}, err
		}
		if len(authorization) > 0 {
			req.Header["Authorization"] = authorization
		}
		transport := &http.Transport{DisableKeepAlives: true}
		res, err := transport.RoundTrip(req)
		if err != nil {
			return answer{}, err
		}
		text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		return answer{res.StatusCode, res.Header, string(text)}, errors.Join(err, res.Body.Close())
	})
}

// checkPublic asks as a viewer does for a stream that is not there, which an edge says in a way of its own.
func (e *Edge) checkPublic(ctx context.Context, r *Report) {
	if e.PublicURL == "" {
		return
	}
	const name = "edge public url"
	const do = "let --public-url be where viewers reach this edge, from here too, and start the edge"
	begun := time.Now()
	a, err := ask(ctx, e.PublicURL+"/oxbow-doctor/none/index.m3u8", nil)
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		r.add(Warn, name, "see that players trust who signed it, and that --tls-cert has the intermediate certificates",
			"%s: this machine does not trust its certificate", e.PublicURL)
	case err != nil:
		r.add(Fail, name, do, "%s: %s", e.PublicURL, reason(err))
	case a.header.Get("Access-Control-Allow-Origin") != "*":
		r.add(Fail, name, "let it lead to the edge, and a proxy between leave Access-Control-Allow-Origin as it is",
			"%s answers %d, and lets no page of another origin play", e.PublicURL, a.status)
	case a.status == http.StatusServiceUnavailable:
		r.add(Warn, name, "look into the edge's log", "%s answers %d: the edge is there and not ready", e.PublicURL, a.status)
	case a.status != http.StatusNotFound:
		r.add(Warn, name, do, "%s answers %d to what is not there: is that an edge?", e.PublicURL, a.status)
	default:
		r.ok(name, "%s is answered in %v", e.PublicURL, time.Since(begun).Round(10*time.Microsecond))
	}
}

// check asks another edge as edges do, but for the name, so that it refuses, and shows whether the token is right.
func (p Peer) check(ctx context.Context, r *Report, authorization []string) {
	name := "edge " + strings.TrimPrefix(p.Flag, "--")
	begun := time.Now()
	a, err := ask(ctx, p.URL+"/oxbow-doctor/none/index.m3u8", authorization)
	switch {
	case err != nil:
		r.add(Warn, name, "if that edge runs, correct "+p.Flag+" or its --advertise, and let the port through firewalls",
			"%s: %s", p.URL, reason(err))
	case a.header.Get(peerPort) == "":
		r.add(Fail, name, "name the edge's --internal port, by its --advertise",
			"%s answers %d, and is no port for other edges", p.URL, a.status)
	case a.status == http.StatusUnauthorized:
		r.add(Fail, name, "give all edges and the API the same --cluster-token", "%s wants another token", p.URL)
	default:
		r.ok(name, "%s is an edge, answers in %v", p.URL, time.Since(begun).Round(10*time.Microsecond))
	}
}

// checkSteering asks the API as a player does, with a query that it refuses.
func (e *Edge) checkSteering(ctx context.Context, r *Report) {
	if e.SteeringURL == "" {
		return
	}
	const name = "steering url"
	if strings.HasPrefix(e.PublicURL, "https:") && !strings.HasPrefix(e.SteeringURL, "https:") {
		r.add(Fail, name, "give the API an https --steering-url", "browsers do not ask %s for viewers of %s",
			e.SteeringURL, e.PublicURL)
		return
	}
	begun := time.Now()
	a, err := ask(ctx, e.SteeringURL+"/steering/oxbow-doctor/none", nil)
	switch {
	case err != nil:
		r.add(Fail, name, "let --steering-url be where players reach the API's --http, and start the API", "%s: %s",
			e.SteeringURL, reason(err))
	case a.status == http.StatusGone:
		r.add(Fail, name, "start the API with --steering-url", "the API at %s steers nobody", e.SteeringURL)
	case a.status != http.StatusBadRequest || a.header.Get("Access-Control-Allow-Origin") != "*":
		r.add(Fail, name, "let --steering-url lead to the API's --http, and not to an edge",
			"%s answers %d, which is no steering", e.SteeringURL, a.status)
	default:
		r.ok(name, "%s answers in %v", e.SteeringURL, time.Since(begun).Round(10*time.Microsecond))
	}
}

// check judges a certificate for who asks for the public URL's host.
func (c Certificate) check(r *Report, public string, now time.Time) {
	const name, replace = "certificate", "replace the file: it is taken up without a restart"
	if c.Err != nil {
		r.add(Fail, name, "correct --tls-cert and --tls-key", "%s", reason(c.Err))
		return
	}
	leaf := c.Chain[0]
	roots := x509.VerifyOptions{CurrentTime: now, Intermediates: x509.NewCertPool()}
	for _, issuer := range c.Chain[1:] {
		roots.Intermediates.AddCert(issuer)
	}
	host := ""
	if u, err := url.Parse(public); err == nil && u.Scheme == "https" {
		host = u.Hostname()
	}
	names := append([]string(nil), leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, net.IP.String(ip))
	}
	until := leaf.NotAfter.UTC().Format(time.DateOnly)
	text := fmt.Sprintf("%s is for %s until %s", c.File, strings.Join(names, ", "), until)
	switch {
	case now.After(leaf.NotAfter):
		r.add(Fail, name, replace, "%s: it has expired", text)
	case now.Before(leaf.NotBefore):
		r.add(Fail, name, "look at the clock, or wait", "%s: it is not valid yet", text)
	case host != "" && leaf.VerifyHostname(host) != nil:
		r.add(Warn, name, "get one for that name, if no other file of --tls-cert has it", "%s, and not for %s", text, host)
	case leaf.NotAfter.Sub(now) < warnExpiry:
		r.add(Warn, name, "renew it, and "+replace, "%s", text)
	default:
		if _, err := leaf.Verify(roots); err != nil {
			r.add(Warn, name, "put the intermediates behind it in the file; one of your own authority only your players trust",
				"%s, and this machine does not trust it", text)
			return
		}
		r.ok(name, "%s", text)
	}
}
