package ingest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// MustPublish connects and publishes by the recorder's key.
func MustPublish(tb testing.TB, d RTMPDialer, url string) *RTMPClient {
	tb.Helper()
	c, err := d.DialRTMP(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.conn.Close() })
	if err := c.Publish(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return c
}

func (c *RTMPClient) mustWrite(tb testing.TB, kind byte, timestamp uint32, body []byte) {
	tb.Helper()
	if err := c.WriteMessage(kind, timestamp, body); err != nil {
		tb.Fatal(err)
	}
}

func TestClientPublishes(t *testing.T) {
	plain := MustServe(t, Config{}, newRecorder())
	secure := MustServeTLS(t, Config{}, newRecorder())
	trust := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} //nolint:gosec // self-signed by the test
	large := append(idr(1), make([]byte, 300<<10)...)
	for _, c := range []struct {
		name string
		to   *testServer
		d    RTMPDialer
		url  string
	}{
		{"key in the path", plain, RTMPDialer{}, "rtmp://" + plain.addr + "/live/" + plain.rec.key},
		{"named stream", plain, RTMPDialer{ChunkSize: 4096}, "rtmp://" + plain.addr + "/acme/show?key=" + plain.rec.key},
		{"key behind the name", plain, RTMPDialer{ChunkSize: 128}, "rtmp://" + plain.addr + "/acme/show/" + plain.rec.key},
		{"TLS", secure, RTMPDialer{TLS: trust}, "rtmps://" + secure.addr + "/live/" + secure.rec.key},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := len(c.to.rec.publs)
			client := MustPublish(t, c.d, c.url)
			client.mustWrite(t, RTMPData, 0, metadata(amfProperty{"videocodecid", 7.0}, amfProperty{"audiocodecid", 10.0}))
			client.mustWrite(t, RTMPVideo, 0, videoConfig(recordOf(testSPS, testPPS)))
			client.mustWrite(t, RTMPAudio, 0, audioConfig(testASC))
			client.mustWrite(t, RTMPVideo, 1<<24+5, videoUnit(0, large))
			client.mustWrite(t, RTMPAudio, 1<<24+9, audioUnit(7))
			if err := client.Close(); err != nil {
				t.Error(err)
			}
			p := c.to.rec.publication(t, seen)
			if !p.clean || len(p.frames) != 2 {
				t.Fatalf("clean %t, %d frames", p.clean, len(p.frames))
			}
			if want := (1<<24 + 5) * time.Millisecond; p.frames[0].DTS != want || !bytes.Equal(p.frames[0].Payload, unitsOf(large)) {
				t.Errorf("first frame at %v with %d bytes", p.frames[0].DTS, len(p.frames[0].Payload))
			}
		})
	}
}

func TestClientIsToldWhyItIsRefused(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	c, err := DialRTMP(t.Context(), "rtmp://"+s.addr+"/live/ox_wrong")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var status *RTMPStatusError
	if err := c.Publish(t.Context()); !errors.As(err, &status) || status.Code != codeDenied ||
		!strings.Contains(status.Description, "wrong stream key") {
		t.Errorf("publish: %v", err)
	}
	for _, url := range []string{"http://h/live/k", "rtmp:///live/k", "rtmp://127.0.0.1:1/live/k", "://"} {
		if _, err := DialRTMP(t.Context(), url); err == nil || strings.Contains(err.Error(), "live/k") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A publisher reads, too: to hear that it was put out.
func TestClientHearsTheGoodbye(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	first := MustPublish(t, RTMPDialer{}, "rtmp://"+s.addr+"/live/"+s.rec.key)
	told := make(chan error, 1)
	go func() {
		_, err := first.ReadMessage(0)
		told <- err
	}()
	second := MustPublish(t, RTMPDialer{}, "rtmp://"+s.addr+"/live/"+s.rec.key)
	defer func() { _ = second.Close() }()
	var status *RTMPStatusError
	if err := <-told; !errors.As(err, &status) || !strings.Contains(status.Description, "taken over") {
		t.Errorf("the first was told: %v", err)
	}
}

// fakeRTMP accepts one client, shakes hands and sends what it is given.
func fakeRTMP(t *testing.T, say []byte) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		hello := append([]byte{rtmpVersion}, make([]byte, 2*handshakeSize)...)
		_, _ = conn.Write(append(hello, say...))
		_, _ = io.Copy(io.Discard, conn)
	}()
	return "rtmp://" + listener.Addr().String() + "/live/k"
}

