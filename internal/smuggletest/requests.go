// Package smuggletest has requests that two servers in a row may take apart in two ways, for the tests of those who
// stand behind a proxy, or are one.
package smuggletest

import (
	"fmt"
	"strings"
)

// Requests are requests that two servers may take apart in two ways. Each is followed by a plain one for /next; hidden
// is what must never be taken for a request of its own.
func Requests() map[string]string {
	const hidden = "GET /xxx/hidden HTTP/1.1\r\nHost: h\r\n\r\n" // xxx is replaced by what tells the ways apart
	head := func(method string, lines ...string) string {
		return method + " /xxx/first HTTP/1.1\r\nHost: h\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
	}
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d", n) }
	chunk := "0\r\n\r\n"
	return map[string]string{
		"CL.TE":        head("POST", length(len(chunk+hidden)), "Transfer-Encoding: chunked") + chunk + hidden,
		"CL.TE on GET": head("GET", length(len(chunk+hidden)), "Transfer-Encoding: chunked") + chunk + hidden,
		"TE.CL": head("POST", length(4), "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n", len(hidden)) +
			hidden + "\r\n0\r\n\r\n",
		"TE.TE": head("POST", length(len(hidden)), "Transfer-Encoding: chunked", "Transfer-Encoding: cow") +
			hidden,
		"TE of two":               head("POST", length(len(hidden)), "Transfer-Encoding: identity, chunked") + hidden,
		"TE identity":             head("POST", length(len(hidden)), "Transfer-Encoding: identity") + hidden,
		"TE with a tab":           head("POST", length(len(hidden)), "Transfer-Encoding:\tchunked\x0b") + hidden,
		"TE in quotes":            head("POST", length(len(hidden)), "Transfer-Encoding: \"chunked\"") + hidden,
		"TE behind a folded line": head("POST", length(len(hidden)), "A: b", " Transfer-Encoding: chunked") + hidden,
		"TE folded":               head("POST", length(len(hidden)), "Transfer-Encoding:", " chunked") + hidden,
		"space before the colon":  head("POST", length(len(hidden)), "Transfer-Encoding : chunked") + hidden,
		"space before CL's colon": head("POST", fmt.Sprintf("Content-Length : %d", len(hidden))) + hidden,
		"two lengths":             head("POST", length(0), length(len(hidden))) + hidden,
		"two lengths in a line":   head("POST", fmt.Sprintf("Content-Length: 0, %d", len(hidden))) + hidden,
		"a signed length":         head("POST", fmt.Sprintf("Content-Length: +%d", len(hidden))) + hidden,
		"a negative length":       head("POST", "Content-Length: -1") + hidden,
		"a length in hex":         head("POST", fmt.Sprintf("Content-Length: 0x%x", len(hidden))) + hidden,
		"a length past 64 bits":   head("POST", "Content-Length: 18446744073709551617") + hidden,
		"a bare CR in a value":    head("GET", "A: b\rTransfer-Encoding: chunked", length(len(hidden))) + hidden,
		"a NUL in a value":        head("GET", "A: b\x00", length(len(hidden))) + hidden,
		"a NUL in a name":         head("GET", "Content\x00-Length: 0", length(len(hidden))) + hidden,
		"bare LF between lines":   "POST /xxx/first HTTP/1.1\nHost: h\n" + length(len(hidden)) + "\n\n" + hidden,
		"bare LF ends the head":   "POST /xxx/first HTTP/1.1\r\nHost: h\r\n" + length(len(hidden)) + "\n\r\n" + hidden,
		"chunk extension": head("POST", "Transfer-Encoding: chunked") +
			"5;a=\"\r\nGET /xxx/hidden HTTP/1.1\r\nHost: h\r\n\r\n",
		"chunk of 16 digits": head("POST", "Transfer-Encoding: chunked") +
			"10000000000000005\r\nhello\r\n0\r\n\r\n" + hidden,
		"chunk with a sign":     head("POST", "Transfer-Encoding: chunked") + "-1\r\n" + hidden,
		"chunk with 0x":         head("POST", "Transfer-Encoding: chunked") + "0x0\r\n\r\n" + hidden,
		"chunk without its end": head("POST", "Transfer-Encoding: chunked") + "5\r\nhelloXX0\r\n\r\n" + hidden,
		"TE in HTTP/1.0": "POST /xxx/first HTTP/1.0\r\nHost: h\r\n" + length(len(hidden)) +
			"\r\nTransfer-Encoding: chunked\r\n\r\n" + hidden,
		"HTTP/0.9": "GET /xxx/first\r\n" + hidden,
		"HTTP/1.2": "GET /xxx/first HTTP/1.2\r\nHost: h\r\n" + length(len(hidden)) + "\r\n\r\n" + hidden,
		"CONNECT":  "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n" + length(len(hidden)) + "\r\n\r\n" + hidden,
		"h2c upgrade": head("GET", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
			"HTTP2-Settings: AAMAAABk", length(len(hidden))) + hidden,
		"websocket upgrade":           head("GET", "Connection: Upgrade", "Upgrade: websocket", length(len(hidden))) + hidden,
		"Connection names the length": head("POST", "Connection: Content-Length", length(len(hidden))) + hidden,
		"two hosts":                   head("GET", "Host: other", length(len(hidden))) + hidden,
		"no host":                     "GET /xxx/first HTTP/1.1\r\n" + length(len(hidden)) + "\r\n\r\n" + hidden,
		"a thousand headers":          head("POST", strings.Repeat("A: b\r\n", 1000)+length(len(hidden))) + hidden,
		"a head past the limit":       head("POST", "A: "+strings.Repeat("b", 2<<20), length(len(hidden))) + hidden,
	}
}
