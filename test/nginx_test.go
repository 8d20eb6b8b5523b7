package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/smuggletest"
)

// nginxConf has two servers for each of ours: one as it comes, and one that lets through all that it can be told to.
const nginxConf = `daemon off; master_process off; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events { worker_connections 512; }
http {
  log_format requests '$request_method $request_uri'; access_log %[1]s/access.log requests;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; proxy_next_upstream off;
  upstream edge { server %[2]s; keepalive 4; }
  upstream api { server %[3]s; keepalive 4; }
  server { listen %[4]s; location / { proxy_pass http://edge; } }
  server { listen %[5]s; location / { proxy_pass http://api; } }
  ignore_invalid_headers off; underscores_in_headers on; merge_slashes off; proxy_request_buffering off; proxy_buffering off;
  server { listen %[6]s; location / { proxy_pass http://edge; } }
  server { listen %[7]s; location / { proxy_pass http://api; } }
}
`

// TestSmuggledRequestsBehindNginx sends requests of two readings to an edge and an API through nginx, which keeps its
// connections to them. Neither takes a request that nginx did not send, and nobody gets another's answer.
func TestSmuggledRequestsBehindNginx(t *testing.T) {
	onlyFull(t)
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed")
	}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "answer to "+r.URL.Path)
	}))
	t.Cleanup(origin.Close)
	dir := t.TempDir()
	logs := map[string]string{"edge": filepath.Join(dir, "edge.json"), "api": filepath.Join(dir, "api.json")}
	api := newOxbow(t, "--access-log", logs["api"])
	api.start("serve")
	edge, admin := steadyAddress(t), steadyAddress(t)
	command := exec.Command(oxbowBinary, "edge", "--upstream", origin.URL, "--http", edge, "--admin", admin, "--access-log", logs["edge"])
	process := startProcess(t, command)
	eventually(t, 20*time.Second, "the edge is ready", func() bool {
		status, _, _ := fetch("http://"+admin+"/readyz", nil)
		return status == http.StatusOK
	})
	fronts := []string{steadyAddress(t), steadyAddress(t), steadyAddress(t), steadyAddress(t)}
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(nginxConf, dir, edge, api.http, fronts[0], fronts[1], fronts[2], fronts[3])
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := startProcess(t, exec.Command(nginx, "-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log")))
	eventually(t, 20*time.Second, "nginx is ready", func() bool {
		status, _, _ := fetch("http://"+fronts[0]+"/ready", nil)
		return status == http.StatusOK
	})
	var running sync.WaitGroup
	for which, front := range fronts {
		running.Go(func() {
			number := 0
			for name, raw := range smuggletest.Requests() {
				number++
				of := fmt.Sprintf("%d%02d", which, number)
				raw += "GET /xxx/next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
				answersOf(t, front, strings.ReplaceAll(raw, "/xxx/", "/"+of+"/"))
				for other := range 6 { // more than nginx keeps connections
					path := fmt.Sprintf("/%s/other%d", of, other)
					status, body, _ := fetch("http://"+front+path, nil)
					wrong := which%2 == 0 && status == http.StatusOK && string(body) != "answer to "+path ||
						which%2 == 1 && status == http.StatusOK
					if wrong {
						t.Errorf("%s: another's request for %s at server %d is answered %d %.80q", name, path, which, status, body)
					}
				}
			}
		})
	}
	running.Wait()
	proxy.stop()
	_ = proxy.wait(20 * time.Second)
	_ = command.Process.Signal(os.Interrupt)
	_ = process.wait(20 * time.Second)
	api.stop(os.Interrupt)
	sent := map[string]int{}
	for line := range strings.Lines(mustRead(t, filepath.Join(dir, "access.log"))) {
		sent[strings.TrimSpace(line)]++
	}
	for name, log := range logs {
		taken := 0
		for raw := range bytes.Lines([]byte(mustRead(t, log))) {
			var l struct{ Method, Path string }
			if err := json.Unmarshal(raw, &l); err != nil {
				t.Fatalf("%v in %s", err, raw)
			}
			if !strings.Contains(l.Path, "/first") && !strings.Contains(l.Path, "/next") && !strings.Contains(l.Path, "/hidden") {
				continue
			}
			taken++
			if sent[l.Method+" "+l.Path]--; sent[l.Method+" "+l.Path] < 0 {
				t.Errorf("the %s took a request that nginx did not send: %s", name, raw)
			}
		}
		if taken < 10 {
			t.Errorf("the %s took %d requests: the test tests nothing", name, taken)
		}
	}
}

// answersOf sends raw bytes and reads what comes until the end, or until nothing is to be waited for.
func answersOf(t *testing.T, addr, raw string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	go func() { _, _ = io.WriteString(conn, raw) }()
	// Who waits for more of a body is told that there is none.
	rest := time.AfterFunc(2*time.Second, func() { _ = conn.(*net.TCPConn).CloseWrite() })
	defer rest.Stop()
	for in := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return
		}
	}
}
