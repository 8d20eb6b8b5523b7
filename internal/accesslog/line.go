package accesslog

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Addresses says how much of viewers' addresses is written.
type Addresses string

// The choices.
const (
	AddressesFull  Addresses = "full"
	AddressesShort Addresses = "short" // the network: /24 of IPv4, /48 of IPv6
	AddressesNone  Addresses = "none"
)

// of gives what is written of an address; not valid is nothing.
func (a Addresses) of(addr netip.Addr) netip.Addr {
	bits := 48
	switch addr = addr.Unmap().WithZone(""); {
	case a == AddressesFull:
		return addr
	case a != AddressesShort || !addr.IsValid():
		return netip.Addr{}
	case addr.Is4():
		bits = 24
	}
	short, err := addr.Prefix(bits)
	if err != nil {
		return netip.Addr{}
	}
	return short.Addr()
}

// maxValue bounds a value of a line; what is longer is cut.
const maxValue = 2 << 10

// secret says whether a field of a query has, by its name, what lets somebody in: those of object stores and CDNs are
// seen by a cache in front of any origin.
func secret(name string) bool {
	name = strings.ToLower(name)
	for _, part := range [...]string{
		"token", "sig", "secret", "password", "passwd", "auth", "credential", "apikey", "api_key", "hdnts", "hdnea",
		"jwt", "session",
	} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return name == "key" || name == "policy" || name == "pwd" || name == "key-pair-id"
}

// head writes what is known when a request comes: all but the end.
func (r *Line) head(q *Request, now time.Time, addresses Addresses) {
	b := append(r.text[:0], `{"time":"`...)
	b = now.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = value(append(b, `","method":`...), q.Method)
	b = optional(b, `,"host":`, q.Host)
	b = value(append(b, `,"path":`...), withoutToken(q.Path))
	if q.Query != "" {
		b = queryValue(append(b, `,"query":`...), q.Query)
	}
	b = value(append(b, `,"proto":`...), q.Proto)
	if q.TLS {
		b = append(b, `,"tls":true`...)
	}
	if addresses == AddressesFull || addresses == AddressesShort {
		if addr := addresses.of(q.Fields.Viewer()); addr.IsValid() {
			b = append(addr.AppendTo(append(b, `,"client":"`...)), '"')
		}
	}
	b = optional(b, `,"agent":`, q.Fields.Value("User-Agent"))
	referer, _, _ := strings.Cut(q.Fields.Value("Referer"), "?")
	b = optional(b, `,"referer":`, referer)
	r.text = optional(b, `,"range":`, q.Fields.Value("Range"))
}

// end writes what came of it.
func (r *Line) end(a Answer) {
	b := strconv.AppendInt(append(r.text, `,"status":`...), int64(a.Status), 10)
	b = strconv.AppendInt(append(b, `,"bytes":`...), a.Body, 10)
	b = strconv.AppendFloat(append(b, `,"ms":`...), float64(a.Took.Microseconds())/1000, 'f', -1, 64)
	b = value(append(b, `,"result":`...), a.Result)
	if a.Cut {
		b = append(b, `,"cut":true`...)
	}
	r.text = append(b, "}\n"...)
}

func optional(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	return value(append(b, name...), text)
}

// queryValue writes a query with its secrets masked.
func queryValue(b []byte, query string) []byte {
	if !strings.Contains(query, "=") {
		return value(b, query)
	}
	clean := true
	for pair := range strings.SplitSeq(query, "&") {
		if name, v, _ := strings.Cut(pair, "="); v != "" && secret(name) {
			clean = false
		}
	}
	if clean {
		return value(b, query)
	}
	var masked strings.Builder
	for pair := range strings.SplitSeq(query, "&") {
		if masked.Len() > 0 {
			masked.WriteByte('&')
		}
		if name, v, _ := strings.Cut(pair, "="); v != "" && secret(name) {
			pair = name + "=***"
		}
		masked.WriteString(pair)
	}
	return value(b, masked.String())
}

// value writes a string of JSON (RFC 8259 section 7): whatever was sent to us, it is one, and has no line's end in it.
func value(b []byte, text string) []byte {
	cut := len(text) > maxValue
	if cut {
		text = text[:maxValue]
	}
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, n := utf8.DecodeRuneInString(text[i:])
			b = utf8.AppendRune(b, r) // what is not valid becomes U+FFFD
			i += n
			continue
		}
		i++
	}
	if cut {
		b = append(b, "..."...)
	}
	return append(b, '"')
}
