package test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// field is a header field of HTTP/2, in which the pseudo fields are.
type field struct{ name, value string }

// get is a request for a path with more fields.
func get(path string, more ...field) []field {
	return append([]field{{":method", "GET"}, {":scheme", "https"}, {":authority", "one.example"}, {":path", path}}, more...)
}

// with replaces a field of a request.
func with(fields []field, name, value string) []field {
	fields = slices.Clone(fields)
	for i := range fields {
		if fields[i].name == name {
			fields[i].value = value
		}
	}
	return fields
}

// injections are requests by HTTP/2 that would say more, or another thing, as HTTP/1.1. Data is their body.
func injections() map[string]struct {
	fields, trailers []field
	data             string
} {
	const hidden = "\r\n\r\nGET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
	post := func(more ...field) []field { return append(with(get("/first"), ":method", "POST"), more...) }
	type request = struct {
		fields, trailers []field
		data             string
	}
	return map[string]request{
		"CRLF in a value":            {fields: get("/first", field{"a", "b\r\ninjected: 1"})},
		"LF in a value":              {fields: get("/first", field{"a", "b\ninjected: 1"})},
		"CR in a value":              {fields: get("/first", field{"a", "b\rinjected: 1"})},
		"NUL in a value":             {fields: get("/first", field{"a", "b\x00c"})},
		"a request in a value":       {fields: get("/first", field{"a", "b" + hidden})},
		"CRLF in a name":             {fields: get("/first", field{"a: b\r\ninjected", "1"})},
		"colon in a name":            {fields: get("/first", field{"injected: 1", "1"})},
		"colon before a name":        {fields: get("/first", field{":injected", "1"})},
		"space in a name":            {fields: get("/first", field{"injected ", "1"})},
		"no name":                    {fields: get("/first", field{"", "injected: 1"})},
		"upper case":                 {fields: get("/first", field{"Injected", "1"})},
		"CRLF in the path":           {fields: get("/first HTTP/1.1\r\ninjected: 1" + hidden)},
		"space in the path":          {fields: get("/first HTTP/1.1")},
		"no slash before the path":   {fields: get("first")},
		"a URL as path":              {fields: get("http://other/first")},
		"a fragment in the path":     {fields: get("/first#/hidden")},
		"no path":                    {fields: get("")},
		"a star":                     {fields: get("*")},
		"CRLF in the method":         {fields: with(get("/first"), ":method", "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\nGET")},
		"space in the method":        {fields: with(get("/first"), ":method", "GET /hidden")},
		"CONNECT":                    {fields: with(get("/first"), ":method", "CONNECT")},
		"CRLF in the authority":      {fields: with(get("/first"), ":authority", "h\r\ninjected: 1")},
		"a path in the authority":    {fields: with(get("/first"), ":authority", "h/hidden")},
		"a user in the authority":    {fields: with(get("/first"), ":authority", "u:p@h")},
		"CRLF in the scheme":         {fields: with(get("/first"), ":scheme", "https://h\r\ninjected: 1")},
		"another scheme":             {fields: with(get("/first"), ":scheme", "file")},
		"two paths":                  {fields: get("/first", field{":path", "/hidden"})},
		"a pseudo field behind":      {fields: get("/first", field{"a", "b"}, field{":path", "/hidden"})},
		"a host beside":              {fields: get("/first", field{"host", "other"})},
		"transfer-encoding":          {fields: post(field{"transfer-encoding", "chunked"}), data: "0\r\n\r\n" + hidden},
		"TE CRLF":                    {fields: post(field{"a", "b\r\ntransfer-encoding: chunked"}), data: "0\r\n\r\n" + hidden},
		"connection":                 {fields: post(field{"connection", "content-length"}), data: hidden},
		"upgrade":                    {fields: get("/first", field{"upgrade", "h2c"}, field{"http2-settings", "AAMAAABk"})},
		"te":                         {fields: get("/first", field{"te", "chunked"})},
		"no length of what it has":   {fields: post(field{"content-length", "0"}), data: hidden},
		"a length too short":         {fields: post(field{"content-length", "3"}), data: hidden},
		"a length too long":          {fields: post(field{"content-length", "300"}), data: hidden},
		"two lengths":                {fields: post(field{"content-length", "0"}, field{"content-length", fmt.Sprint(len(hidden))}), data: hidden},
		"a signed length":            {fields: post(field{"content-length", "+" + fmt.Sprint(len(hidden))}), data: hidden},
		"a length of words":          {fields: post(field{"content-length", "all"}), data: hidden},
		"a length in the trailer":    {fields: post(), data: hidden, trailers: []field{{"content-length", "0"}, {"injected", "1"}}},
		"a path in the trailer":      {fields: post(), data: hidden, trailers: []field{{":path", "/hidden"}}},
		"CRLF in the trailer":        {fields: post(), data: hidden, trailers: []field{{"a", "b" + hidden}}},
		"cookie crumbs":              {fields: get("/first", field{"cookie", "a=b\r\ninjected: 1"}, field{"cookie", "c=d"})},
		"a GET with a body":          {fields: get("/first"), data: hidden},
		"an expectation":             {fields: post(field{"expect", "100-continue"}), data: hidden},
		"a thousand fields":          {fields: get("/first", slices.Repeat([]field{{"a", "b"}}, 1000)...)},
		"a field of a hundred kB":    {fields: get("/first", field{"a", strings.Repeat("b", 15<<10)}, field{"c", "d" + hidden})},
		"a body that is a preface":   {fields: post(), data: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
		"dots in the path":           {fields: get("/../hidden/../first")},
		"encoded CRLF in the path":   {fields: get("/first%0d%0ainjected:%201")},
		"a backslash in the path":    {fields: get("/first\\..\\hidden")},
		"a path past 8 KiB":          {fields: get("/first?" + strings.Repeat("a", 9000))},
		"what is not ASCII in names": {fields: get("/first", field{"inj\u00e9cted", "1"})},
	}
}

// frame makes a frame of HTTP/2.
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	b := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// block writes fields as HPACK literals (RFC 7541, 6.2.2), without indexes and Huffman: byte for byte what is given.
func block(fields []field) []byte {
	var b []byte
	text := func(s string) {
		n := len(s)
		if n < 127 {
			b = append(b, byte(n))
		} else {
			b = append(b, 127)
			for n -= 127; n >= 128; n >>= 7 {
				b = append(b, byte(n)|128)
			}
			b = append(b, byte(n))
		}
		b = append(b, s...)
	}
	for _, f := range fields {
		b = append(b, 0)
		text(f.name)
		text(f.value)
	}
	return b
}

// TestInjectionByHTTP2 sends an edge requests by HTTP/2 that would be others by HTTP/1.1, which its origin is asked by.
// The origin is asked for nothing that was hidden, and told nothing that was injected.
func TestInjectionByHTTP2(t *testing.T) {
	t.Parallel()
	type asked struct {
		line, path string
		bad        bool
	}
	var mu sync.Mutex
	var all []asked
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // which may break off
		mu.Lock()
		defer mu.Unlock()
		all = append(all, asked{
			fmt.Sprintf("%s %s %s %q %q", r.Method, r.Host, r.RequestURI, r.Header, body), r.URL.Path,
			r.Header.Get("Injected") != "" || r.Trailer.Get("Injected") != "" || len(r.TransferEncoding) > 1,
		})
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, "answer to "+r.URL.Path)
	}))
	t.Cleanup(origin.Close)
	cert := newCertificateFiles(t, "one.example")
	address, plain, admin := steadyAddress(t), steadyAddress(t), steadyAddress(t)
	startProcess(t, exec.Command(oxbowBinary, "edge", "--upstream", origin.URL, "--http", plain, "--https", address,
		"--tls-cert", cert.cert, "--tls-key", cert.key, "--admin", admin))
	eventually(t, 20*time.Second, "the edge is ready", func() bool {
		status, _, _ := fetch("http://"+admin+"/readyz", nil)
		return status == http.StatusOK
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(mustRead(t, cert.cert)))
	trust := &tls.Config{RootCAs: roots, ServerName: "one.example", NextProtos: []string{"h2"}}
	var running sync.WaitGroup
	for name, request := range injections() {
		running.Go(func() {
			ended, err := exchangeHTTP2(address, trust, request.fields, request.trailers, request.data)
			if err != nil || !ended {
				t.Errorf("%s: neither answered nor refused: %v", name, err)
			}
		})
	}
	running.Wait()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}, Timeout: patient(20 * time.Second)}
	defer client.CloseIdleConnections()
	for _, path := range []string{"/a", "/b", "/c"} {
		resp, err := client.Get("https://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(body) != "answer to "+path || resp.ProtoMajor != 2 {
			t.Errorf("then %s is answered %s %q", path, resp.Proto, body)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, a := range all {
		if a.bad || a.path == "/hidden" {
			t.Errorf("the origin is asked %.300s", a.line)
		}
	}
	if len(all) < 10 {
		t.Errorf("the origin is asked %d times: the test tests nothing", len(all))
	}
}

// exchangeHTTP2 sends one request, and says whether it was answered, or its stream or the connection ended.
func exchangeHTTP2(address string, trust *tls.Config, fields, trailers []field, data string) (ended bool, err error) {
	conn, err := tls.Dial("tcp", address, trust)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patient(30 * time.Second)))
	const (
		dataFrame, headersFrame, resetFrame, settingsFrame, goAwayFrame = 0, 1, 3, 4, 7
		endStream, endHeaders, ack                                      = 1, 4, 1
	)
	out := append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(settingsFrame, 0, 0, nil)...)
	flags := byte(endHeaders)
	if data == "" && trailers == nil {
		flags |= endStream
	}
	out = append(out, frame(headersFrame, flags, 1, block(fields))...)
	if data != "" {
		flags = 0
		if trailers == nil {
			flags = endStream
		}
		out = append(out, frame(dataFrame, flags, 1, []byte(data))...)
	}
	if trailers != nil {
		out = append(out, frame(headersFrame, endStream|endHeaders, 1, block(trailers))...)
	}
	if _, err := conn.Write(out); err != nil {
		return false, err
	}
	for head := make([]byte, 9); ; {
		if _, err := io.ReadFull(conn, head); err != nil {
			return !errors.Is(err, os.ErrDeadlineExceeded), nil // closed, or reset
		}
		length := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if _, err := io.CopyN(io.Discard, conn, length); err != nil {
			return !errors.Is(err, os.ErrDeadlineExceeded), nil
		}
		switch kind, flags := head[3], head[4]; {
		case kind == resetFrame, kind == goAwayFrame, (kind == dataFrame || kind == headersFrame) && flags&endStream != 0:
			return true, nil
		case kind == settingsFrame && flags&ack == 0:
			if _, err := conn.Write(frame(settingsFrame, ack, 0, nil)); err != nil {
				return true, nil // as above
			}
		}
	}
}
