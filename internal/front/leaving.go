package front

import (
	"net/http"
	"sync/atomic"
)

// Leaving has the connections of an http.Server end in time: from Begin on every answer is its connection's last. Of
// HTTP/1 it tells so, and of HTTP/2 the connection says GOAWAY and ends with the streams that it has. New connections
// are taken still, for one answer each. The zero Leaving has not begun.
type Leaving struct{ begun atomic.Bool }

// Begin begins it.
func (l *Leaving) Begin() { l.begun.Store(true) }

// Handler gives the server's handler.
func (l *Leaving) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l.begun.Load() && r.ProtoMajor <= 2 { // for both, net/http obeys the field
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}
