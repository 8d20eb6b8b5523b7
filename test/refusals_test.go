package test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRefusals makes the mistakes that publishers and strangers make. Each gets its answer and its log line, and the
// server lives on: a show that is live meanwhile goes on without a gap.
func TestRefusals(t *testing.T) {
	t.Parallel()
	source := encodeSource(t, 10, "640x360", "1M")
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", nil)
	app := "rtmp://" + server.rtmp + "/live/"
	steady := publish(t, "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "flv",
		"rtmp://"+server.rtmp+"/acme/show?key="+key)
	eventually(t, 15*time.Second, "the show is live", func() bool {
		status, _ := server.try(server.url("/acme/show/index.m3u8"))
		return status == http.StatusOK
	})

	t.Run("a wrong key", func(t *testing.T) {
		p := publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", app+"ox_wrong_key_wrong_key")
		if err := p.wait(15 * time.Second); err == nil {
			t.Error("ffmpeg was not refused")
		}
		wantIn(t, "ffmpeg's output", p.out.String(), "stream key")
		wantLog(t, server, "publish refused", "wrong key")
	})
	t.Run("an unknown codec", func(t *testing.T) {
		other := server.createStream("cinema", "film", nil)
		p := publish(t, "-re", "-i", source, "-c:v", "flv1", "-c:a", "copy", "-f", "flv", app+other)
		if err := p.wait(20 * time.Second); err == nil {
			t.Error("ffmpeg was not refused")
		}
		wantLog(t, server, "publish refused", "Sorenson")
	})
	t.Run("a port scan's garbage", func(t *testing.T) {
		for _, garbage := range [][]byte{
			[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
			{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03},
			randomBytes(4000),
		} {
			conn := dial(t, server.rtmp)
			_, _ = conn.Write(garbage)
			_ = conn.SetReadDeadline(time.Now().Add(patient(20 * time.Second)))
			if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("the connection stays open after %q", garbage[:11])
			}
			_ = conn.Close()
		}
		wantLog(t, server, "not RTMP")
	})
	t.Run("a 10 MB nested AMF0 message", func(t *testing.T) {
		conn := dial(t, server.rtmp)
		defer conn.Close()
		handshake(t, conn)
		// connect, whose command object is an object in an object in an object ...
		nested := append([]byte{0x02, 0, 7}, "connect"...)
		nested = append(nested, 0x00, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0)
		nested = append(nested, bytes.Repeat([]byte{0x03, 0x00, 0x01, 'a'}, 10<<18)...)
		_ = conn.SetDeadline(time.Now().Add(patient(20 * time.Second)))
		_, _ = conn.Write(chunked(20, nested))
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Error("the connection stays open")
		}
		wantLog(t, server, "too large")
	})
	t.Run("a truncated stream", func(t *testing.T) {
		other := server.createStream("church", "sunday", nil)
		relay := newCuttingRelay(t, server.rtmp, 300_000)
		p := publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+relay+"/live/"+other)
		_ = p.wait(30 * time.Second)
		wantLog(t, server, "publisher left", "church")
	})
	t.Run("a second publisher takes over", func(t *testing.T) {
		second := publish(t, "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "flv", app+key)
		if err := steady.wait(15 * time.Second); err == nil {
			t.Error("the first publisher was not told")
		}
		wantLog(t, server, "taken over")
		list := ""
		eventually(t, 20*time.Second, "the show goes on in its second take", func() bool {
			id := server.recordings("acme", "show")[0].ID
			list = string(server.get("/acme/show/" + id + "/video.m3u8"))
			return strings.Contains(list, "#EXT-X-DISCONTINUITY\n")
		})
		if n := len(server.recordings("acme", "show")); n != 1 {
			t.Errorf("%d recordings, want the one show", n)
		}
		second.kill()
	})
	if status, _ := server.try("http://" + server.admin + "/healthz"); status != http.StatusOK {
		t.Errorf("healthz: %d", status)
	}
}

func wantIn(t *testing.T, what, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s does not say %q:\n%s", what, w, text)
		}
	}
}

// wantLog waits for one line of the server's log that has all the words.
func wantLog(t *testing.T, server *oxbow, words ...string) {
	t.Helper()
	eventually(t, 20*time.Second, "a log line with "+strings.Join(words, ", "), func() bool {
		for line := range strings.Lines(server.out.String()) {
			all := true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				t.Logf("log: %s", strings.TrimSpace(line))
				return true
			}
		}
		return false
	})
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// handshake does the simple RTMP handshake.
func handshake(t *testing.T, conn net.Conn) {
	t.Helper()
	const size = 1536
	c1 := make([]byte, size)
	if _, err := conn.Write(append([]byte{3}, c1...)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1+2*size)
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(answer[1 : 1+size]); err != nil {
		t.Fatal(err)
	}
}

// chunked is one RTMP message in chunks of the default 128 bytes on chunk stream 3.
func chunked(messageType byte, body []byte) []byte {
	const chunk = 128
	length := len(body)
	out := []byte{0x03, 0, 0, 0, byte(length >> 16), byte(length >> 8), byte(length), messageType}
	out = binary.LittleEndian.AppendUint32(out, 0)
	for first := true; len(body) > 0; first = false {
		if !first {
			out = append(out, 0xc3)
		}
		n := min(chunk, len(body))
		out = append(out, body[:n]...)
		body = body[n:]
	}
	return out
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	b[0] = 0xff // never RTMP's version
	return b
}

// newCuttingRelay forwards one connection and cuts it after so many bytes from the client.
func newCuttingRelay(t *testing.T, target string, after int64) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		client, err := l.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		server, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer server.Close()
		go func() { _, _ = io.Copy(client, server) }()
		_, _ = io.CopyN(server, client, after)
	}()
	return l.Addr().String()
}
