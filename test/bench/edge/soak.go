//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/test/bench/proc"
)

// soakSample is how our edge was at one moment.
type soakSample struct {
	At          float64 `json:"seconds"`
	RSS         float64 `json:"rss_mib"`
	PSS         float64 `json:"pss_mib"`
	Memory      float64 `json:"memory_mib"`
	Peak        float64 `json:"peak_mib"` // the same before the collection; what else is here is behind one
	Heap        float64 `json:"heap_mib"` // alive
	Objects     float64 `json:"objects"`  // of those
	Arena       float64 `json:"arena_mib"`
	Answers     float64 `json:"answers"` // good ones so far
	Goroutines  float64 `json:"goroutines"`
	Descriptors float64 `json:"descriptors"`
	Requests    float64 `json:"requests_per_second"` // good answers since the sample before
	CPU         float64 `json:"cores"`
}

// soakResult is the whole run.
type soakResult struct {
	Seconds  float64          `json:"seconds"`
	Clients  map[string]int64 `json:"clients"` // what each kind did
	Failures map[string]int   `json:"failures"`
	LiveP50  float64          `json:"live_p50_ms"`
	LiveP99  float64          `json:"live_p99_ms"`
	LiveMax  float64          `json:"live_max_ms"`
	Upstream float64          `json:"upstream_requests_per_live_object"`
	Before   soakSample       `json:"before"` // without clients
	Samples  []soakSample     `json:"samples"`
	After    soakSample       `json:"after"` // the clients are gone
	Series   []soakSeries     `json:"series"`
	Leak     float64          `json:"objects_per_answer"` // that stay
	Faults   []string         `json:"faults"`
}

// soakRest is how long the edge has for closing what the clients left: it keeps idle connections to upstreams for a
// while.
const soakRest = 100 * time.Second

// soakEdge has our edge bear all kinds of clients at once.
func (s settings) soakEdge(ctx context.Context, out *report) error {
	return s.withOrigin(ctx, func(ctx context.Context, r rig) error {
		r.cacheSize = s.soakCache
		disk := filepath.Join(r.dir, "disk")
		if has, err := r.hasFlag(ctx, "--disk-cache"); err != nil {
			return err
		} else if has {
			r.oxbowArgs += " --disk-cache " + disk + " --disk-cache-size 512MiB"
		}
		server, err := r.startServer(ctx, s.soakServer)
		if err != nil {
			return err
		}
		result, err := s.soakFor(ctx, server, r.origin)
		if err != nil {
			err = fmt.Errorf("%w; it said: %s", err, server.Said())
		}
		out.Soak = result
		return errors.Join(err, server.Stop())
	})
}

func (s settings) soakFor(ctx context.Context, server *server, control int) (*soakResult, error) {
	result := &soakResult{Clients: make(map[string]int64), Failures: make(map[string]int), Faults: []string{}}
	watch := &soakWatch{server: server, begun: time.Now(), answers: func() int64 { return 0 }}
	var err error
	if result.Before, err = watch.sample(ctx); err != nil {
		return nil, err
	}
	load := &soakLoad{
		port: server.port, until: time.Now().Add(s.soak), ticks: int(s.soak/tick) + 100, copies: s.copies,
		counts: make(map[string]*count), failures: make(map[string]int),
	}
	live := fanModes["pieces"]
	live.Ticks = load.ticks
	if err := post(ctx, control, live); err != nil {
		return nil, err
	}
	running, cancel := context.WithDeadline(ctx, load.until.Add(15*time.Second))
	defer cancel()
	watch.begun, watch.answers = time.Now(), load.answers
	var group sync.WaitGroup
	var failed error
	group.Go(func() { failed = load.run(running) })
	every := min(5*time.Second, s.soak/40)
	for time.Now().Before(load.until) && err == nil && ctx.Err() == nil {
		pause(ctx, min(every, time.Until(load.until)))
		var sample soakSample
		if sample, err = watch.sample(ctx); err == nil {
			result.Samples = append(result.Samples, sample)
		}
		select {
		case <-server.Done():
			err = errors.New("the edge has ended")
		default:
		}
	}
	if err != nil {
		cancel()
	}
	group.Wait()
	if err := errors.Join(err, failed, ctx.Err()); err != nil {
		return nil, err
	}
	for rested := time.Now(); !result.rests() && time.Since(rested) < soakRest; {
		pause(ctx, 3*time.Second)
		if result.After, err = watch.sample(ctx); err != nil {
			return nil, err
		}
	}
	load.tell(result)
	asked, err := ask[counts](ctx, control)
	if err != nil {
		return nil, err
	}
	result.Seconds = s.soak.Seconds()
	result.countUpstream(asked)
	result.judge()
	return result, nil
}

