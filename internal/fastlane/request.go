package fastlane

import (
	"net/netip"
	"strings"
)

// Request is a head that the lane has taken. The strings that it gives are views of the connection's buffer (invariant
// 5): who keeps one clones it.
type Request struct {
	text                string
	target, path, query span
	fields              []field
	values              []string // what Values gave, so that it need not allocate
	head, close         bool
	remote              netip.AddrPort
}

type span struct{ from, to int }

type field struct{ name, value span }

func (r *Request) of(s span) string { return r.text[s.from:s.to] }

// Head says that it is a HEAD request, which is answered as GET is, without the body.
func (r *Request) Head() bool { return r.head }

// Text is the whole head, as it came: what http.ReadRequest reads.
func (r *Request) Text() string { return r.text }

// Target is the request's target, as it came.
func (r *Request) Target() string { return r.of(r.target) }

// Path is the target's path. It has no escapes, and needs none.
func (r *Request) Path() string { return r.of(r.path) }

// Query is what follows the question mark, as it came.
func (r *Request) Query() string { return r.of(r.query) }

// Remote is the connection's other end.
func (r *Request) Remote() netip.AddrPort { return r.remote }

// Values gives the values of a field, one per line, in order. The name may be in any case.
func (r *Request) Values(name string) []string {
	first := len(r.values)
	for _, f := range r.fields {
		if f.name.to-f.name.from == len(name) && strings.EqualFold(r.of(f.name), name) {
			r.values = append(r.values, r.of(f.value))
		}
	}
	return r.values[first:len(r.values):len(r.values)]
}
