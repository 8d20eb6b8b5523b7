package front

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"testing"
)

func TestAnswersAreTheLastOnesFromBegin(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		leaving := new(Leaving)
		server := httptest.NewUnstartedServer(leaving.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Proto)
		})))
		server.EnableHTTP2 = http2
		server.StartTLS()
		reused := func() (reused bool) {
			req, err := http.NewRequest(http.MethodGet, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}
			resp, err := server.Client().Do(req.WithContext(httptrace.WithClientTrace(t.Context(), trace)))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if (resp.ProtoMajor == 2) != http2 {
				t.Errorf("%s", resp.Proto)
			}
			return reused
		}
		if reused() || !reused() {
			t.Fatalf("http2=%v: a connection is not used again", http2)
		}
		leaving.Begin()
		if !reused() {
			t.Errorf("http2=%v: Begin closes connections", http2)
		}
		for range 3 {
			if reused() {
				t.Errorf("http2=%v: a connection has more than one answer", http2)
			}
		}
		server.Close()
	}
}
