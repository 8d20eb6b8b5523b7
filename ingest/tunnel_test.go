package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// MustTunnel starts a Server's tunnel behind an HTTP server on a free port.
func MustTunnel(tb testing.TB, cfg Config, rec *recorder) *testServer {
	tb.Helper()
	s := newTestServer(tb, cfg, rec)
	tunnel := s.Tunnel()
	site := httptest.NewServer(tunnel)
	tb.Cleanup(site.Close)
	s.addr = site.Listener.Addr().String()
	s.stop = runTunnel(tb, tunnel)
	tb.Cleanup(s.stop)
	return s
}

func runTunnel(tb testing.TB, tunnel *Tunnel) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tunnel.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("Run: %v", err)
		}
		tunnel.mu.Lock()
		defer tunnel.mu.Unlock()
		if n := len(tunnel.mu.conns); n != 0 {
			tb.Errorf("%d sessions are left", n)
		}
	})
}

// tunnelClient is the client's end of a tunnel as a net.Conn: what is written is sent at once, and reading asks for
// answers. The counting of requests can be spoilt.
type tunnelClient struct {
	net.Conn // nil: only what is overridden may be used
	base, id string
	sequence int
	answers  []byte
}

func openTunnel(addr string) (*tunnelClient, error) {
	c := &tunnelClient{base: "http://" + addr}
	status, body, err := c.post("/open/1", "\x00")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", status, body)
	}
	c.id = strings.TrimSpace(string(body))
	return c, err
}

// MustOpen opens a tunnel.
func MustOpen(tb testing.TB, addr string) *tunnelClient {
	tb.Helper()
	c, err := openTunnel(addr)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func (c *tunnelClient) post(path, body string) (int, []byte, error) {
	resp, err := http.Post(c.base+path, tunnelType, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

func (c *tunnelClient) call(verb string, sequence int, body string) (int, []byte, error) {
	return c.post(fmt.Sprintf("/%s/%s/%d", verb, c.id, sequence), body)
}

func (c *tunnelClient) next(verb, body string) error {
	status, answer, err := c.call(verb, c.sequence, body)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%w: status %d: %s", io.EOF, status, answer)
	}
	c.sequence++
	c.answers = append(c.answers, answer[1:]...)
	return nil
}

func (c *tunnelClient) Write(p []byte) (int, error) { return len(p), c.next(tunnelSend, string(p)) }

func (c *tunnelClient) Read(p []byte) (int, error) {
	for len(c.answers) == 0 {
		if err := c.next(tunnelIdle, "\x00"); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.answers)
	c.answers = c.answers[n:]
	return n, nil
}

func (c *tunnelClient) Close() error { return c.next(tunnelClose, "\x00") }

func TestTunnelPublishes(t *testing.T) {
	s := MustTunnel(t, Config{}, newRecorder())
	conn := MustOpen(t, s.addr)
	c := MustShakeHands(t, conn)
	c.publish(s.rec.key)
	c.send(typeDataAMF0, 1, 0, onlyAudio)
	c.send(typeAudio, 1, 0, audioConfig(testASC))
	for i := range 3 {
		c.send(typeAudio, 1, uint32(i)*20, append(audioUnit(1), make([]byte, 100<<10)...))
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if p := s.rec.publication(t, 0); !p.clean || len(p.frames) != 3 {
		t.Errorf("clean=%v, %d frames", p.clean, len(p.frames))
	}
	s.log.await(t, "publisher came", "protocol=rtmpt", "remote=127.0.0.1:")
	s.log.await(t, "publisher left", "how=clean")
}

func TestTunnelTellsOfAWrongKey(t *testing.T) {
	s := MustTunnel(t, Config{}, newRecorder())
	c := MustShakeHands(t, MustOpen(t, s.addr))
	c.connect("live", "rtmp://localhost/live")
	c.command(1, "publish", 3.0, nil, "ox_wrong", "live")
	if code, says := c.status(); code != codeDenied || !strings.Contains(says, "wrong stream key") {
		t.Errorf("got %s: %s", code, says)
	}
	c.awaitEnd()
}

// Requests are obeyed in the order of their numbers, whatever order they come in.
func TestTunnelOrder(t *testing.T) {
	s := MustTunnel(t, Config{}, newRecorder())
	conn := MustOpen(t, s.addr)
	c := MustShakeHands(t, conn)
	first := conn.sequence
	status := func(sequence int) int {
		t.Helper()
		got, _, err := conn.call(tunnelIdle, sequence, "\x00")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for sequence, want := range map[int]int{
		first - 1: http.StatusOK, // once more
		first - 2: http.StatusConflict, first + tunnelAhead + 1: http.StatusConflict,
	} {
		if got := status(sequence); got != want {
			t.Errorf("request %d where %d is due: %d, want %d", sequence, first, got, want)
		}
	}
	// The later half of a command comes first.
	command := appendMessage(nil, 3, message{kind: typeCommandAMF0, payload: appendAMF0(nil, "getStreamLength", 9.0, nil)}, defaultChunkSize)
	late := make(chan error, 1)
	answers := make(chan []byte, 1)
	go func() {
		_, answer, err := conn.call(tunnelSend, first+1, string(command[10:]))
		answers <- answer
		late <- err
	}()
	if status, answer, err := conn.call(tunnelSend, first, string(command[:10])); err != nil || status != http.StatusOK || len(answer) != 1 {
		t.Errorf("%d %q %v", status, answer, err)
	}
	answer := <-answers
	if err := <-late; err != nil || !strings.Contains(string(answer), "_result") {
		t.Errorf("%q, %v", answer, err)
	}
	// An answer that was lost is given again, and the request is not obeyed again.
	if _, again, err := conn.call(tunnelSend, first+1, string(command[10:])); err != nil || string(again) != string(answer) {
		t.Errorf("%q, %v", again, err)
	}
	conn.sequence = first + 2
	c.publish(s.rec.key)
	_ = conn.Close()
}

func TestTunnelRefuses(t *testing.T) {
	s := MustTunnel(t, Config{MaxConnectionsPerIP: 1}, newRecorder())
	for _, tt := range []struct {
		method, path, kind string
		want               int
	}{
		{"POST", "/fcs/ident2", tunnelType, 404},
		{"POST", "/open/2", tunnelType, 404},
		{"GET", "/open/1", tunnelType, 405},
		{"POST", "/open/1", "text/plain", 415},
		{"POST", "/idle/UNKNOWN/0", tunnelType, 404},
		{"POST", "/send/../0", tunnelType, 404},
	} {
		req := httptest.NewRequest(tt.method, "http://"+s.addr+tt.path, strings.NewReader("x"))
		req.RequestURI = ""
		req.Header.Set("Content-Type", tt.kind)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, resp.StatusCode, tt.want)
		}
	}
	first := MustOpen(t, s.addr)
	MustShakeHands(t, first).publish(s.rec.key)
	if _, err := openTunnel(s.addr); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a second session of one address: %v", err)
	}
	_ = first.Close()
	s.log.await(t, "connection refused", "one address", "protocol=rtmpt")
	s.stop()
	if _, err := openTunnel(s.addr); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a session after the end: %v", err)
	}
}

