package accesslog

import (
	"net/netip"
	"time"
)

// Fields shows the rest of a request.
type Fields interface {
	// Value gives a field's first line by its canonical name, or nothing.
	Value(name string) string
	// Viewer is the address that asks; not valid: nobody can know.
	Viewer() netip.Addr
}

// Request is what a viewer asks. Its texts are not kept.
type Request struct {
	// Path and Query have no playback token in them; Query is raw.
	Method, Host, Path, Query string
	// Proto is "HTTP/1.1", "HTTP/2.0" or "HTTP/3.0".
	Proto string
	// TLS says that the viewer's connection is encrypted.
	TLS    bool
	Fields Fields
}

// Answer is what a request came to.
type Answer struct {
	// Status is 0 if nothing was answered.
	Status int
	// Body is how many bytes of it were written to the connection.
	Body int64
	// Took is the time from the request's head to the answer's end.
	Took time.Duration
	// Result is what the cache made of it.
	Result string
	// Cut says that the answer was broken off.
	Cut bool
}

// Line is one of the log, as far as it is made.
type Line struct{ text []byte }