func TestClientReads(t *testing.T) {
	var say []byte
	add := func(stream, timestamp uint32, kind byte, payload []byte) {
		say = appendMessage(say, 3+uint32(kind), message{kind: kind, stream: stream, timestamp: timestamp, payload: payload}, defaultChunkSize)
	}
	add(0, 0, typeWindowAckSize, []byte{0, 1, 0, 0})
	add(0, 0, typeCommandAMF0, appendAMF0(nil, "onBWDone", 0.0, nil))
	add(0, 0, typeCommandAMF0, appendAMF0(nil, "_result", 1.0, nil, amfObject{{"code", "NetConnection.Connect.Success"}}))
	add(0, 0, typeUserControl, []byte{0, 6, 1, 2, 3, 4})
	add(1, 7, typeDataAMF3, append([]byte{0}, metadata()...))
	add(0, 0, typeCommandAMF0, appendAMF0(nil, statusOf("status", "NetStream.Data.Start", "")...))
	add(1, 8, typeDataAMF0, metadata())
	add(0, 0, typeCommandAMF3, append([]byte{0}, appendAMF0(nil, statusOf("error", "NetStream.Failed", "bad\x1b[1m news")...)...))
	c, err := DialRTMP(t.Context(), fakeRTMP(t, say))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, want := range []RTMPMessage{{RTMPData, 7, metadata()}, {RTMPData, 8, metadata()}} {
		m, err := c.ReadMessage(time.Minute)
		if diff := cmp.Diff(want, m); err != nil || diff != "" {
			t.Error(err, diff)
		}
	}
	var status *RTMPStatusError
	if _, err := c.ReadMessage(time.Minute); !errors.As(err, &status) || status.Error() != "the server says NetStream.Failed: bad[1m news" {
		t.Error(err)
	}
	if _, err := c.ReadMessage(time.Nanosecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestClientRefusesBrokenServers(t *testing.T) {
	answer := func(values ...any) []byte {
		return appendMessage(nil, 3, message{kind: typeCommandAMF0, payload: appendAMF0(nil, values...)}, defaultChunkSize)
	}
	for name, say := range map[string][]byte{
		"no app":             answer("_error", 1.0, nil, amfObject{{"level", "error"}, {"code", "NetConnection.Connect.Rejected"}}),
		"error with no info": answer("_error", 1.0),
		"nameless command":   answer(),
		"endless command":    appendMessage(nil, 3, message{kind: typeCommandAMF0, payload: make([]byte, maxCommand+1)}, defaultChunkSize),
	} {
		if c, err := DialRTMP(t.Context(), fakeRTMP(t, say)); err == nil {
			t.Errorf("%s: connected", name)
			_ = c.Close()
		}
	}
}

// ffmpeg is a server that we did not write.
func TestClientPublishesToFFmpeg(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out.flv")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "rtmp://" + listener.Addr().String() + "/live/show"
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	server := MustFFmpeg(t, "-y", "-listen", "1", "-timeout", "20", "-i", url, "-c", "copy", file)
	var c *RTMPClient
	for { // until it listens
		if c, err = DialRTMP(t.Context(), url); err == nil {
			break
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
	}
	if err := c.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	flv, err := exec.Command("ffmpeg", "-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i", lavfiVideo, "-f", "lavfi", "-i", lavfiAudio,
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac", "-t", "3", "-f", "flv", "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for rest := flv[13:]; len(rest) > 15; sent++ {
		size := int(rest[1])<<16 | int(rest[2])<<8 | int(rest[3])
		timestamp := uint32(rest[7])<<24 | uint32(rest[4])<<16 | uint32(rest[5])<<8 | uint32(rest[6])
		c.mustWrite(t, rest[0], timestamp, rest[11:11+size])
		rest = rest[11+size+4:]
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if out, err := server.wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command("ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=codec_name,nb_read_packets", "-of", "csv=p=0", file).Output()
	if err != nil || !strings.Contains(string(out), "h264,75") || !strings.Contains(string(out), "aac,14") {
		t.Errorf("%d messages sent, received %q, %v", sent, out, err)
	}
}

// A client that can is told to connect again, and to where.
func TestClientReconnectRequest(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	url := "rtmp://" + s.addr + "/live/" + s.rec.key
	asked := make(chan string, 1)
	c := MustPublish(t, RTMPDialer{Reconnect: func(tcURL string) { asked <- tcURL }}, url)
	const target = "rtmp://other/live"
	if n := s.RequestReconnect(target); n != 1 {
		t.Fatalf("%d were asked", n)
	}
	read := make(chan error, 1)
	go func() {
		_, err := c.ReadMessage(0)
		read <- err
	}()
	if got := <-asked; got != target {
		t.Errorf("it was told %q", got)
	}
	_ = c.Close()
	if err := <-read; err == nil {
		t.Error("a message after the end")
	}
}