func TestTunnelEndsWithItsServer(t *testing.T) {
	s := MustTunnel(t, Config{}, newRecorder())
	conn := MustOpen(t, s.addr)
	c := MustShakeHands(t, conn)
	c.publish(s.rec.key)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.stop()
	}()
	if _, says := c.status(); !strings.Contains(says, "stopping") {
		t.Errorf("told: %s", says)
	}
	c.awaitEnd()
	<-stopped
	if s.rec.publication(t, 0).clean {
		t.Error("closed clean")
	}
}

// A body that breaks off is the end of its session: RTMP cannot go on behind a hole.
func TestTunnelBodyBreaksOff(t *testing.T) {
	s := MustTunnel(t, Config{}, newRecorder())
	conn := MustOpen(t, s.addr)
	c := MustShakeHands(t, conn)
	c.publish(s.rec.key)
	raw, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(raw, "POST /send/%s/%d HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 100\r\n\r\nhalf", conn.id, conn.sequence, tunnelType)
	_ = raw.Close()
	if s.rec.publication(t, 0).clean {
		t.Error("closed clean")
	}
	s.log.await(t, "publisher left", "how=lost")
}

// inBubble serves a tunnel without sockets, so that time can be false.
func inBubble(t *testing.T, cfg Config, do func(t *testing.T, s *testServer, post func(path, body string) (int, string))) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, cfg, newRecorder())
		tunnel := s.Tunnel()
		stop := runTunnel(t, tunnel)
		do(t, s, func(path, body string) (int, string) {
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
			r.Header.Set("Content-Type", tunnelType)
			tunnel.ServeHTTP(w, r)
			return w.Code, w.Body.String()
		})
		stop()
	})
}

