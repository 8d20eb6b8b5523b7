package cacheproxy

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	tokenPrefix = "/t/"    // /t/{token}/{publisher}/...
	tokenField  = "token=" // of a query
)

// cutPathToken takes the token off a path that begins with tokenPrefix. The path is empty when there is none behind it.
func cutPathToken(path string) (token, rest string) {
	token = path[len(tokenPrefix):]
	at := strings.IndexByte(token, '/')
	if at < 0 {
		return token, ""
	}
	return token[:at], token[at:]
}

// cutQueryToken takes every token out of a query, and gives the first. A token has nothing in it that needs escapes.
func cutQueryToken(query string) (token, rest string) {
	kept := make([]string, 0, 4)
	for pair := range strings.SplitSeq(query, "&") {
		value, ok := strings.CutPrefix(pair, tokenField)
		switch {
		case !ok:
			kept = append(kept, pair)
		case token == "":
			token = value
		}
	}
	return token, strings.Join(kept, "&")
}

// originOf gives the web origin of the page that asks: Origin, which browsers send where CORS is at work, else that of
// the Referer. Empty is none.
func originOf(r *http.Request) func() string {
	return func() string {
		if origin := r.Header.Get("Origin"); origin != "" {
			return canonicalOrigin(origin)
		}
		u, err := url.Parse(r.Header.Get("Referer"))
		if err != nil || u.Host == "" {
			return ""
		}
		return canonicalOrigin(u.Scheme + "://" + u.Host)
	}
}

func canonicalOrigin(text string) string {
	origin, err := media.ParseOrigin(text)
	if err != nil {
		return "" // "null" too: a page of no origin
	}
	return origin
}

// signedWriter keeps what is sent to who was let in by a token from whoever else asks: caches between us and the viewer
// must not give it on. Errors are not kept at all, for the next token may be good.
type signedWriter struct {
	http.ResponseWriter
	byOrigin bool // the token was good for a page's origin
	begun    bool
}

// WriteHeader implements http.ResponseWriter.
func (w *signedWriter) WriteHeader(status int) {
	if !w.begun && status >= http.StatusOK {
		w.begun = true
		h := w.Header()
		for _, name := range []string{"Cdn-Cache-Control", "Surrogate-Control", "Expires"} {
			delete(h, name)
		}
		if status >= http.StatusBadRequest {
			h["Cache-Control"] = []string{"no-store"}
		} else {
			h["Cache-Control"] = []string{privately(h["Cache-Control"])}
		}
		if w.byOrigin { // never append to what the cached object has
			h["Vary"] = append(slices.Clone(h["Vary"]), "Origin, Referer")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *signedWriter) Write(b []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *signedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// privately gives a Cache-Control that lets only the viewer's own cache keep the answer.
func privately(lines []string) string {
	kept := []string{"private"}
	for _, line := range lines {
		for directive := range strings.SplitSeq(line, ",") {
			directive = strings.TrimSpace(directive)
			name, _, _ := strings.Cut(directive, "=")
			switch strings.ToLower(name) {
			case "", "public", "private", "s-maxage", "proxy-revalidate":
			default:
				kept = append(kept, directive)
			}
		}
	}
	return strings.Join(kept, ", ")
}
