//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oxbow-video/oxbow/test/bench/proc"
)

const (
	hitObjects = 16 // of each size: a connection asks for one after the other
	hitWarm    = time.Second
	verifyEach = 64 // of so many answers, one has every byte looked at
)

// hitRow is one measurement of cached objects.
type hitRow struct {
	Server      string  `json:"server"`
	Size        string  `json:"size"`
	Connections int     `json:"connections"`
	Round       int     `json:"round"`
	Requests    float64 `json:"requests_per_second"`
	PerCPU      float64 `json:"requests_per_server_cpu_second"`
	Bytes       float64 `json:"bytes_per_second"`
	ServerCPU   float64 `json:"server_cores"`
	ClientCPU   float64 `json:"client_cores"`
	RSS         float64 `json:"rss_mib"`
	PSS         float64 `json:"pss_mib"`
	Memory      float64 `json:"memory_mib"` // with memory files
	Failed      int     `json:"failed"`
	Misses      int     `json:"origin_requests"` // while it was measured
}

// hits measures all servers with all sizes and numbers of connections, round by round; each round begins with another
// server.
func (s settings) hits(ctx context.Context, out *report) error {
	counts, err := numbers(s.connections, 20_000)
	if err != nil {
		return err
	}
	classes, err := classes(s.sizes)
	if err != nil {
		return err
	}
	names := strings.Split(s.servers, ",")
	for round := range s.rounds {
		for i := range names {
			name := names[(i+round)%len(names)]
			err := s.onServer(ctx, name, func(ctx context.Context, server *server, control int) error {
				for _, class := range classes {
					if err := server.fill(ctx, class, hitObjects); err != nil {
						return err
					}
					for _, n := range counts {
						r, err := s.hitRow(ctx, server, control, class, n)
						if err != nil {
							return fmt.Errorf("%s at %d connections: %w", sizeNames[class], n, err)
						}
						r.Server, r.Round = name, round+1
						out.Hits = append(out.Hits, r)
						fmt.Fprintf(os.Stderr, "%+v\n", r)
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// hitRow has so many connections ask for objects of a size, as fast as they are answered.
func (s settings) hitRow(ctx context.Context, server *server, control, class, n int) (r hitRow, err error) {
	r.Size, r.Connections = sizeNames[class], n
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(s.seconds)*time.Second)
	defer cancel()
	client, err := dial(ctx, server.port, n, s.copies)
	if err != nil {
		return r, err
	}
	defer client.close()
	var requests [2][hitObjects]request // the second ones are verified
	for i := range hitObjects {
		number := class*classOf + i + 1
		requests[0][i] = newRequest(staticPath(class, i+1), uint64(number), sizes[class])
		requests[1][i] = requests[0][i]
		requests[1][i].whole = true
	}
	answers, bytes := 0, 0
	next := func(_ int, answer reply) request {
		answers++
		bytes += answer.size
		if answers%verifyEach == 0 {
			return requests[1][answers/verifyEach%hitObjects]
		}
		return requests[0][answers%hitObjects]
	}
	first := func(i int) request { return requests[0][i%hitObjects] }
	if err := client.run(ctx, time.Now().Add(hitWarm), first, next); err != nil {
		return r, err
	}
	missed, err := ask[counts](ctx, control)
	if err != nil {
		return r, err
	}
	profiled := s.profile(ctx, server, fmt.Sprintf("hits-%s-%d", r.Size, n), time.Duration(s.seconds)*time.Second)
	before, err := proc.CPUOf(server.PID())
	if err != nil {
		return r, err
	}
	own := ownCPU()
	answers, bytes = 0, 0
	err = client.run(ctx, time.Now().Add(time.Duration(s.seconds)*time.Second), nil, next)
	own = ownCPU() - own
	after, err2 := proc.UsageOf(server.PID())
	if err := errors.Join(err, err2, <-profiled); err != nil {
		return r, err
	}
	now, err := ask[counts](ctx, control)
	took := after.At.Sub(before.At).Seconds()
	used := (after.CPU - before.CPU).Seconds()
	r.Requests, r.Bytes, r.PerCPU = float64(answers)/took, float64(bytes)/took, float64(answers)/max(used, 0.001)
	r.ServerCPU, r.ClientCPU = used/took, own.Seconds()/took
	r.RSS, r.PSS, r.Memory = mib(after.RSS), mib(after.PSS), mib(after.Memory())
	r.Failed, r.Misses = client.failed, now.Static-missed.Static
	if client.failed > 0 {
		fmt.Fprintf(os.Stderr, "failures: %v\n", client.failures)
	}
	return r, err
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// ownCPU is the time that this process has used.
func ownCPU() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // fails for bad arguments only
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