// Invariant 9: every wait has a deadline.
func TestTunnelSilence(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, s *testServer, post func(path, body string) (int, string)) {
		_, id := post("/open/1", "\x00")
		id = strings.TrimSpace(id)
		if len(id) < 20 || len(id) > maxTunnelID {
			t.Errorf("id %q", id)
		}
		if status, _ := post("/send/"+id+"/0", "\x03"); status != http.StatusOK {
			t.Errorf("send: %d", status)
		}
		began := time.Now()
		s.log.await(t, "timed out before a publish")
		if waited := time.Since(began); waited > 10*time.Second {
			t.Errorf("it was waited for %v", waited)
		}
		time.Sleep(farewellTimeout)
		synctest.Wait()
		if status, _ := post("/idle/"+id+"/1", "\x00"); status != http.StatusNotFound {
			t.Errorf("idle after the end: %d", status)
		}
	})
}

// A session that nobody asks about is lost, and its id with it.
func TestTunnelReaper(t *testing.T) {
	inBubble(t, Config{IdleTimeout: 2 * time.Second}, func(t *testing.T, s *testServer, post func(path, body string) (int, string)) {
		_, id := post("/open/1", "\x00")
		for i := range 5 {
			time.Sleep(time.Second)
			if status, _ := post(fmt.Sprintf("/idle/%s/%d", strings.TrimSpace(id), i), "\x00"); status != http.StatusOK {
				t.Errorf("idle %d: %d", i, status)
			}
		}
		began := time.Now()
		s.log.await(t, "connection closed before a publish", "protocol=rtmpt")
		if waited := time.Since(began); waited != 2*time.Second {
			t.Errorf("it was waited for %v", waited)
		}
		synctest.Wait()
		if status, _ := post("/idle/"+strings.TrimSpace(id)+"/5", "\x00"); status != http.StatusNotFound {
			t.Errorf("idle after the end: %d", status)
		}
	})
}

func TestTunnelEarlyRequestWaitsInVain(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, _ *testServer, post func(path, body string) (int, string)) {
		_, id := post("/open/1", "\x00")
		began := time.Now()
		if status, _ := post("/send/"+strings.TrimSpace(id)+"/3", "\x03"); status != http.StatusConflict || time.Since(began) != tunnelAheadWait {
			t.Errorf("%d after %v", status, time.Since(began))
		}
	})
}

// A client asks the less often, the less there is to say.
func TestTunnelPollingInterval(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, _ *testServer, post func(path, body string) (int, string)) {
		_, id := post("/open/1", "\x00")
		var got []byte
		for i := range 61 {
			_, answer := post(fmt.Sprintf("/idle/%s/%d", strings.TrimSpace(id), i), "\x00")
			if n := len(got); n == 0 || got[n-1] != answer[0] {
				got = append(got, answer[0])
			}
		}
		if want := "\x01\x03\x05\x09\x11\x21"; string(got) != want {
			t.Errorf("intervals %x, want %x", got, want)
		}
	})
}

// The reader holds the request back, and a client that fetches nothing does not make memory grow.
func TestTunnelBuffersAreBounded(t *testing.T) {
	c := newTunnelConn("id", nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	fed := make(chan error, 1)
	go func() { fed <- c.feed(ctx, []byte("abc")) }()
	if n, err := c.Read(make([]byte, 2)); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	cancel()
	if err := <-fed; !isLoss(err) {
		t.Errorf("a request that ended before it was read: %v", err)
	}
	var err error
	written := 0
	for err == nil {
		var n int
		n, err = c.Write(make([]byte, 1000))
		written += n
	}
	if written > tunnelBacklog {
		t.Errorf("%d bytes were taken", written)
	}
	answer, err := c.take()
	if err != nil || len(answer) != written+1 {
		t.Errorf("%d bytes of %d, %v", len(answer), written, err)
	}
	_ = c.Close()
	if _, err := c.take(); !errors.Is(err, errTunnelEnded) {
		t.Error(err)
	}
}

func TestTunnelBackPressureIsNoLoss(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	held := make(chan struct{})
	rec.onFrame = func(*media.Frame) error {
		<-held
		return nil
	}
	s := MustTunnel(t, Config{IdleTimeout: 5 * time.Second}, rec)
	conn := MustOpen(t, s.addr)
	c := MustShakeHands(t, conn)
	c.publish(s.rec.key)
	time.AfterFunc(7*time.Second, func() { close(held) })
	c.send(typeDataAMF0, 1, 0, onlyAudio)
	c.send(typeAudio, 1, 0, audioConfig(testASC))
	for i := range 3 {
		c.send(typeAudio, 1, uint32(i)*20, append(audioUnit(1), make([]byte, 200<<10)...))
	}
	_ = conn.Close()
	if p := rec.publication(t, 0); !p.clean || len(p.frames) != 3 {
		t.Errorf("clean=%v, %d frames", p.clean, len(p.frames))
	}
}
