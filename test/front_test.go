package test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// frontedEdge is an edge behind a balancer at 127.0.0.9, which speaks the PROXY protocol to it.
type frontedEdge struct {
	http, https, admin, log string
	certificate             certificateFiles
	held                    chan struct{} // of requests for /held
	cmd                     *exec.Cmd
	process                 *process
}

// limits of one client of a frontedEdge.
const (
	frontRate        = 5
	frontConnections = 41
)

func startFrontedEdge(t *testing.T) *frontedEdge {
	t.Helper()
	e := &frontedEdge{
		http: steadyAddress(t), https: steadyAddress(t), admin: steadyAddress(t),
		log: filepath.Join(t.TempDir(), "access.json"), certificate: newCertificateFiles(t, "one.example"),
		held: make(chan struct{}, 1),
	}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			e.held <- struct{}{}
			<-r.Context().Done()
			return
		}
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	t.Cleanup(upstream.Close)
	e.cmd = exec.Command(oxbowBinary, "edge", "--upstream", upstream.URL, "--http", e.http,
		"--https", e.https, "--http3", "--tls-cert", e.certificate.cert, "--tls-key", e.certificate.key, "--admin", e.admin,
		"--trusted-proxies", "127.0.0.9/32", "--proxy-protocol", "--client-requests", fmt.Sprint(frontRate),
		"--client-connections", fmt.Sprint(frontConnections), "--client-exempt", "203.0.113.0/24", "--access-log", e.log)
	e.process = startProcess(t, e.cmd)
	eventually(t, 20*time.Second, "the edge is ready", func() bool {
		status, _, _ := fetch("http://"+e.admin+"/readyz", nil)
		return status == http.StatusOK
	})
	return e
}

// proxied is the balancer's connection for a client: version 1 of the header for IPv4, version 2 for IPv6.
func proxied(ctx context.Context, edge, client string) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	conn, err := dialer.DialContext(ctx, "tcp", edge)
	if err != nil || client == "" {
		return conn, err
	}
	header := []byte("PROXY TCP4 " + client + " 192.0.2.1 4711 80\r\n")
	if from := netip.MustParseAddr(client); from.Is6() {
		header = append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x21"), 0, 36)
		header = append(append(header, from.AsSlice()...), from.AsSlice()...)
		header = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(header, 4711), 443)
	}
	_, err = conn.Write(header)
	return conn, err
}

// frontClient is one connection through the balancer, or past it.
type frontClient struct {
	net.Conn
	in *bufio.Reader
}

func (e *frontedEdge) client(t *testing.T, address string) *frontClient {
	t.Helper()
	conn, err := proxied(t.Context(), e.http, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patient(20 * time.Second)))
	return &frontClient{Conn: conn, in: bufio.NewReader(conn)}
}

// ask gives the answer, its body read; nil is that the connection was closed.
func (c *frontClient) ask(path string) *http.Response {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: edge\r\n\r\n", path); err != nil {
		return nil
	}
	return c.answer()
}

func (c *frontClient) answer() *http.Response {
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp
}

// TestFront shows what the built edge does in front of its cache: who is a client, what it may take, what is written
// down of it, and how it is sent away.
func TestFront(t *testing.T) {
	t.Parallel()
	e := startFrontedEdge(t)
	e.testClients(t)
	e.testRequests(t)
	e.testConnections(t)
	e.testEnd(t)
	e.testLog(t)
}

func (e *frontedEdge) testClients(t *testing.T) {
	if resp := e.client(t, "198.51.100.7").ask("/lane"); resp == nil || resp.StatusCode != http.StatusOK {
		t.Errorf("behind the balancer: %v", resp)
	}
	if resp := e.client(t, "").ask("/headless"); resp != nil {
		t.Errorf("the balancer without its header: %v", resp)
	}
	if status, _, _ := fetch("http://"+e.http+"/past", nil); status != http.StatusOK {
		t.Errorf("past the balancer: %d", status)
	}
	conn, err := net.Dial("tcp", e.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patient(20 * time.Second)))
	_, _ = io.WriteString(conn, "PROXY TCP4 198.51.100.66 192.0.2.1 4711 80\r\n")
	forged := &frontClient{Conn: conn, in: bufio.NewReader(conn)}
	if resp := forged.ask("/forged"); resp == nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a header of somebody else's: %v", resp)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(mustRead(t, e.certificate.cert)))
	trust := &tls.Config{RootCAs: roots, ServerName: "one.example"}
	second := &http.Transport{
		TLSClientConfig: trust, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return proxied(ctx, address, "2001:db8::1")
		},
	}
	defer second.CloseIdleConnections()
	third := &http3.Transport{TLSClientConfig: trust}
	defer third.Close()
	for path, transport := range map[string]http.RoundTripper{"/h2": second, "/h3": third} {
		client := &http.Client{Transport: transport, Timeout: patient(20 * time.Second)}
		resp, err := client.Get("https://" + e.https + path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if want := int(path[2] - '0'); resp.StatusCode != http.StatusOK || resp.ProtoMajor != want {
			t.Errorf("%s: %s %s", path, resp.Proto, resp.Status)
		}
	}
}

