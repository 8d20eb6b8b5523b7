//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/test/bench/proc"
)

const (
	tick      = 200 * time.Millisecond
	fanWarm   = 10 // ticks that are not counted
	partBytes = 60 << 10
)

// fanRow is one measurement of viewers who wait for each part.
type fanRow struct {
	Server    string  `json:"server"`
	Mode      string  `json:"mode"`
	Viewers   int     `json:"viewers"`
	Round     int     `json:"round"`
	P50       float64 `json:"p50_ms"` // from the release at the origin to the last byte at the viewer
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
	Upstream  float64 `json:"upstream_requests_per_object"`
	MostOf    int     `json:"most_upstream_requests_of_an_object"`
	Answers   int     `json:"answers"`
	Missing   int     `json:"missing"` // answers that never came
	Failed    int     `json:"failed"`
	ServerCPU float64 `json:"server_cores"`
	PerAnswer float64 `json:"server_us_per_answer"`
	ClientCPU float64 `json:"client_cores"`
	RSS       float64 `json:"rss_mib"`
	PSS       float64 `json:"pss_mib"`
	Memory    float64 `json:"memory_mib"`
}

// fanModes are what viewers wait for.
var fanModes = map[string]live{
	"part":   {Tick: tick, Size: partBytes, Pieces: 1},
	"pieces": {Tick: tick, Size: partBytes, Pieces: 6, Over: 20 * time.Millisecond},
	"list":   {Tick: tick, Size: partBytes, Pieces: 1},
}

func (s settings) fanout(ctx context.Context, out *report) error {
	viewers, err := numbers(s.viewers, 20_000)
	if err != nil {
		return err
	}
	names := strings.Split(s.servers, ",")
	for round := range s.fanRounds {
		for mode := range strings.SplitSeq(s.modes, ",") {
			if _, known := fanModes[mode]; !known {
				return fmt.Errorf("-modes: no mode %q", mode)
			}
			for _, n := range viewers {
				for i := range names {
					name := names[(i+round)%len(names)]
					err := s.onServer(ctx, name, func(ctx context.Context, server *server, control int) error {
						r, err := s.fanRow(ctx, server, control, mode, n)
						if err != nil {
							return fmt.Errorf("%d viewers of %s: %w", n, mode, err)
						}
						r.Server, r.Round = name, round+1
						out.Fanout = append(out.Fanout, r)
						fmt.Fprintf(os.Stderr, "%+v\n", r)
						return nil
					})
					if err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// tickRequests are what viewers ask for, tick by tick.
func tickRequests(mode string, ticks int) []request {
	requests := make([]request, ticks)
	for t := range requests {
		requests[t] = newRequest(livePath(t), uint64(liveMSN+t), partBytes)
		if mode == "list" {
			requests[t] = newRequest(listPath(t), uint64(liveMSN+t), -1)
		}
	}
	return requests
}

// fanRow has viewers wait for each part, and ask for the next one once they have it, however late that is.
func (s settings) fanRow(ctx context.Context, server *server, control int, mode string, n int) (r fanRow, err error) {
	r.Mode, r.Viewers = mode, n
	ticks := fanWarm + s.ticks
	whole := time.Duration(ticks) * tick
	ctx, cancel := context.WithTimeout(ctx, whole+2*time.Minute)
	defer cancel()
	client, err := dial(ctx, server.port, n, s.copies)
	if err != nil {
		return r, err
	}
	defer client.close()
	requests := tickRequests(mode, ticks)
	delays := make([]int64, 0, n*s.ticks)
	seen := make([]int, n) // by each viewer
	next := func(i int, answer reply) request {
		at := seen[i]
		seen[i]++
		if at >= fanWarm {
			delays = append(delays, answer.at-answer.released)
		}
		if at+1 == ticks {
			return request{}
		}
		following := requests[at+1]
		following.whole = mode != "list" && (i+at)%verifyEach == 0
		return following
	}
	l := fanModes[mode]
	l.Ticks = ticks
	if err := post(ctx, control, l); err != nil {
		return r, err
	}
	profiled := s.profile(ctx, server, fmt.Sprintf("fanout-%s-%d", mode, n), whole)
	before, err := proc.CPUOf(server.PID())
	if err != nil {
		return r, err
	}
	own := ownCPU()
	// The stream begins a second after its start; who is 10 s behind its end gets no more.
	until := time.Now().Add(whole + 11*time.Second)
	err = client.run(ctx, until, func(int) request { return requests[0] }, next)
	own = ownCPU() - own
	after, err2 := proc.UsageOf(server.PID())
	if err := errors.Join(err, err2, <-profiled); err != nil {
		return r, err
	}
	asked, err := ask[counts](ctx, control)
	if err != nil {
		return r, err
	}
	for _, times := range asked.Asked[fanWarm:] {
		r.Upstream += float64(times) / float64(s.ticks)
		r.MostOf = max(r.MostOf, times)
	}
	r.Answers, r.Missing, r.Failed = len(delays), n*s.ticks-len(delays), client.failed
	if client.failed > 0 {
		fmt.Fprintf(os.Stderr, "failures: %v\n", client.failures)
	}
	r.P50, r.P99, r.Max = percentiles(delays)
	took, used := after.At.Sub(before.At).Seconds(), (after.CPU - before.CPU).Seconds()
	r.ServerCPU, r.ClientCPU = used/took, own.Seconds()/took
	answered := 0
	for _, of := range seen {
		answered += of
	}
	r.PerAnswer = used * 1e6 / float64(max(1, answered))
	r.RSS, r.PSS, r.Memory = mib(after.RSS), mib(after.PSS), mib(after.Memory())
	return r, nil
}

// percentiles gives, in milliseconds, the median, the 99th percentile and the most.
func percentiles(delays []int64) (p50, p99, most float64) {
	if len(delays) == 0 {
		return 0, 0, 0
	}
	slices.Sort(delays)
	at := func(share float64) float64 { return float64(delays[int(share*float64(len(delays)-1))]) / 1e6 }
	return at(0.5), at(0.99), at(1)
}
