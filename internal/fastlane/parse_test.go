package fastlane

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const plain = "GET /acme/show/1.m4s?_HLS_msn=1 HTTP/1.1\r\nHost: edge\r\n\r\n"

// heads are one good head and changes to it, with what is made of each.
func heads() map[string]Reason {
	with := func(lines string) string { return strings.TrimSuffix(plain, "\r\n") + lines + "\r\n" }
	to := func(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: edge\r\n\r\n" }
	return map[string]Reason{
		plain:                                              taken,
		"HEAD" + plain[3:]:                                 taken,
		plain + plain:                                      taken,
		with("Connection: keep-alive\r\n"):                 taken,
		with("connection:\t Close \t\r\n"):                 taken,
		with("Content-Length: 0\r\n"):                      taken,
		with("Range: bytes=0-1\r\nRANGE:bytes=3-\r\n"):     taken,
		with("X-Empty:\r\nA: b:c\r\nPragma: no-cache\r\n"): taken,
		to("/"):                taken,
		to("/a?"):              taken,
		to("/a?b?c=%zz;d&e=/"): taken,
		to("/a/../b/./c"):      taken,
		to("/t/eyJ.a-_~/x"):    taken,

		"POST" + plain[3:]:                                  reasonMethod,
		"get" + plain[3:]:                                   reasonMethod,
		"\r\n" + plain:                                      reasonMethod,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                  reasonMethod,
		"\x16\x03\x01\x02\x00\x01\x00":                      reasonMethod,
		"GET  / HTTP/1.1\r\nHost: a\r\n\r\n":                reasonMethod,
		to("http://edge/a"):                                 reasonMethod,
		to("*"):                                             reasonMethod,
		to("//edge/a"):                                      reasonTarget,
		to("/a%2fb"):                                        reasonTarget,
		to("/a b"):                                          reasonTarget,
		to("/a#b"):                                          reasonTarget,
		to("/a?b#c"):                                        reasonTarget,
		to("/a?b c"):                                        reasonTarget,
		to("/ä"):                                            reasonTarget,
		to("/a;b"):                                          reasonTarget,
		"GET / HTTP/1.0\r\nHost: a\r\n\r\n":                 reasonVersion,
		"GET / HTTP/1.1 \r\nHost: a\r\n\r\n":                reasonVersion,
		"GET /\r\nHost: a\r\n\r\n":                          reasonVersion,
		"GET / http/1.1\r\nHost: a\r\n\r\n":                 reasonVersion,
		"GET / HTTP/1.1\nHost: a\r\n\r\n":                   reasonLine,
		strings.ReplaceAll(plain, "\r", ""):                 reasonLine,
		"GET / HTTP/1.1\r\nHost: a\n\r\n":                   reasonLine,
		with(" folded\r\n"):                                 reasonField,
		with("A : b\r\n"):                                   reasonField,
		with(": b\r\n"):                                     reasonField,
		with("no colon\r\n"):                                reasonField,
		with("A: b\rc\r\n"):                                 reasonField,
		with("A: b\x00c\r\n"):                               reasonField,
		with("A: b\x7f\r\n"):                                reasonField,
		with("A: ü\r\n"):                                    reasonField,
		with("A(: b\r\n"):                                   reasonField,
		with(strings.Repeat("A: b\r\n", 64)):                reasonField,
		with("Host: edge\r\n"):                              reasonHost,
		"GET / HTTP/1.1\r\n\r\n":                            reasonHost,
		"GET / HTTP/1.1\r\nHost:\r\n\r\n":                   reasonHost,
		"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n":               reasonHost,
		with("Content-Length: 1\r\n"):                       reasonBody,
		with("Content-Length: 00\r\n"):                      reasonBody,
		with("Content-Length: 0, 0\r\n"):                    reasonBody,
		with("Content-Length: 0\r\ncontent-length: 0\r\n"):  reasonBody,
		with("Transfer-Encoding: chunked\r\n"):              reasonBody,
		with("Expect: 100-continue\r\n"):                    reasonBody,
		with("Trailer: A\r\n"):                              reasonBody,
		with("Upgrade: websocket\r\n"):                      reasonConnection,
		with("HTTP2-Settings: AAMAAABk\r\n"):                reasonConnection,
		with("Connection: close, upgrade\r\n"):              reasonConnection,
		with("Connection: close\r\nConnection: close\r\n"):  reasonConnection,
		with("Proxy-Connection: keep-alive\r\n"):            reasonConnection,
		with("A: " + strings.Repeat("b", maxHead) + "\r\n"): reasonSize,
	}
}

// read does to b what a connection does to what came.
func read(r *Request, b []byte) (n int, why Reason) {
	n, _, ok := headEnd(b[:min(len(b), maxHead)], 0)
	switch {
	case !mayBegin(b):
		return 0, reasonMethod
	case !ok:
		return 0, reasonLine
	case n > 0:
		return n, r.parse(string(b[:n]))
	case len(b) >= maxHead:
		return 0, reasonSize
	}
	return 0, taken
}

func TestHeads(t *testing.T) {
	for head, want := range heads() {
		var r Request
		if n, why := read(&r, []byte(head)); why != want || want == taken && n == 0 {
			t.Errorf("%.100q: %v, want %v", head, why, want)
		}
	}
}

// FuzzHead holds all that is taken against what net/http makes of it (invariant 1).
func FuzzHead(f *testing.F) {
	for head := range heads() {
		f.Add([]byte(head), 7)
	}
	var r Request
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		n, why := read(&r, b)
		checkPieces(t, b, cut, n)
		if why != taken || n == 0 {
			return
		}
		in := bufio.NewReader(bytes.NewReader(b))
		std, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		if body, err := io.ReadAll(std.Body); err != nil || len(body) > 0 || std.ContentLength != 0 || std.TransferEncoding != nil {
			t.Errorf("it has a body: %q %v", body, err)
		}
		if rest, err := io.ReadAll(in); err != nil || !bytes.Equal(rest, b[n:]) {
			t.Errorf("the next request begins at %q, want %q", b[n:], rest)
		}
		if method := map[bool]string{false: http.MethodGet, true: http.MethodHead}[r.Head()]; std.Method != method {
			t.Errorf("method %s, want %s", method, std.Method)
		}
		if std.URL.Path != r.Path() || std.URL.RawPath != "" || std.URL.RawQuery != r.Query() || std.URL.Host != "" {
			t.Errorf("target %q %q, want %#v", r.Path(), r.Query(), std.URL)
		}
		if std.Close != r.close || std.ProtoMinor != 1 || std.Host == "" {
			t.Errorf("close %t, want %t; %s %q", r.close, std.Close, std.Proto, std.Host)
		}
		count := 1 // Host, which is no field there
		for name, values := range std.Header {
			if name == "Cache-Control" && std.Header.Get("Pragma") == "no-cache" {
				continue // net/http makes one of the other
			}
			count += len(values)
			if got := r.Values(name); !slices.Equal(got, values) {
				t.Errorf("%s: %q, want %q", name, got, values)
			}
		}
		if len(r.fields) != count && std.Header.Get("Pragma") == "" {
			t.Errorf("%d fields, want %d: %v", len(r.fields), count, std.Header)
		}
	})
}

// checkPieces sees that a head is found to be as long if it comes in two pieces.
func checkPieces(t *testing.T, b []byte, cut, want int) {
	b = b[:min(len(b), maxHead)]
	if cut < 0 || cut > len(b) {
		return
	}
	n, next, ok := headEnd(b[:cut], 0)
	if n == 0 && ok {
		n, _, ok = headEnd(b, next)
	}
	if ok && want > 0 && n != want {
		t.Errorf("a head of %d bytes that came in two pieces has %d", want, n)
	}
}

func BenchmarkParse(b *testing.B) {
	head := []byte("GET /acme/show/01kabcdefghjkmnpqrstvwxyz0/1/video/7.m4s HTTP/1.1\r\nHost: edge.example.com\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36\r\n" +
		"Accept: */*\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n" +
		"Origin: https://example.com\r\nReferer: https://example.com/\r\nConnection: keep-alive\r\n\r\n")
	text := string(head)
	var r Request
	b.ReportAllocs()
	b.SetBytes(int64(len(head)))
	for b.Loop() {
		if n, _, ok := headEnd(head, 0); !ok || r.parse(text[:n]) != taken || len(r.Values("Accept-Encoding")) != 1 {
			b.Fatal("not taken")
		}
	}
}
