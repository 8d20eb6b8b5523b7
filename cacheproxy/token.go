package cacheproxy

import (
	"net/http"
	"net/url"
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
func originOf(a asker) func() string {
	return func() string {
		if origin := first(a.values("Origin")); origin != "" {
			return canonicalOrigin(origin)
		}
		u, err := url.Parse(first(a.values("Referer")))
		if err != nil || u.Host == "" {
			return ""
		}
		return canonicalOrigin(u.Scheme + "://" + u.Host)
	}
}

func first(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[0]
}

func canonicalOrigin(text string) string {
	origin, err := media.ParseOrigin(text)
	if err != nil {
		return "" // "null" too: a page of no origin
	}
	return origin
}

// signedWriter restricts what net/http sends by its access.
type signedWriter struct {
	http.ResponseWriter
	access access
	begun  bool
}

// WriteHeader implements http.ResponseWriter.
func (w *signedWriter) WriteHeader(status int) {
	if !w.begun && status >= http.StatusOK {
		w.begun = true
		w.access.restrict(w.Header(), status)
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
