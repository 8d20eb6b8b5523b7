package test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/ingest"
)

// TestHostileClientsDisturbNobody: while a stream is live, thousands of connections that do nothing, shake hands slowly,
// send garbage, claim huge messages or try wrong keys come from many addresses. The stream loses no picture, a publisher
// from an address that attacks still gets in, and memory stays bounded.
func TestHostileClientsDisturbNobody(t *testing.T) {
	t.Parallel()
	server := newOxbow(t, "--log-level", "info") // else a failure's log is nothing but refusals
	server.start("serve")
	key := server.createStream("acme", "show", nil)
	second := createStreamOf(t, server, "acme", "second")
	clip := newClipMaker(t).clip(t, "H.264 B-frames", "AAC-LC")
	want := pictures(t, clip, t.TempDir())

	const loops = 2
	publisher := publish(t, "-stream_loop", strconv.Itoa(loops-1), "-re", "-i", clip, "-c", "copy", "-f", "flv",
		"rtmp://"+server.rtmp+"/live/"+key)
	eventually(t, 20*time.Second, "the stream is live", func() bool {
		status, _ := server.try(server.url("/acme/show/index.m3u8"))
		return status == http.StatusOK
	})
	before := residentMemory(t, server)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var attackers sync.WaitGroup
	defer attackers.Wait()
	defer cancel()
	crowd := &crowd{server: server, ctx: ctx}
	attackers.Go(func() { crowd.idle(2000) })
	for i := range 8 {
		attackers.Go(func() { crowd.repeat(i, crowd.slowHandshake) })
		attackers.Go(func() { crowd.repeat(i, crowd.garbage) })
		attackers.Go(func() { crowd.repeat(i, crowd.oversized) })
		attackers.Go(func() { crowd.repeat(i, crowd.wrongKey) })
	}
	attackers.Go(func() { crowd.repeat(0, crowd.datagrams) })
	attackers.Go(func() { crowd.repeat(1, crowd.tunnel) })

	// In the middle of it another publisher comes, from an address that attacks too: its connection may have to give way
	// before it is known whose it is, as those of the attackers do, and an encoder tries again.
	var late *process
	eventually(t, 30*time.Second, "the other publisher is in", func() bool {
		if late == nil || late.over() {
			late = publish(t, "-re", "-i", clip, "-c", "copy", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+second)
		}
		return len(server.recordings("acme", "second")) > 0
	})
	var peak int64
	eventually(t, time.Minute, "the publishers are through", func() bool {
		peak = max(peak, residentMemory(t, server))
		return publisher.over() && late.over()
	})
	cancel()
	attackers.Wait()
	if publisher.err != nil || late.err != nil {
		t.Fatalf("the publishers failed: %v, %v", publisher.err, late.err)
	}
	for stream, times := range map[string]int{"show": loops, "second": 1} {
		wantOneRecording(t, server, stream, slices.Repeat(want, times), 0)
	}
	t.Logf("memory: %d MB before, %d MB at most; %d connections held, refused: %.0f", before>>20, peak>>20, crowd.held,
		server.metrics("oxbow_ingest_refused_total"))
	if peak-before > 200<<20 {
		t.Errorf("memory grew from %d MB to %d MB", before>>20, peak>>20)
	}
}

// residentMemory gives the server's RSS in bytes.
func residentMemory(tb testing.TB, server *oxbow) int64 {
	tb.Helper()
	n := readResident(server.cmd.Process.Pid)
	if n == 0 {
		tb.Fatal("no VmRSS")
	}
	return n
}

// readResident gives a process's RSS in bytes, or zero.
func readResident(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.Fields(kb)[0], 10, 64)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

// crowd attacks a server from many addresses of the loopback network.
type crowd struct {
	server *oxbow
	ctx    context.Context
	held   int
}

// dial connects from the nth address.
func (c *crowd) dial(n int) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(n/200), byte(1+n%200))}, Timeout: 5 * time.Second}
	return dialer.DialContext(c.ctx, "tcp", c.server.rtmp)
}

// idle opens connections and leaves them alone, those of 127.0.0.1 first.
func (c *crowd) idle(count int) {
	var conns []net.Conn
	for i := range count {
		conn, err := c.dial(i / 100)
		if err != nil {
			break
		}
		conns = append(conns, conn)
	}
	c.held = len(conns)
	<-c.ctx.Done()
	for _, conn := range conns {
		_ = conn.Close()
	}
}

// repeat attacks until the end.
func (c *crowd) repeat(n int, attack func(n int)) {
	pause := time.NewTicker(40 * time.Millisecond)
	defer pause.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-pause.C:
			attack(n)
		}
	}
}

func (c *crowd) slowHandshake(n int) {
	conn, err := c.dial(n)
	if err != nil {
		return
	}
	defer conn.Close()
	drip := time.NewTicker(100 * time.Millisecond)
	defer drip.Stop()
	for range 20 {
		if _, err := conn.Write([]byte{3}); err != nil {
			return
		}
		select {
		case <-drip.C:
		case <-c.ctx.Done():
			return
		}
	}
}

func (c *crowd) garbage(n int) {
	conn, err := c.dial(n)
	if err != nil {
		return
	}
	defer conn.Close()
	noise := make([]byte, 64<<10)
	_, _ = rand.Read(noise)
	_, _ = conn.Write(noise)
}

// oversized shakes hands and then announces messages of 16 MiB on many chunk streams.
func (c *crowd) oversized(n int) {
	conn, err := c.dial(n)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	hello := make([]byte, 1+1536)
	hello[0] = 3
	if _, err := conn.Write(hello); err != nil {
		return
	}
	answer := make([]byte, 1+2*1536)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return
	}
	_, _ = conn.Write(answer[1 : 1+1536])
	for id := byte(3); id < 60; id++ {
		chunk := append([]byte{id, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0}, make([]byte, 128)...)
		if _, err := conn.Write(chunk); err != nil {
			return
		}
	}
}

func (c *crowd) wrongKey(int) {
	ctx, cancel := context.WithTimeout(c.ctx, 10*time.Second)
	defer cancel()
	client, err := ingest.DialRTMP(ctx, "rtmp://"+c.server.rtmp+"/live/ox_wrong_wrong_wrong_wrong")
	if err != nil {
		return
	}
	_ = client.Publish(ctx)
	_ = client.Close()
}

func (c *crowd) datagrams(int) {
	conn, err := net.Dial("udp", c.server.srt)
	if err != nil {
		return
	}
	defer conn.Close()
	for size := range 64 {
		noise := make([]byte, 16+size*20)
		_, _ = rand.Read(noise)
		_, _ = conn.Write(noise)
	}
}

func (c *crowd) tunnel(int) {
	for _, path := range []string{"/fcs/ident2", "/open/1", "/send/nobody/1", "/idle/nobody/2", "/close/nobody/3"} {
		req, err := http.NewRequestWithContext(c.ctx, http.MethodPost, c.server.url(path), strings.NewReader(strings.Repeat("x", 2000)))
		if err != nil {
			return
		}
		req.Header.Set("Content-Type", "application/x-fcs")
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
			_ = resp.Body.Close()
		}
	}
}