func (r *soakResult) countUpstream(asked counts) {
	objects, times := 0, 0
	for _, n := range asked.Asked {
		if n > 0 {
			objects, times = objects+1, times+n
		}
	}
	r.Upstream = float64(times) / float64(max(1, objects))
}

// soakWatch samples a server.
type soakWatch struct {
	server  *server
	begun   time.Time
	answers func() int64
	last    proc.Usage
	had     int64
}

// sample looks at the server before and behind a collection: what stays counts, and what it took at the worst.
func (w *soakWatch) sample(ctx context.Context) (s soakSample, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	before, err := proc.UsageOf(w.server.PID())
	if err != nil {
		return s, err
	}
	alive, err := w.get(ctx, "/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		return s, err
	}
	u, err := proc.UsageOf(w.server.PID())
	if err != nil {
		return s, err
	}
	text, err := w.get(ctx, "/metrics")
	if err != nil {
		return s, err
	}
	has := w.answers()
	s = soakSample{
		At: u.At.Sub(w.begun).Seconds(), RSS: mib(u.RSS), PSS: mib(u.PSS), Memory: mib(u.Memory()),
		Peak: mib(before.Memory()),
		Heap: gauge(alive, "# HeapAlloc =") / (1 << 20), Objects: gauge(alive, "# HeapObjects ="),
		Arena: (gauge(text, "oxbow_cacheproxy_arena_bytes") + gauge(text, "oxbow_cacheproxy_arena_idle_bytes")) /
			(1 << 20),
		Goroutines: gauge(text, "go_goroutines"), Descriptors: float64(u.Descriptors), Answers: float64(has),
	}
	if !w.last.At.IsZero() {
		between := u.At.Sub(w.last.At).Seconds()
		s.Requests, s.CPU = float64(has-w.had)/between, (u.CPU-w.last.CPU).Seconds()/between
	}
	w.last, w.had = u, has
	return s, nil
}

func (w *soakWatch) get(ctx context.Context, path string) ([]byte, error) {
	return talk(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", w.server.admin, path), nil)
}

// gauge gives a metric without labels out of Prometheus' text, or a figure out of the heap profile's.
func gauge(text []byte, name string) float64 {
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			v, err := strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
			if err == nil {
				return v
			}
		}
	}
	return 0
}

func (r *soakResult) print(b *strings.Builder) {
	fmt.Fprintf(b, "\n### Soak of %.0f s\n\n", r.Seconds)
	for _, kind := range soakKinds {
		fmt.Fprintf(b, "- %s: %d\n", kind, r.Clients[kind])
	}
	fmt.Fprintf(b, "- live parts in 6 pieces over 20 ms, from release to last byte: p50 %.1f ms, p99 %.1f ms, "+
		"max %.1f ms; %.3f upstream requests per part\n", r.LiveP50, r.LiveP99, r.LiveMax, r.Upstream)
	for what, times := range r.Failures {
		fmt.Fprintf(b, "- failed: %s: %d\n", what, times)
	}
	b.WriteString("\n| second | requests/s | cores | RSS MiB | PSS MiB | memory MiB | at peak | arena MiB | " +
		"heap MiB | objects | goroutines | descriptors |\n" +
		"|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	line := func(name string, s soakSample) {
		fmt.Fprintf(b, "| %s | %.0f | %.2f | %.0f | %.0f | %.0f | %.0f | %.0f | %.1f | %.0f | %.0f | %.0f |\n",
			name, s.Requests, s.CPU, s.RSS, s.PSS, s.Memory, s.Peak, s.Arena, s.Heap, s.Objects, s.Goroutines, s.Descriptors)
	}
	line("before", r.Before)
	step := (len(r.Samples) + 19) / 20
	for i := step - 1; i < len(r.Samples); i += step {
		line(fmt.Sprintf("%.0f", r.Samples[i].At), r.Samples[i])
	}
	line(fmt.Sprintf("%.0f, %.0f after the clients left", r.After.At, r.After.At-r.Seconds), r.After)
	b.WriteString("\n| | end of first quarter | second half | its slope per hour | flat |\n|---|--:|--:|--:|---|\n")
	for _, s := range r.Series {
		fmt.Fprintf(b, "| %s | %.0f | %.0f | %+.1f | %s |\n", s.Name, s.Quarter, s.Half, s.Slope*3600,
			map[bool]string{true: "yes", false: "**no**"}[s.Flat])
	}
	fmt.Fprintf(b, "\nObjects that stay of a thousand answers: %.2f\n", 1000*r.Leak)
	for _, fault := range r.Faults {
		fmt.Fprintf(b, "\n**%s**\n", fault)
	}
}

// hasFlag says whether the build knows a flag of edge.
func (r rig) hasFlag(ctx context.Context, flag string) (bool, error) {
	help, err := edgeHelp(ctx, r.oxbow)
	return bytes.Contains(help, []byte(flag+"=")), err
}
