package operator

import (
	"net/url"
	"time"
)

// fields is a request's body: what is not given is left out.
type fields map[string]any

func (f fields) text(name, value string) {
	if value != "" {
		f[name] = value
	}
}

func (f fields) texts(name string, values []string) {
	if len(values) > 0 {
		f[name] = values
	}
}

// query is a request's, likewise.
type query url.Values

func (q query) text(name, value string) {
	if value != "" {
		url.Values(q).Set(name, value)
	}
}

func (q query) texts(name string, values []string) {
	for _, v := range values {
		url.Values(q).Add(name, v)
	}
}

func (q query) moment(name string, t time.Time) { q.text(name, rfc3339(t)) }

func (q query) scope(s scopeName) {
	q.text("publisher", s.Publisher)
	q.text("stream", s.Stream)
}
