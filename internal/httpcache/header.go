package httpcache

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// connectionHeaders belong to one connection (RFC 9110 section 7.6.1) or to one proxy (RFC 9111 section 3.1).
func connectionHeaders() []string {
	return []string{
		"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authentication-Info",
		"Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	}
}

// Forwarded gives a copy of the header without what belongs to the connection, and without what its Connection names.
func Forwarded(h http.Header) http.Header {
	own := make(http.Header, len(h)+4)
	for name, values := range h {
		own[name] = values
	}
	for _, line := range h["Connection"] {
		for _, name := range split(line) {
			delete(own, http.CanonicalHeaderKey(name))
		}
	}
	for _, name := range connectionHeaders() {
		delete(own, name)
	}
	return own
}

// Update gives the stored header as a 304 or a HEAD's answer freshens it (RFC 9111 section 3.2): with all that came but
// what tells of the stored body's own bytes.
func Update(stored, fresh http.Header) http.Header {
	updated := make(http.Header, len(stored)+len(fresh))
	for name, values := range stored {
		updated[name] = values
	}
	for name, values := range Forwarded(fresh) {
		switch name {
		case "Content-Length", "Content-Encoding", "Content-Type", "Content-Range":
		default:
			updated[name] = values
		}
	}
	return updated
}

// SameBody says whether a HEAD's answer may be of the stored one: what both tell of its bytes is the same (RFC 9111
// section 4.3.5).
func SameBody(stored, head http.Header, storedLength, headLength int64) bool {
	for _, name := range []string{"Etag", "Last-Modified"} {
		if len(head[name]) > 0 && !slices.Equal(stored[name], head[name]) {
			return false
		}
	}
	return headLength < 0 || headLength == storedLength
}

// Invalidated gives the request URIs beside its own that the answer to an unsafe request may have changed: those of
// Location and Content-Location on one of the hosts (RFC 9111 section 4.4). Of others it is nobody's to say.
func Invalidated(base *url.URL, h http.Header, hosts ...string) []string {
	var uris []string
	for _, name := range []string{"Location", "Content-Location"} {
		value := h.Get(name)
		if value == "" {
			continue
		}
		ref, err := url.Parse(value)
		if err != nil || ref.Opaque != "" {
			continue
		}
		same := func(host string) bool { return strings.EqualFold(host, ref.Host) }
		if ref.Host == "" || slices.ContainsFunc(hosts, same) {
			uris = append(uris, base.ResolveReference(ref).RequestURI())
		}
	}
	return uris
}
