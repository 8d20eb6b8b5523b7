package test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	srt "github.com/datarhei/gosrt"
)

// comeFrom gives an address that leads to a server, which sees another client behind it: 127.0.0.2, not 127.0.0.1.
func comeFrom(tb testing.TB, client, network, server string) string {
	tb.Helper()
	if network == "udp" {
		return comeByUDP(tb, client, server)
	}
	l, err := net.Listen(network, "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var lines sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(func() { cancel(); _ = l.Close(); lines.Wait() })
	lines.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}}
			far, err := dialer.DialContext(ctx, network, server)
			if err != nil {
				_ = near.Close()
				continue
			}
			stop := context.AfterFunc(ctx, func() { _, _ = near.Close(), far.Close() })
			for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
				lines.Go(func() {
					defer stop()
					_, _ = io.Copy(pair[0], pair[1])
					_, _ = near.Close(), far.Close()
				})
			}
		}
	})
	return l.Addr().String()
}

// comeByUDP is comeFrom for one client at a time.
func comeByUDP(tb testing.TB, client, server string) string {
	tb.Helper()
	near, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	to, err := net.ResolveUDPAddr("udp", server)
	if err != nil {
		tb.Fatal(err)
	}
	far, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(client)}, to)
	if err != nil {
		tb.Fatal(err)
	}
	var lines sync.WaitGroup
	tb.Cleanup(func() { _, _ = near.Close(), far.Close(); lines.Wait() })
	var mu sync.Mutex
	var from *net.UDPAddr
	lines.Go(func() {
		for buf := make([]byte, 2048); ; {
			n, who, err := near.ReadFromUDP(buf)
			if err != nil {
				return
			}
			mu.Lock()
			from = who
			mu.Unlock()
			_, _ = far.Write(buf[:n])
		}
	})
	lines.Go(func() {
		for buf := make([]byte, 2048); ; {
			n, err := far.Read(buf)
			if err != nil && n == 0 {
				select {
				case <-tb.Context().Done():
					return
				default:
					continue // the server's port was not open for a moment
				}
			}
			mu.Lock()
			who := from
			mu.Unlock()
			_, _ = near.WriteToUDP(buf[:n], who)
		}
	})
	return near.LocalAddr().String()
}

// limitedServer is a server that lets few connections of an address in, and two publishers that are live on it.
type limitedServer struct {
	*oxbow
	t    *testing.T
	keys map[string]string
	live []*process
	// source is the film that they send.
	source string
}

// dialSRT comes with a stream's key, or a wrong one, and gives the code with which it is refused; zero is let in. It tries
// again when nobody answered: the library asks once.
func (s *limitedServer) dialSRT(address, stream string) (code int64) {
	s.t.Helper()
	cfg := srt.DefaultConfig()
	cfg.ConnectionTimeout = 20 * time.Second
	cfg.StreamId = "publish:" + stream + "/show:" + s.keys[stream]
	if s.keys[stream] == "" {
		cfg.StreamId = "publish:far/show:ox_wrong_key_of_somebody"
	}
	for range 3 {
		conn, err := srt.Dial("srt", address, cfg)
		if err == nil {
			_ = conn.Close()
			return 0
		}
		if _, told, ok := strings.Cut(err.Error(), "REJECT ("); ok {
			if code, err = strconv.ParseInt(strings.TrimSuffix(told, ")"), 32, 64); err == nil { // as the library writes it
				return code
			}
		}
		s.t.Log(err)
	}
	s.t.Fatalf("no answer at %s", address)
	return 0
}

// sendSRT publishes a stream over SRT until it is killed.
func (s *limitedServer) sendSRT(stream string) *process {
	s.t.Helper()
	return publish(s.t, "-re", "-stream_loop", "-1", "-i", s.source, "-c", "copy", "-f", "mpegts",
		"srt://"+s.srt+"?connect_timeout=30000&streamid=publish:"+stream+"/show:"+s.keys[stream])
}

// publishes sends a second of the film over RTMP, and says whether it was let in.
func (s *limitedServer) publishes(address, key string) bool {
	s.t.Helper()
	out, err := tryRun(s.t, time.Minute, "ffmpeg", "-v", "error", "-nostdin", "-re", "-i", s.source, "-t", "1", "-c", "copy",
		"-f", "flv", "rtmp://"+address+"/live/"+key)
	s.t.Log(address, err, out)
	return err == nil
}

// counts waits until a metric with a label is n, which it must not be beyond.
func (s *limitedServer) counts(n int, name, label string) {
	s.t.Helper()
	eventually(s.t, time.Minute, fmt.Sprintf("%s{%s} is %d", name, label, n), func() bool {
		_, text := s.try("http://" + s.admin + "/metrics")
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			end := strings.LastIndexByte(line, ' ')
			series, value := line[:max(end, 0)], line[end+1:]
			if metric, _, _ := strings.Cut(series, "{"); metric == name && strings.Contains(series, label) {
				return value == fmt.Sprint(n)
			}
		}
		return n == 0
	})
}