// testRequests has one client ask far above its rate, and others beside it.
func (e *frontedEdge) testRequests(t *testing.T) {
	const requests = 8 * frontRate
	answers := make(chan *http.Response, requests)
	for range requests {
		c := e.client(t, "198.51.100.8")
		go func() { answers <- c.ask("/greedy") }()
	}
	for _, other := range []string{"198.51.100.9", "203.0.113.1"} {
		if resp := e.client(t, other).ask("/modest"); resp == nil || resp.StatusCode != http.StatusOK {
			t.Errorf("another client beside a greedy one: %v", resp)
		}
	}
	served, refused := 0, 0
	for range requests {
		switch resp := <-answers; {
		case resp != nil && resp.StatusCode == http.StatusOK:
			served++
		case resp != nil && resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
			refused++
		default:
			t.Errorf("a greedy client gets %v", resp)
		}
	}
	if served < 2*frontRate || refused < frontRate {
		t.Errorf("of %d requests at once at %d a second %d were served and %d refused", requests, frontRate, served, refused)
	}
}

// testConnections has one client open one more than it may.
func (e *frontedEdge) testConnections(t *testing.T) {
	answers := make(chan *http.Response, frontConnections+1)
	var clients []*frontClient
	for range frontConnections + 1 {
		c := e.client(t, "198.51.100.10")
		clients = append(clients, c)
		if _, err := io.WriteString(c, "G"); err != nil { // the beginning of a request: it counts for nothing yet
			t.Fatal(err)
		}
		go func() { answers <- c.answer() }()
	}
	first := <-answers
	if first == nil || first.StatusCode != http.StatusServiceUnavailable || first.Header.Get("Retry-After") == "" {
		t.Errorf("one connection too many: %v", first)
	}
	for _, c := range clients {
		_ = c.Close()
	}
	for range frontConnections {
		if resp := <-answers; resp != nil {
			t.Errorf("a connection that is allowed is answered %v", resp)
		}
	}
}

// testEnd stops the edge with a reload that is held and a connection that idles.
func (e *frontedEdge) testEnd(t *testing.T) {
	waits, idles := e.client(t, "198.51.100.11"), e.client(t, "203.0.113.7")
	answered := make(chan *http.Response, 1)
	go func() { answered <- waits.ask("/held") }()
	<-e.held
	if resp := idles.ask("/idle"); resp == nil || resp.Close {
		t.Errorf("before the end: %v", resp)
	}
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for last := false; !last; {
		resp := idles.ask("/idle")
		if resp == nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("a connection was closed and not told before: %v", resp)
		}
		last = resp.Close
	}
	if resp := <-answered; resp == nil || resp.StatusCode != http.StatusServiceUnavailable ||
		resp.Header.Get("Retry-After") != "1" {
		t.Errorf("who waits at the end gets %v", resp)
	}
	if err := e.process.wait(10 * time.Second); err != nil {
		t.Errorf("the edge ends: %v", err)
	}
}

// testLog reads what was written down.
func (e *frontedEdge) testLog(t *testing.T) {
	type line struct {
		Path, Proto, Client string
		Status              int
	}
	want := map[line]bool{
		{"/lane", "HTTP/1.1", "198.51.100.7", 200}: false, {"/past", "HTTP/1.1", "127.0.0.1", 200}: false,
		{"/h2", "HTTP/2.0", "2001:db8::1", 200}: false, {"/h3", "HTTP/3.0", "127.0.0.1", 200}: false,
		{"/greedy", "HTTP/1.1", "198.51.100.8", 200}: false, {"/greedy", "HTTP/1.1", "198.51.100.8", 503}: false,
		{"/held", "HTTP/1.1", "198.51.100.11", 503}: false, {"/idle", "HTTP/1.1", "203.0.113.7", 200}: false,
	}
	log := []byte(mustRead(t, e.log))
	for raw := range bytes.Lines(log) {
		var l line
		if err := json.Unmarshal(raw, &l); err != nil {
			t.Fatalf("%v in %s", err, raw)
		}
		if _, known := want[l]; known {
			want[l] = true
		}
		if strings.Contains("/headless /forged", l.Path) {
			t.Errorf("what is no request is logged: %s", raw)
		}
	}
	for l, logged := range want {
		if !logged {
			t.Errorf("no %+v in the log:\n%.3000s", l, log)
		}
	}
}
