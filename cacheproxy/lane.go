package cacheproxy

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/fastlane"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// InLane says whether the fast lane may have a path of the edge's. Downloads are net/http's: they last, and come alone.
func InLane(path string) bool { return !strings.HasSuffix(path, "/recording.mp4") }

// ServeLane implements fastlane.Handler, for the paths of InLane. It answers as ServeHTTP does.
func (p *Proxy) ServeLane(x *fastlane.Exchange) error {
	return p.handle((*lane)(x), visit{path: x.Path(), query: x.Query(), head: x.Head()}, false)
}

// lane is an exchange that the fast lane has read.
type lane fastlane.Exchange

func (l *lane) of() *fastlane.Exchange { return (*fastlane.Exchange)(l) }

func (l *lane) context() context.Context { return l.of().Context() }

func (l *lane) values(name string) []string { return l.of().Values(name) }

func (l *lane) remote() netip.Addr { return l.of().Remote().Addr() }

func (l *lane) keep() { l.of().Keep() }

func (l *lane) told() (status int, body int64) { return l.of().Written() }

func (l *lane) begin(r reply) error {
	var room [320]byte
	more := room[:0]
	if r.object.header["Date"] == nil { // our own errors
		more = time.Now().UTC().AppendFormat(append(more, "Date: "...), http.TimeFormat)
		more = append(more, "\r\n"...)
	}
	if r.age >= 0 {
		more = number10(append(more, "Age: "...), r.age, "\r\n")
	}
	if r.cacheStatus != "" {
		more = append(append(append(more, "Cache-Status: "...), r.cacheStatus...), "\r\n"...)
	}
	if r.told != "" {
		more = append(append(append(more, toldField+": "...), r.told...), "\r\n"...)
	}
	length := max(-1, r.to-r.from)
	if r.to < 0 {
		length = -1
	}
	switch {
	case r.form == formUnsatisfiable:
		more = number10(append(more, "Content-Range: bytes */"...), r.object.length, "\r\nContent-Length: 0\r\n")
	case r.form == formNotModified, length < 0:
	case r.several != nil:
		more = append(append(append(more, "Content-Type: "...), r.several.contentType...), "\r\n"...)
		more = number10(append(more, "Content-Length: "...), length, "\r\n")
	case r.status == http.StatusPartialContent:
		more = number10(append(more, "Content-Range: bytes "...), r.from, "-")
		more = number10(more, r.to-1, "/")
		more = number10(more, r.object.length, "\r\n")
		fallthrough
	default:
		more = number10(append(more, "Content-Length: "...), length, "\r\n")
	}
	if r.bodyless() {
		length = 0
	}
	return l.of().Begin(statusLine(r.status), r.object.formed(r.form, r.access).block, more, length)
}

func number10(b []byte, n int64, end string) []byte {
	return append(strconv.AppendInt(b, n, 10), end...)
}

func (l *lane) write(piece slab.Piece) error { return l.of().Write(piece) }

func (l *lane) flush() error { return l.of().Flush() }

func (l *lane) end() error { return l.of().End() }