// goOn fails the test unless both publishers are live as they were, and bring more.
func (s *limitedServer) goOn() {
	s.t.Helper()
	for i, stream := range []string{"srt", "rtmp"} {
		if s.live[i].over() {
			s.t.Errorf("the publisher over %s has ended", stream)
		}
		rows := s.recordings(stream, "show")
		if len(rows) != 1 || rows[0].State != "live" {
			s.t.Fatalf("of %s: %+v", stream, rows)
		}
		before := string(s.get("/" + stream + "/show/" + rows[0].ID + "/video.m3u8"))
		eventually(s.t, 30*time.Second, stream+" brings more", func() bool {
			return string(s.get("/"+stream+"/show/"+rows[0].ID+"/video.m3u8")) != before
		})
	}
	if n := s.metrics("oxbow_ingest_publishers_total", `protocol="srt"`); n < 1 {
		s.t.Errorf("%v publishes over SRT", n)
	}
	for line := range strings.Lines(s.out.String()) {
		for _, stream := range []string{"srt", "rtmp"} {
			if strings.Contains(line, "publisher left") && strings.Contains(line, "publisher="+stream+" ") {
				s.t.Errorf("the limits are for others, but: %s", line)
			}
		}
	}
}

// startLimited starts it.
func startLimited(t *testing.T, limit int) *limitedServer {
	t.Helper()
	s := &limitedServer{
		oxbow: newOxbow(t, "--max-per-address", fmt.Sprint(limit), "--srt-latency", "120ms"), t: t, keys: map[string]string{},
	}
	s.start("serve")
	for _, name := range []string{"srt", "rtmp", "one", "two", "three", "far"} {
		s.keys[name] = s.createStream(name, "show", map[string]any{"segment_duration": "1s"})
	}
	s.source = encodeSource(t, 4, "320x180", "300k")
	s.live = []*process{
		s.sendSRT("srt"),
		publish(t, "-re", "-stream_loop", "-1", "-i", s.source, "-c", "copy", "-f", "flv",
			"rtmp://"+s.rtmp+"/live/"+s.keys["rtmp"]),
	}
	for _, stream := range []string{"srt", "rtmp"} {
		eventually(t, time.Minute, stream+" is live", func() bool {
			status, _ := s.try(s.url("/" + stream + "/show/index.m3u8"))
			return status == 200
		})
	}
	return s
}

// TestLimitsPerAddressOverSRTAndRTMP has an address come with more than it may, by both protocols, which count together:
// it is refused, while its two publishers that are live and another address go on.
func TestLimitsPerAddressOverSRTAndRTMP(t *testing.T) {
	t.Parallel()
	const refused, crowded = "oxbow_ingest_refused_total", `reason="crowded"`
	const tooMany = `reason="too_many_connections_of_one_address"`
	s := startLimited(t, 4)
	farSRT, farRTMP := comeFrom(t, "127.0.0.2", "udp", s.srt), comeFrom(t, "127.0.0.2", "tcp", s.rtmp)

	// Those that do nothing give way to each other, not to who has a key.
	var idle []net.Conn
	for range 5 {
		conn, err := net.Dial("tcp", s.rtmp)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		idle = append(idle, conn)
	}
	s.counts(3, refused, crowded)
	one, two := s.sendSRT("one"), s.sendSRT("two")
	s.counts(5, refused, crowded) // none is left of them
	s.counts(3, "oxbow_ingest_connections", `protocol="srt"`)
	for _, conn := range idle {
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		if n, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("who had to go is told %d bytes", n)
		}
	}

	// All that it may have are publishers now.
	if code := s.dialSRT(s.srt, "three"); code != 1402 {
		t.Errorf("one more over SRT: %d, want 1402", code)
	}
	s.counts(1, refused, tooMany)
	if s.publishes(s.rtmp, s.keys["three"]) {
		t.Error("one more over RTMP is let in")
	}
	s.counts(2, refused, tooMany)
	if code := s.dialSRT(farSRT, "far"); code != 0 {
		t.Errorf("another address over SRT: %d", code)
	}
	if !s.publishes(farRTMP, s.keys["three"]) {
		t.Error("another address over RTMP is refused")
	}
	s.goOn()

	// What has gone leaves its place at once.
	one.kill()
	two.kill()
	s.counts(1, "oxbow_ingest_connections", `protocol="srt"`)
	s.guessKeys(farSRT)
	s.counts(2, refused, tooMany)
	s.goOn()
}

// guessKeys brings wrong keys from an address whose publishers are live, and from another one.
func (s *limitedServer) guessKeys(farSRT string) {
	s.t.Helper()
	const refused, delayed, atOnce = "oxbow_ingest_refused_total", "oxbow_ingest_delayed_total", 10
	guess := func(address string) {
		s.t.Helper()
		if code := s.dialSRT(address, ""); code != 1401 {
			s.t.Errorf("a wrong key over SRT: %d, want 1401", code)
		}
	}
	for n := 1; s.metrics(delayed) < 2; n++ {
		if guess(s.srt); n <= atOnce && s.metrics(delayed) > 0 || n > 10*atOnce {
			s.t.Fatalf("of %d wrong keys %v were answered late", n, s.metrics(delayed))
		}
	}
	before, late := int(s.metrics(refused, `reason="wrong_key"`)), int(s.metrics(delayed))
	guess(farSRT)
	s.counts(before+1, refused, `reason="wrong_key"`)
	if code := s.dialSRT(s.srt, "one"); code != 0 {
		s.t.Errorf("a right key after wrong ones: %d", code)
	}
	if !s.publishes(s.rtmp, s.keys["two"]) {
		s.t.Error("a right key after wrong ones is refused over RTMP")
	}
	s.counts(late, delayed, "") // neither the other address nor the right keys
	if !full() {
		return
	}
	<-time.After(65 * time.Second) // in which the address behaves
	guess(s.srt)
	s.counts(before+2, refused, `reason="wrong_key"`)
	s.counts(late, delayed, "")
}
