package front

import "net/http"

// OneReading has a connection of HTTP/1.1 end with the answer to a request whose body came in chunks. Such a request
// may have told a length too, which net/http hides from handlers: a proxy in front that went by the length sees another
// request begin behind it than we do (RFC 9112, section 6.1, which has the server close the connection for that).
func OneReading(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
