package main

import (
	"net"
	"net/http"
	"strings"

	"github.com/oxbow-video/oxbow/ingest"
)

// What --https-redirect may be.
const (
	redirectNone  = "none"
	redirectPages = "pages"
	redirectAll   = "all"
)

// plain is the handler of --http beside this port: it answers certificate authorities and sends clients on to TLS, as
// the flags say. Media says which paths are players'; nil means none.
func (h *httpsPort) plain(handler http.Handler, media func(path string) bool) http.Handler {
	if h == nil || h.certs.acme == nil && h.flags.Redirect == redirectNone {
		return handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case h.certs.acme != nil && h.certs.acme.answer(w, r):
		case h.redirects(r.URL.Path, media):
			h.redirect(w, r)
		default:
			handler.ServeHTTP(w, r)
		}
	})
}

// everything is what an edge serves: players' paths.
func everything(string) bool { return true }

// redirects says that what asks for the path is sent on. Encoders that tunnel RTMP do not follow, so they never are.
func (h *httpsPort) redirects(path string, media func(path string) bool) bool {
	switch {
	case ingest.TunnelPath(path):
		return false
	case h.flags.Redirect == redirectPages:
		return media == nil || !media(path)
	}
	return h.flags.Redirect == redirectAll
}

// redirect keeps the method (308, RFC 9110 section 15.4.9). Browsers may keep the answer, but not past a mistake's
// correction.
func (h *httpsPort) redirect(w http.ResponseWriter, r *http.Request) {
	name, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		name = strings.Trim(r.Host, "[]")
	}
	if name == "" {
		http.Error(w, "ask over TLS, or tell the host", http.StatusBadRequest)
		return
	}
	if _, number, err := net.SplitHostPort(h.listener.Addr().String()); err == nil && number != "443" {
		name = net.JoinHostPort(name, number)
	} else if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	w.Header().Set("Location", "https://"+name+r.URL.RequestURI())
	w.Header().Set("Cache-Control", "max-age=300")
	w.Header().Set("Access-Control-Allow-Origin", "*") // else a page's player can't follow
	w.WriteHeader(http.StatusPermanentRedirect)
}

// takes says which paths the fast lane at --http has, of those that it would have without this port.
func (h *httpsPort) takes(lane func(path string) bool) func(path string) bool {
	switch {
	case h == nil:
		return lane
	case h.flags.Redirect == redirectAll:
		return func(string) bool { return false }
	case h.certs.acme == nil:
		return lane
	}
	return func(path string) bool {
		return !strings.HasPrefix(path, challengePath) && (lane == nil || lane(path))
	}
}
