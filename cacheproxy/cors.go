package cacheproxy

import (
	"net/http"
	"strings"
)

const (
	// exposedFields are what pages may read of an answer, beside what they always may.
	exposedFields = "Date, Age, Cache-Status, Content-Length, Content-Range, Accept-Ranges, ETag, Retry-After"
	// allowedFields are what pages may send: conditions, ranges, and what players tell of themselves (CMCD, CTA-5004).
	allowedFields = "Range, If-Range, If-None-Match, If-Modified-Since, Cache-Control, Pragma, " +
		"CMCD-Object, CMCD-Request, CMCD-Session, CMCD-Status"
	// preflightAge is how long a page may remember what a preflight was told; browsers cut it to two hours or a day.
	preflightAge = "86400"
)

// preflight tells a page of another origin what it may send. It comes before anybody is asked for a token, for browsers
// send none with it, and it tells nothing of what is here.
func (p *Proxy) preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	setCORS(h)
	h["Access-Control-Allow-Methods"] = []string{"GET, HEAD, OPTIONS"}
	h["Access-Control-Allow-Headers"] = []string{allowedFields}
	h["Access-Control-Max-Age"] = []string{preflightAge}
	h["Allow"] = []string{"GET, HEAD, OPTIONS"}
	// A page of the Internet that plays from an edge on a local network (Private Network Access).
	if private := r.Header["Access-Control-Request-Private-Network"]; len(private) == 1 &&
		strings.EqualFold(private[0], "true") {
		h["Access-Control-Allow-Private-Network"] = []string{"true"}
		h["Vary"] = []string{"Access-Control-Request-Private-Network"}
	}
	w.WriteHeader(http.StatusNoContent)
}

// setCORS lets pages of all origins read an answer, and how long it took (Resource Timing): players estimate the
// network by that, and tell it in CMCD. No cookie is ever looked at, so there is nothing that a page could borrow.
func setCORS(h http.Header) {
	h["Access-Control-Allow-Origin"] = []string{"*"}
	h["Access-Control-Expose-Headers"] = []string{exposedFields}
	h["Timing-Allow-Origin"] = []string{"*"}
}
