package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/oxbow-video/oxbow/test/bench/proc"
)

const (
	viewRamp = 6 * time.Second
	// viewStart is how long a stream is live before viewers come.
	viewStart = 8 * time.Second
)

// viewRow is one measurement of viewers.
type viewRow struct {
	Server    string         `json:"server"`
	Load      float64        `json:"cpu"` // of one core
	Viewers   int            `json:"viewers"`
	Playing   int            `json:"playing"`
	Requests  float64        `json:"requests_per_second"`
	Bits      float64        `json:"bits_per_second"`
	Missed    int64          `json:"missed"`
	Failures  map[string]int `json:"failures"`
	LateP50   float64        `json:"late_p50_ms"`
	LateP99   float64        `json:"late_p99_ms"`
	LateMax   float64        `json:"late_max_ms"`
	PartMS    float64        `json:"part_target_ms"`
	OwnCPU    float64        `json:"own_cpu_seconds"`
	Generator float64        `json:"generator_cpu"`
}

// latencyRow is one measurement of the time from a frame's sending to its part's arrival.
type latencyRow struct {
	Server   string  `json:"server"`
	Round    int     `json:"round"`
	Frames   int     `json:"frames"`
	Parts    int     `json:"parts"`
	Unknown  int     `json:"unknown_parts"`
	PartMS   float64 `json:"part_target_ms"`
	FrameP50 float64 `json:"frame_p50_ms"`
	FrameP99 float64 `json:"frame_p99_ms"`
	FrameMax float64 `json:"frame_max_ms"`
	LastP50  float64 `json:"last_p50_ms"`
	LastP99  float64 `json:"last_p99_ms"`
	LastMax  float64 `json:"last_max_ms"`
}

// watchers measures viewers and latency: one stream of about 0.5 Mbit/s, LL-HLS with parts of 500 ms, servers in turn.
func (s settings) watchers(ctx context.Context, work string) error {
	counts, err := numbers(s.view)
	if err != nil || s.latency < 0 || s.latency > 20 {
		return errors.Join(err, fmt.Errorf("-view %q, -latency %d: use numbers of viewers, and 0 to 20 rounds",
			s.view, s.latency))
	}
	if s.clip, err = makeSmallClip(ctx, work); err != nil {
		return err
	}
	var views []viewRow
	var latencies []latencyRow
	for round := range s.latency {
		for name := range strings.SplitSeq(s.servers, ",") {
			if err := s.onServer(ctx, work, name, func(b bench, server *server) error {
				r := latencyRow{Round: round + 1}
				err := b.generate(ctx, &r, "latency", "--publish", b.streamURL(server), "--url", server.viewers,
					"--file", b.clip+".flv", "--duration", (time.Duration(b.seconds) * time.Second).String())
				r.Server = name
				latencies = append(latencies, r)
				return err
			}); err != nil {
				return err
			}
		}
	}
	for _, n := range counts {
		for name := range strings.SplitSeq(s.servers, ",") {
			if err := s.onServer(ctx, work, name, func(b bench, server *server) error {
				r, err := b.viewers(ctx, server, n)
				r.Server = name
				views = append(views, r)
				return err
			}); err != nil {
				return err
			}
		}
	}
	return s.printWatchers(views, latencies)
}

// onServer starts a server, calls f, and stops it. A server that can't serve viewers is left out.
func (s settings) onServer(ctx context.Context, work, name string, f func(bench, *server) error) error {
	b := bench{settings: s, work: filepath.Join(work, "server"), protocol: "rtmp", streams: 1}
	defer func() { _ = os.RemoveAll(b.work) }()
	if name == "nginx" {
		return nil // it has no LL-HLS
	}
	server, err := b.startServer(ctx, name)
	if errors.Is(err, errAbsent) {
		fmt.Fprintf(os.Stderr, "%s left out: %v\n", name, err)
		return nil
	}
	if err != nil {
		return err
	}
	if err = f(b, server); err != nil {
		err = fmt.Errorf("%s: %w; the server said: %s", name, err, server.said())
	}
	return errors.Join(err, server.stop())
}

// streamURL is where the first stream is published.
func (b bench) streamURL(s *server) string {
	key := ""
	if text, err := os.ReadFile(s.keys); err == nil {
		key = strings.TrimSpace(string(text))
	}
	return strings.NewReplacer("{n}", "1", "{key}", key).Replace(s.url)
}

