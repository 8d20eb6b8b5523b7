package fastlane

import (
	"bytes"
	"strings"
)

// maxHead is the largest head that is taken, and the size of a read buffer: players' have some 400 bytes, signed ones
// 1,500.
const maxHead = 8 << 10

// maxFields bounds the fields of a head that is taken.
const maxFields = 64

// headEnd looks for the end of the head at the beginning of b. Its lines before from were seen before. N is its length,
// or zero as long as it is not whole; next is then where to go on. Not ok: a line does not end in CRLF.
func headEnd(b []byte, from int) (n, next int, ok bool) {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		switch {
		case i < 0:
			return 0, from, true
		case i == 0 || b[from+i-1] != '\r':
			return 0, 0, false
		case i == 1:
			return from + 2, 0, from > 0
		}
		from += i + 1
	}
}

// mayBegin says whether a head that begins like b, and is not whole yet, may be one that is taken.
func mayBegin(b []byte) bool {
	for _, method := range []string{"GET /", "HEAD /"} {
		if n := min(len(b), len(method)); string(b[:n]) == method[:n] {
			return true
		}
	}
	return false
}

// parse reads a whole head, of at most maxHead bytes, which ends with an empty line. If it gives a reason the request is
// not one for the lane.
func (r *Request) parse(head string) Reason {
	*r = Request{text: head, fields: r.fields[:0], values: r.values[:0]}
	line, rest, _ := strings.Cut(head, "\r\n")
	switch {
	case strings.HasPrefix(line, "GET "):
		r.target.from = len("GET ")
	case strings.HasPrefix(line, "HEAD "):
		r.target.from, r.head = len("HEAD "), true
	default:
		return reasonMethod
	}
	line, ok := strings.CutSuffix(line, " HTTP/1.1")
	if !ok || len(line) < r.target.from {
		return reasonVersion
	}
	r.target.to = len(line)
	if !r.parseTarget() {
		return reasonTarget
	}
	return r.parseFields(rest)
}

// parseTarget wants the origin form (RFC 9112 section 3.2.1), whose path has no escapes and so only one spelling.
func (r *Request) parseTarget() bool {
	target := r.of(r.target)
	if len(target) == 0 || target[0] != '/' || strings.HasPrefix(target, "//") {
		return false
	}
	end := strings.IndexByte(target, '?')
	if end < 0 {
		r.path, r.query = r.target, span{r.target.to, r.target.to}
		return all(target, pathBytes)
	}
	r.path, r.query = span{r.target.from, r.target.from + end}, span{r.target.from + end + 1, r.target.to}
	return all(target[:end], pathBytes) && all(target[end+1:], queryBytes)
}

// parseFields reads all lines behind the first.
func (r *Request) parseFields(rest string) Reason {
	hosts, lengths, connections := 0, 0, 0
	for {
		at := len(r.text) - len(rest)
		line, more, ok := strings.Cut(rest, "\r\n")
		if line == "" || !ok {
			break
		}
		rest = more
		colon := strings.IndexByte(line, ':')
		if colon <= 0 || len(r.fields) == maxFields || !all(line[:colon], tokenBytes) {
			return reasonField // among them obs-fold, and whitespace before the colon
		}
		value := strings.Trim(line[colon+1:], " \t")
		if !all(value, valueBytes) {
			return reasonField
		}
		begin := at + colon + 1 + strings.Index(line[colon+1:], value)
		r.fields = append(r.fields, field{name: span{at, at + colon}, value: span{begin, begin + len(value)}})
		switch known(line[:colon]) {
		case fieldHost:
			hosts++
			if value == "" || !all(value, hostBytes) {
				return reasonHost
			}
		case fieldContentLength:
			lengths++
			if value != "0" {
				return reasonBody
			}
		case fieldConnection:
			connections++
			r.close = strings.EqualFold(value, "close")
			if !r.close && !strings.EqualFold(value, "keep-alive") {
				return reasonConnection
			}
		case fieldBody:
			return reasonBody
		case fieldUpgrade:
			return reasonConnection
		case fieldOther:
		}
	}
	switch {
	case hosts != 1:
		return reasonHost
	case lengths > 1:
		return reasonBody
	case connections > 1:
		return reasonConnection
	}
	return taken
}

// known are fields that the lane must understand.
const (
	fieldOther = iota
	fieldHost
	fieldContentLength
	fieldConnection
	fieldBody    // tells of a body, or how one is sent
	fieldUpgrade // asks for another protocol
)

func known(name string) int {
	switch len(name) {
	case len("Host"):
		return is(name, "Host", fieldHost)
	case len("Expect"):
		return is(name, "Expect", fieldBody)
	case len("Upgrade"): // and Trailer
		return is(name, "Upgrade", fieldUpgrade) + is(name, "Trailer", fieldBody)
	case len("Connection"):
		return is(name, "Connection", fieldConnection)
	case len("Content-Length"): // and HTTP2-Settings
		return is(name, "Content-Length", fieldContentLength) + is(name, "HTTP2-Settings", fieldUpgrade)
	case len("Transfer-Encoding"):
		return is(name, "Transfer-Encoding", fieldBody)
	case len("Proxy-Connection"):
		return is(name, "Proxy-Connection", fieldUpgrade)
	}
	return fieldOther
}

func is(name, other string, field int) int {
	if strings.EqualFold(name, other) {
		return field
	}
	return fieldOther
}

// set is a set of ASCII bytes.
type set struct{ low, high uint64 }

func (s set) has(c byte) bool {
	return c < 64 && s.low>>c&1 == 1 || c >= 64 && c < 128 && s.high>>(c-64)&1 == 1
}

const (
	digits  = 1<<('9'+1) - 1<<'0'
	letters = 1<<('Z'+1-64) - 1<<('A'-64) | 1<<('z'+1-64) - 1<<('a'-64)
)

// The unreserved characters of RFC 3986 and the slash: what net/url gives back as it came.
const (
	pathLow  = digits | 1<<'-' | 1<<'.' | 1<<'/'
	pathHigh = letters | 1<<('_'-64) | 1<<('~'-64)
)

const (
	pathBytes = iota
	queryBytes
	tokenBytes
	hostBytes
	valueBytes
)

// setOf gives the bytes that something may have.
func setOf(what int) set {
	switch what {
	case pathBytes:
		return set{pathLow, pathHigh}
	case queryBytes: // sub-delims, and what else RFC 3986 has in a query
		return set{
			pathLow | 1<<'!' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'(' | 1<<')' | 1<<'*' | 1<<'+' | 1<<',' | 1<<':' |
				1<<';' | 1<<'=' | 1<<'?',
			pathHigh | 1<<('@'-64),
		}
	case tokenBytes: // RFC 9110 section 5.6.2
		return set{
			digits | 1<<'!' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'*' | 1<<'+' | 1<<'-' | 1<<'.',
			letters | 1<<('^'-64) | 1<<('_'-64) | 1<<('`'-64) | 1<<('|'-64) | 1<<('~'-64),
		}
	case hostBytes:
		return set{digits | 1<<'-' | 1<<'.' | 1<<':', letters | 1<<('_'-64) | 1<<('['-64) | 1<<(']'-64)}
	}
	return set{1<<'\t' | ^uint64(1<<32-1), 1<<63 - 1} // visible ASCII, blanks and tabs
}

func all(s string, what int) bool {
	of := setOf(what)
	for i := range len(s) {
		if !of.has(s[i]) {
			return false
		}
	}
	return true
}
