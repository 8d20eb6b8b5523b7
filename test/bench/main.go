// Command bench compares what live servers cost: Oxbow, nginx-rtmp and MediaMTX take the same streams one after the
// other, each pinned to the first core and the load generator to the second, on loopback, recording to a real
// directory. It prints a table, or JSON with -json. It ends by itself; -h shows its bounds.
//
//	go run ./test/bench -oxbow bin/oxbow -mediamtx /path/to/mediamtx
//	go run ./test/bench -oxbow bin/oxbow -mediamtx /path/to/mediamtx -latency 3 -view 1000,3000
//
// It wants Linux, taskset, ffmpeg (for the clip), nginx with libnginx-mod-rtmp (Debian), and a mediamtx binary; a
// server that is not there is left out. Absolute figures move with the machine: compare those of one run.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// settings are the flags.
type settings struct {
	oxbow, mediamtx, nginx string
	dir, clip              string
	servers                string
	rtmp, srt, limit       string
	view                   string
	latency                int
	seconds                int
	json                   bool
}

func main() {
	var s settings
	flag.StringVar(&s.oxbow, "oxbow", "bin/oxbow", "Oxbow's binary: server and load generator")
	flag.StringVar(&s.mediamtx, "mediamtx", "mediamtx", "MediaMTX's binary")
	flag.StringVar(&s.nginx, "nginx", "nginx", "nginx's binary")
	flag.StringVar(&s.dir, "dir", os.TempDir(), "where recordings go while a server runs: a real disk")
	flag.StringVar(&s.clip, "clip", "", "FLV and TS of this name without its ending, instead of a clip that is made")
	flag.StringVar(&s.servers, "servers", "oxbow,nginx,mediamtx", "which servers, in order")
	flag.StringVar(&s.rtmp, "rtmp", "1,10,100", "numbers of RTMP streams, none if empty")
	flag.StringVar(&s.srt, "srt", "1,10,30", "numbers of SRT streams, none if empty")
	flag.StringVar(&s.limit, "limit", "150,200,250,300",
		"numbers of RTMP streams to find the limit with: each server stops at the first that it does not bear")
	flag.StringVar(&s.view, "view", "",
		"numbers of LL-HLS viewers of one stream: Oxbow's origin beside MediaMTX")
	flag.IntVar(&s.latency, "latency", 0, "rounds of measuring how long frames take until their part can be had")
	flag.IntVar(&s.seconds, "seconds", 15, "how long each is measured; 5 to 120")
	flag.BoolVar(&s.json, "json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := s.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (s settings) run(ctx context.Context) error {
	if s.seconds < 5 || s.seconds > 120 {
		return fmt.Errorf("-seconds %d: use 5 to 120", s.seconds)
	}
	work, err := os.MkdirTemp(s.dir, "oxbow-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if s.view != "" || s.latency > 0 {
		return s.watchers(ctx, work)
	}
	if s.clip == "" {
		if s.clip, err = makeClip(ctx, work); err != nil {
			return err
		}
	}
	var rows []row
	for _, plan := range []struct {
		protocol, counts string
		limit            bool
	}{{"rtmp", s.rtmp, false}, {"srt", s.srt, false}, {"rtmp", s.limit, true}} {
		counts, err := numbers(plan.counts)
		if err != nil {
			return err
		}
		for name := range strings.SplitSeq(s.servers, ",") {
			for _, n := range counts {
				b := bench{settings: s, work: filepath.Join(work, "server"), protocol: plan.protocol, streams: n}
				r, err := b.measure(ctx, name)
				if errors.Is(err, errAbsent) {
					fmt.Fprintf(os.Stderr, "%s %s left out: %v\n", name, plan.protocol, err)
					break
				}
				if err != nil {
					return fmt.Errorf("%s with %d %s streams: %w", name, n, plan.protocol, err)
				}
				r.Limit = plan.limit
				rows = append(rows, r)
				fmt.Fprintf(os.Stderr, "%+v\n", r)
				if plan.limit && !r.Bears {
					break
				}
			}
		}
	}
	return s.print(rows)
}

func numbers(list string) ([]int, error) {
	var all []int
	for _, field := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 || n > 10_000 {
			return nil, fmt.Errorf("%q: use numbers of 1 to 10000", list)
		}
		all = append(all, n)
	}
	return all, nil
}

// makeClip encodes 16 s of 720p30 at 4 Mbit/s with AAC, as FLV and as MPEG-TS.
func makeClip(ctx context.Context, dir string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	name := filepath.Join(dir, "clip")
	encode := strings.Fields("-nostdin -v error -y -f lavfi -i testsrc2=size=1280x720:rate=30 " +
		"-f lavfi -i sine=frequency=440:sample_rate=48000 -vf noise=alls=20:allf=t -t 16 " +
		"-c:v libx264 -preset superfast -profile:v high -b:v 4M -maxrate 4M -bufsize 4M -nal-hrd cbr " +
		"-g 60 -keyint_min 60 -sc_threshold 0 -pix_fmt yuv420p -c:a aac -b:a 128k -ac 2 -f flv")
	for _, args := range [][]string{
		append(encode, name+".flv"),
		{"-nostdin", "-v", "error", "-y", "-i", name + ".flv", "-c", "copy", "-f", "mpegts", name + ".ts"},
	} {
		if out, err := exec.CommandContext(ctx, "ffmpeg", args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("ffmpeg: %w: %s", err, out)
		}
	}
	return name, nil
}

// row is one measurement.
type row struct {
	Server       string  `json:"server"`
	Protocol     string  `json:"protocol"`
	Streams      int     `json:"streams"`
	Limit        bool    `json:"limit_search,omitempty"`
	CPU          float64 `json:"cpu_per_stream_second"` // seconds of the server's user and system time
	Load         float64 `json:"cpu"`                   // of one core
	RSS          float64 `json:"rss_mib"`
	PSS          float64 `json:"pss_mib"`
	Heap         float64 `json:"rss_mib_per_stream"` // above the idle server's
	Connected    int     `json:"connected"`
	Disconnected int     `json:"disconnected"`
	Mbits        float64 `json:"mbit_per_second"`
	LagP50       float64 `json:"lag_p50_ms"`
	LagP99       float64 `json:"lag_p99_ms"`
	LagMax       float64 `json:"lag_max_ms"`
	Backlog      float64 `json:"backlog_ms"` // most of one socket that the server had not read, in time of media
	Generator    float64 `json:"generator_cpu"`
	Bears        bool    `json:"bears"` // all connected, none lost, lag and backlog within 1 s
}

func (s settings) print(rows []row) error {
	if s.json {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(rows)
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(out, "server\tprotocol\tstreams\tCPU/stream\tcore\tRSS MiB\tPSS MiB\t"+
		"MiB/stream\tMbit/s\tlag p99 ms\tlag max ms\tbacklog ms\tbears\t")
	for _, r := range rows {
		_, _ = fmt.Fprintf(out, "%s\t%s\t%d\t%.5f\t%.2f\t%.0f\t%.0f\t%.2f\t%.1f\t%.1f\t%.1f\t%.0f\t%t\t\n",
			r.Server, r.Protocol, r.Streams, r.CPU, r.Load, r.RSS, r.PSS, r.Heap, r.Mbits,
			r.LagP99, r.LagMax, r.Backlog, r.Bears)
	}
	return out.Flush()
}

var errAbsent = errors.New("not on this machine")

func present(binary string) error {
	if _, err := exec.LookPath(binary); err != nil {
		return fmt.Errorf("%w: %w", errAbsent, err)
	}
	return nil
}