// viewers publishes one stream, and has it watched.
func (b bench) viewers(ctx context.Context, s *server, count int) (r viewRow, err error) {
	window := time.Duration(b.seconds) * time.Second
	ctx, cancel := context.WithTimeout(ctx, viewStart+viewRamp+window+time.Minute)
	defer cancel()
	publisher := exec.CommandContext(ctx, "taskset", "-c", "1", b.oxbow, "bench", "publish", "--url", b.streamURL(s),
		"--file", b.clip+".flv", "--duration", (viewStart + viewRamp + window + 15*time.Second).String())
	if err := publisher.Start(); err != nil {
		return r, err
	}
	defer func() {
		cancel()
		_ = publisher.Wait() // it was ended
	}()
	pause(ctx, viewStart)
	var before, after proc.Usage
	looked := make(chan error, 1)
	go func() {
		pause(ctx, viewRamp)
		var err error
		if before, err = proc.UsageOf(s.cmd.Process.Pid); err == nil {
			pause(ctx, window-time.Second)
			after, err = proc.UsageOf(s.cmd.Process.Pid)
		}
		looked <- err
	}()
	err = b.generate(ctx, &r, "view", "--url", s.viewers, "--viewers", strconv.Itoa(count), "--ramp", viewRamp.String(),
		"--duration", window.String())
	if err = errors.Join(err, <-looked); err != nil {
		return r, err
	}
	r.Load = (after.CPU - before.CPU).Seconds() / after.At.Sub(before.At).Seconds()
	r.Generator = r.OwnCPU / (viewRamp + window).Seconds()
	return r, nil
}

// generate runs `oxbow bench` on the second core and reads its JSON.
func (b bench) generate(ctx context.Context, result any, args ...string) error {
	args = append([]string{"-c", "1", b.oxbow, "bench"}, append(args, "--json")...)
	generator := exec.CommandContext(ctx, "taskset", args...)
	var out, said bytes.Buffer
	generator.Stdout, generator.Stderr = &out, &said
	if err := generator.Run(); err != nil {
		return fmt.Errorf("generator: %w: %s%s", err, out.String(), said.String())
	}
	if err := json.Unmarshal(out.Bytes(), result); err != nil {
		return fmt.Errorf("generator: %w", err)
	}
	fmt.Fprintf(os.Stderr, "%+v\n", result)
	return nil
}

// makeSmallClip encodes 32 s of 360p30 at 0.4 Mbit/s with AAC and a GOP of 1 s, as FLV.
func makeSmallClip(ctx context.Context, dir string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	name := filepath.Join(dir, "small")
	args := strings.Fields("-nostdin -v error -y -f lavfi -i testsrc2=size=640x360:rate=30 " +
		"-f lavfi -i sine=frequency=440:sample_rate=48000 -t 32 -c:v libx264 -preset veryfast -tune zerolatency " +
		"-b:v 400k -maxrate 400k -bufsize 400k -g 30 -keyint_min 30 -sc_threshold 0 -pix_fmt yuv420p " +
		"-c:a aac -b:a 64k -f flv " + name + ".flv")
	if out, err := exec.CommandContext(ctx, "ffmpeg", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("ffmpeg: %w: %s", err, out)
	}
	return name, nil
}

func (s settings) printWatchers(views []viewRow, latencies []latencyRow) error {
	if s.json {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(map[string]any{"viewers": views, "latency": latencies})
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(latencies) > 0 {
		_, _ = fmt.Fprintln(out, "server\tround\tframes\tunknown parts\tpart ms\tframe p50\tp99\tmax\t"+
			"last frame p50\tp99\tmax\t")
	}
	for _, r := range latencies {
		_, _ = fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t\n", r.Server, r.Round, r.Frames,
			r.Unknown, r.PartMS, r.FrameP50, r.FrameP99, r.FrameMax, r.LastP50, r.LastP99, r.LastMax)
	}
	if len(views) > 0 {
		_, _ = fmt.Fprintln(out, "server\tviewers\tplaying\tcore\trequests/s\tMbit/s\tmissed\tfailures\t"+
			"late p50 ms\tp99\tmax\tpart ms\t")
	}
	for _, r := range views {
		failures := 0
		for _, n := range r.Failures {
			failures += n
		}
		_, _ = fmt.Fprintf(out, "%s\t%d\t%d\t%.2f\t%.0f\t%.0f\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.0f\t\n", r.Server, r.Viewers,
			r.Playing, r.Load, r.Requests, r.Bits/1e6, r.Missed, failures, r.LateP50, r.LateP99, r.LateMax, r.PartMS)
	}
	return out.Flush()
}
