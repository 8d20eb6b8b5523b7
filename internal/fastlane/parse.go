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

// parse reads a whole head, of at most maxHead bytes, which ends with an empty line. If it gives a reason the request
// is not one for the lane.
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
		end := strings.IndexByte(rest, '\n') - 1
		if end <= 0 {
			break
		}
		line := rest[:end]
		rest = rest[end+2:]
		colon := 0
		for colon < len(line) && classes[line[colon]]&tokenBytes != 0 {
			colon++
		}
		if colon == 0 || colon == len(line) || line[colon] != ':' || len(r.fields) == maxFields {
			return reasonField // among them obs-fold, and whitespace before the colon
		}
		begin := colon + 1
		for begin < end && (line[begin] == ' ' || line[begin] == '\t') {
			begin++
		}
		for begin < end && (line[end-1] == ' ' || line[end-1] == '\t') {
			end--
		}
		value := line[begin:end]
		if !all(value, valueBytes) {
			return reasonField
		}
		r.fields = append(r.fields,
			field{name: span{at, at + colon}, value: span{at + begin, at + end}})
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

const (
	pathBytes uint8 = 1 << iota
	queryBytes
	tokenBytes
	hostBytes
	valueBytes
)

// classes is a compiled pattern: what each byte may be in.
var classes = func() (of [256]uint8) {
	add := func(class uint8, set string) {
		for i := range len(set) {
			of[set[i]] |= class
		}
	}
	const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	// The unreserved characters of RFC 3986 and the slash: what net/url gives back as it came.
	add(pathBytes|queryBytes, alphanumeric+"-._~/")
	add(queryBytes, "!$&'()*+,;=:@?%")
	add(tokenBytes, alphanumeric+"!#$%&'*+-.^_`|~") // RFC 9110 section 5.6.2
	add(hostBytes, alphanumeric+"-._:[]")
	add(valueBytes, "\t")
	for c := ' '; c <= '~'; c++ {
		of[c] |= valueBytes
	}
	return of
}()

func all(s string, class uint8) bool {
	for i := range len(s) {
		if classes[s[i]]&class == 0 {
			return false
		}
	}
	return true
}
