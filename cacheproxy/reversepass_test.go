package cacheproxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Who waited for an answer that turns out to be another's asks for himself.
func TestReverseDoesNotShareWhatIsForOne(t *testing.T) {
	for name, lines := range map[string][]string{
		"private":  {"Cache-Control: private, max-age=60"},
		"no-cache": {"Cache-Control: no-cache", `ETag: "a"`},
		"varies":   {"Cache-Control: max-age=60", "Vary: Cookie"},
		"set aside by its size": {
			"Cache-Control: max-age=60", "Content-Length: " + strconv.Itoa(len("for 1")), "Vary: Cookie",
		},
	} {
		t.Run(name, func(t *testing.T) {
			const clients = 8
			var waiting atomic.Int32
			all := make(chan struct{})
			w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, r *http.Request) {
				<-all
				tell(rw, 200, "for "+strings.TrimPrefix(r.Header.Get("Cookie"), "id="), lines...)
			})
			var group sync.WaitGroup
			for i := range clients {
				group.Go(func() {
					if waiting.Add(1) == clients {
						close(all)
					}
					if got := w.get("/a", "Cookie: id="+strconv.Itoa(i)); got.body != "for "+strconv.Itoa(i) {
						t.Errorf("client %d got %q", i, got.body)
					}
				})
			}
			group.Wait()
			w.wantAsked(clients)
		})
	}
}

func TestReversePassesRequestsOn(t *testing.T) {
	var got *http.Request
	var body string
	w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got, body = r, string(text)
		rw.Header().Set("Trailer", "Sum")
		rw.WriteHeader(http.StatusMultiStatus)
		_, _ = io.WriteString(rw, "answer")
		rw.Header().Set("Sum", "7")
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, w.url+"/a%2fb//c?x=%7e&y", strings.NewReader("question"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"X-Own": "1", "Authorization": "x", "Connection": "X-Hop", "X-Hop": "1", "X-Forwarded-Host": "evil",
		"X-Forwarded-For": "1.2.3.4", "Content-Type": "a/b", "Proxy-Authorization": "y",
	} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusMultiStatus || string(text) != "answer" || resp.Trailer.Get("Sum") != "7" {
		t.Errorf("answered %d %q, trailer %v, %v", resp.StatusCode, text, resp.Trailer, err)
	}
	if got.Method != http.MethodPatch || body != "question" || got.RequestURI != "/a%2Fb//c?x=~&y" {
		t.Errorf("asked %s %s %q", got.Method, got.RequestURI, body)
	}
	for name, want := range map[string]string{
		"X-Own": "1", "Authorization": "x", "X-Hop": "", "X-Forwarded-Host": "", "X-Forwarded-For": "127.0.0.1",
		"Content-Type": "a/b", "Via": "1.1 " + w.cache.pseudonym, "Proxy-Authorization": "",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	if s := resp.Header.Get("Cache-Status"); s != "oxbow; fwd=method; fwd-status=207" {
		t.Errorf("Cache-Status %q", s)
	}
}

func TestReverseForwardsInterimAnswers(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Link", "</s.css>; rel=preload")
		rw.WriteHeader(http.StatusEarlyHints)
		rw.Header().Del("Link")
		tell(rw, 200, "body", "Cache-Control: max-age=60")
	})
	for i, want := range [][]string{{"103 </s.css>; rel=preload"}, nil} { // they are not stored
		for _, method := range []string{"GET", "POST"}[:2-i] {
			var seen []string
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
					seen = append(seen, strconv.Itoa(code)+" "+h.Get("Link"))
					return nil
				},
			})
			req, err := http.NewRequestWithContext(ctx, method, w.url+"/"+method, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if !slices.Equal(seen, want) || resp.Header.Get("Link") != "" {
				t.Errorf("%s, time %d: got %q, want %q; Link %q", method, i, seen, want, resp.Header.Get("Link"))
			}
		}
	}
}

func TestReverseRefuses(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, nil)
	w.answers(200, "body")
	for name, row := range map[string]struct {
		text string
		want int
	}{
		"TRACE":         {"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 405},
		"CONNECT":       {"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", 405},
		"fragment":      {"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"long target":   {"GET /" + strings.Repeat("a", maxURI) + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
		"loop":          {"GET /a HTTP/1.1\r\nHost: x\r\nVia: 1.1 a, 1.1 " + w.cache.pseudonym + "\r\n\r\n", 508},
		"absolute form": {"GET http://y/a HTTP/1.1\r\nHost: x\r\n\r\n", 200},
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, row.text); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != row.want {
			t.Errorf("%s: got %v, %v", name, resp, err)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
		_ = conn.Close()
	}
}
