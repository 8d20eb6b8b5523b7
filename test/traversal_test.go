package test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/ingest"
)

// climbing are the ways to write ".." and "/" that some server or file system takes for them.
func climbing() (ups, separators []string) {
	return []string{
			"..", "%2e%2e", ".%2e", "%252e%252e", "..%00", "..;", "..;a=b", "..%5c", "..\\", "%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae",
			"%uff0e%uff0e", "....", ".%00.", "..%20", "..%0d%0a", "..%09",
		}, []string{
			"/", "//", "%2f", "%252f", "%5c", "\\", "%c0%af", "/./",
		}
}

// TestPathsStayInside asks a whole server for files that lie beside what it serves, by every way to write a path, and has
// it make things of such names. It gives none of them away, and makes nothing outside of its directory.
func TestPathsStayInside(t *testing.T) {
	t.Parallel()
	server := newOxbow(t, "--log-level", "warn") // else its log is all of the paths
	server.start("serve")
	key := server.createStream("acme", "show", nil)
	const secret = "what-lies-beside-it"
	for _, dir := range []string{"..", ".", "recordings", "recordings/acme", "recordings/acme/show", "archive", "archive/acme"} {
		dir = filepath.Join(server.data, dir)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "secret.txt"), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := outside(t, server.data)

	ups, separators := climbing()
	const id = "01arz3ndektsv4rrffq69g5fav"
	asked := 0
	for addr, prefixes := range map[string][]string{
		server.http: {
			"/", "/acme/show/", "/acme/show/" + id + "/1/video/", "/t/x/", "/assets/", "/watch/", "/v1/recordings/", "/open/",
		},
		server.admin: {"/debug/pprof/"},
	} {
		c := rawClient{addr: addr}
		targets := []string{
			server.data + "/secret.txt", "/" + server.data + "/secret.txt", "file://" + server.data + "/secret.txt", "http://h/../secret.txt",
		}
		for _, prefix := range prefixes {
			for _, up := range ups {
				for _, separator := range separators {
					targets = append(targets, prefix+strings.Repeat(up+separator, 1+len(targets)%4)+"secret.txt")
				}
			}
			targets = append(targets, prefix+"secret.txt", prefix+"secret.txt%00.m4s", prefix+"%00/secret.txt", prefix+server.data+"/secret.txt")
		}
		for _, target := range targets {
			status, body := c.ask(t, target)
			if strings.Contains(body, secret) || status == http.StatusOK && strings.HasPrefix(target, "/acme/") {
				t.Errorf("GET %s at %s: %d %.80q", target, addr, status, body)
			}
			asked++
		}
		c.close()
	}
	t.Logf("%d paths", asked)

	for _, name := range []string{"..", ".", "../x", "%2e%2e", "..\\x", "a\x00b", "/etc", "", ".tmp"} {
		for _, path := range []string{"/v1/publishers", "/v1/publishers/acme/streams"} {
			if status := server.api(http.MethodPost, path, map[string]any{"name": name}, nil); status < 400 || status > 499 {
				t.Errorf("%q is made at %s: %d", name, path, status)
			}
		}
	}
	for _, name := range []string{"/acme/..", "/../show", "/acme/..%2f..%2fx", "/acme/.tmp"} {
		wantNoPublish(t, "rtmp://"+server.rtmp+name+"?key="+key)
	}
	if after := outside(t, server.data); !slices.Equal(before, after) {
		t.Errorf("outside of its directory there is %q, and was %q", after, before)
	}

	// A body in chunks that has a length too: what is behind it by one of both is nobody's request.
	const hidden = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, addr := range []string{server.http, server.admin} {
		raw := fmt.Sprintf("POST /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 5+len(hidden))
		if got := countAnswers(t, addr, raw+hidden); got != 1 {
			t.Errorf("%s: %d answers to a request of two readings", addr, got)
		}
	}
}

// rawClient asks for targets as they are written, over one connection as long as the server keeps it.
type rawClient struct {
	addr string
	conn net.Conn
	in   *bufio.Reader
}

func (c *rawClient) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *rawClient) ask(t *testing.T, target string) (status int, body string) {
	t.Helper()
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			t.Fatal(err)
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(patient(30 * time.Second)))
	_, _ = io.WriteString(c.conn, "GET "+target+" HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "+adminToken+"\r\n\r\n")
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatalf("GET %s at %s: %v", target, c.addr, err)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	_ = resp.Body.Close()
	if err != nil {
		t.Fatalf("GET %s at %s: %v", target, c.addr, err)
	}
	if resp.Close {
		c.close()
	}
	return resp.StatusCode, string(text)
}

// countAnswers sends raw requests, and counts the answers until the server closes the connection.
func countAnswers(t *testing.T, addr, raw string) (count int) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patient(30 * time.Second)))
	_, _ = io.WriteString(conn, raw)
	for in := bufio.NewReader(conn); ; count++ {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return count
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}

func wantNoPublish(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient(30*time.Second))
	defer cancel()
	c, err := ingest.DialRTMP(ctx, url)
	if err != nil {
		return // it is no URL
	}
	defer func() { _ = c.Close() }()
	if err := c.Publish(ctx); err == nil {
		t.Errorf("%q is published to", url)
	}
}

// outside lists what is beside a directory, and what in its files.
func outside(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Dir(dir), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == dir:
			return filepath.SkipDir
		case entry.IsDir():
			found = append(found, path)
			return nil
		}
		text, err := os.ReadFile(path)
		found = append(found, path+": "+string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
