package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/test/bench/proc"
)

const (
	ramp   = 3 * time.Second
	settle = 6 * time.Second // rings fill, and the runtime finds its heap's size
)

// bench is one measurement to come.
type bench struct {
	settings
	work     string
	protocol string
	streams  int
	port     int
}

// measure starts a server, has it take the streams, and stops it.
func (b bench) measure(ctx context.Context, name string) (row, error) {
	defer func() { _ = os.RemoveAll(b.work) }()
	ctx, cancel := context.WithTimeout(ctx, ramp+settle+time.Duration(b.seconds)*time.Second+time.Minute)
	defer cancel()
	s, err := b.startServer(ctx, name)
	if err != nil {
		return row{}, err
	}
	r, err := b.load(ctx, s)
	r.Server, r.Protocol, r.Streams = name, b.protocol, b.streams
	return r, errors.Join(err, s.stop())
}

// startServer starts a server by its name, on a free port and in an empty directory.
func (b *bench) startServer(ctx context.Context, name string) (*server, error) {
	var err error
	if b.port, err = freePort(ctx, b.protocol); err != nil {
		return nil, err
	}
	start, known := map[string]func(context.Context) (*server, error){
		"oxbow": b.startOxbow, "nginx": b.startNginx, "mediamtx": b.startMediaMTX,
	}[name]
	if !known {
		return nil, fmt.Errorf("no server %q", name)
	}
	if err := os.MkdirAll(b.work, 0o777); err != nil {
		return nil, err
	}
	return start(ctx)
}

// load runs the generator and looks at the server meanwhile.
func (b bench) load(ctx context.Context, s *server) (row, error) {
	var r row
	idle, err := proc.UsageOf(s.cmd.Process.Pid)
	if err != nil {
		return r, err
	}
	window := time.Duration(b.seconds) * time.Second
	file := b.clip + ".flv"
	if b.protocol == "srt" {
		file = b.clip + ".ts"
	}
	args := []string{
		"-c", "1", b.oxbow, "bench", "publish", "--json", "--url", s.url, "--file", file, "--ramp", ramp.String(),
		"--streams", strconv.Itoa(b.streams), "--duration", (settle + window + time.Second).String(),
	}
	if s.keys != "" {
		args = append(args, "--keys", s.keys)
	}
	generator := exec.CommandContext(ctx, "taskset", args...)
	var out, said bytes.Buffer
	generator.Stdout, generator.Stderr = &out, &said
	if err := generator.Start(); err != nil {
		return r, err
	}
	before, after, backlog, err := b.watch(ctx, s, window)
	if waited := generator.Wait(); waited != nil {
		err = errors.Join(err, fmt.Errorf("generator: %w: %s%s", waited, out.String(), said.String()))
	}
	if err != nil {
		return r, fmt.Errorf("%w; the server said: %s", err, s.said())
	}
	var got struct {
		Connected    int            `json:"connected"`
		Disconnected map[string]int `json:"disconnected"`
		Behind       int            `json:"behind"`
		Bits         float64        `json:"bits_per_second"`
		P50          float64        `json:"lag_p50_ms"`
		P99          float64        `json:"lag_p99_ms"`
		Max          float64        `json:"lag_max_ms"`
		CPU          float64        `json:"own_cpu_seconds"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		return r, fmt.Errorf("generator: %w", err)
	}
	for _, n := range got.Disconnected {
		r.Disconnected += n
	}
	r.Load = (after.CPU - before.CPU).Seconds() / after.At.Sub(before.At).Seconds()
	r.CPU = r.Load / float64(b.streams)
	const mib = 1 << 20
	r.RSS, r.PSS = float64(after.RSS)/mib, float64(after.PSS)/mib
	r.Heap = float64(after.RSS-idle.RSS) / mib / float64(b.streams)
	r.Connected, r.Mbits = got.Connected, got.Bits/1e6
	r.LagP50, r.LagP99, r.LagMax = got.P50, got.P99, got.Max
	r.Generator = got.CPU / (ramp + settle + window).Seconds()
	bytesPerMS := 4.13e6 / 8 / 1000
	if b.protocol == "srt" {
		bytesPerMS *= float64(b.streams) // they share a socket
	}
	r.Backlog = float64(backlog) / bytesPerMS
	r.Bears = r.Connected == b.streams && r.Disconnected == 0 && r.LagMax < 1000 && r.Backlog < 1000
	return r, nil
}

// watch gives the server's usage at the start and the end of the window, and the longest receive queue seen in it.
func (b bench) watch(
	ctx context.Context, s *server, window time.Duration,
) (before, after proc.Usage, backlog int64, err error) {
	pause(ctx, ramp+settle)
	if before, err = proc.UsageOf(s.cmd.Process.Pid); err != nil {
		return
	}
	for end := before.At.Add(window); time.Now().Before(end) && ctx.Err() == nil; {
		pause(ctx, min(2*time.Second, time.Until(end)))
		queued, err := receiveQueue(b.protocol, b.port)
		if err != nil {
			return before, after, 0, err
		}
		backlog = max(backlog, queued)
	}
	after, err = proc.UsageOf(s.cmd.Process.Pid)
	return before, after, backlog, errors.Join(err, ctx.Err())
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// freePort gives a port of loopback that nobody has: TCP for RTMP, UDP for SRT.
func freePort(ctx context.Context, protocol string) (int, error) {
	if protocol == "srt" {
		conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		return conn.LocalAddr().(*net.UDPAddr).Port, conn.Close()
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}
