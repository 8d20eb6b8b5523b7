//go:build linux

// Command edge compares caches for live video on one machine in one run: Oxbow's edge, nginx, Varnish and Traffic
// Server in front of the same origin. Servers and the origin are pinned to the first core, and the clients, this
// process, to the second, all on loopback. It prints Markdown, or JSON with -json. It ends by itself; -h shows its
// bounds.
//
//	make bench-edge
//	go run ./test/bench/edge -parts hits -servers oxbow,nginx -rounds 1 -pprof /tmp/profiles
//	go run ./test/bench/edge -parts fanout -viewers 200,2000 -modes part,pieces,list
//	go run ./test/bench/edge -parts soak -soak 10m
//
// Hits: objects of three sizes that are in the cache. TLS: the same by HTTP/1.1, HTTP/2 and HTTP/3. Fan-out:
// all viewers wait for each new part of a live stream.
// Cluster: real viewers of a real stream, from real ingest nodes. Soak: our edge alone, with all kinds of clients.
//
// It wants Linux, two cores, taskset, bin/oxbow, and what Debian calls nginx, varnish and trafficserver; a server that
// is not there is left out. Part tls wants nghttp2-client. Absolute figures move with the machine: compare those of
// one run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oxbow-video/oxbow/test/bench/proc"
)

// settings are the flags.
type settings struct {
	oxbow, other, oxbowArgs, cacheSize string

	dir, parts, servers string
	connections, sizes  string
	viewers, modes      string
	rounds, fanRounds   int
	seconds, ticks      int
	soak                time.Duration
	clip                string
	soakServer          string
	soakCache           string
	copies, json        bool
	tls                 bool // servers listen for it, too
	pprof               string
}

func main() {
	var s settings
	port := 0
	flag.StringVar(&s.oxbow, "oxbow", "bin/oxbow", "Oxbow's binary")
	flag.StringVar(&s.other, "other", "", "another build of Oxbow: the server oxbow-other")
	flag.StringVar(&s.oxbowArgs, "oxbow-args", "", "more flags for oxbow edge")
	flag.StringVar(&s.cacheSize, "cache-size", "1GiB", "memory of Oxbow's cache; the others have 1 GiB too")
	flag.StringVar(&s.dir, "dir", os.TempDir(), "where the servers' files go while it runs")
	flag.StringVar(&s.parts, "parts", "hits,fanout", "what to measure: hits, tls, fanout, cluster, soak")
	flag.StringVar(&s.servers, "servers", "oxbow,oxbow-upstream,nginx,nginx-files,varnish,ats,none",
		"which servers, in order: also oxbow-other; nginx-files is nginx with open_file_cache, none is the origin itself")
	flag.StringVar(&s.connections, "connections", "64,1000", "hits: numbers of connections")
	flag.StringVar(&s.sizes, "sizes", "1K,60K,1M", "hits: sizes of objects")
	flag.StringVar(&s.viewers, "viewers", "200,1000,2000,5000", "fanout and cluster: numbers of viewers")
	flag.StringVar(&s.modes, "modes", "part,pieces,list",
		"fanout: parts of 60 KiB, the same in 6 pieces over 20 ms, blocking playlist reloads")
	flag.IntVar(&s.rounds, "rounds", 3, "hits: how often each is measured; the median counts; 1 to 20")
	flag.IntVar(&s.fanRounds, "fanout-rounds", 1, "fanout: the same")
	flag.IntVar(&s.seconds, "seconds", 5, "hits: how long each is measured; 1 to 60")
	flag.IntVar(&s.ticks, "ticks", 40, "fanout: how many parts of 200 ms are measured; 5 to 500")
	flag.DurationVar(&s.soak, "soak", 10*time.Minute, "soak: how long; 30s to 2h")
	flag.StringVar(&s.clip, "clip", "cmd/oxbow/sample.flv", "cluster: FLV to publish in a loop")
	flag.StringVar(&s.soakServer, "soak-server", "oxbow", "soak: which server: oxbow, oxbow-upstream or oxbow-other")
	flag.StringVar(&s.soakCache, "soak-cache", "128MiB", "soak: memory of its cache, small enough that it has to let go")
	flag.BoolVar(&s.copies, "copy", false, "clients copy every byte out of the kernel, which costs them more than servers")
	flag.BoolVar(&s.json, "json", false, "print JSON")
	flag.StringVar(&s.pprof, "pprof", "", "directory for a CPU profile of each row of Oxbow's")
	flag.IntVar(&port, "origin", 0, "used by the command itself: be the origin on this port")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := s.run
	if port != 0 {
		run = func(ctx context.Context) error { return serveOrigin(ctx, port) }
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (s settings) check() error {
	switch {
	case s.rounds < 1 || s.rounds > 20 || s.fanRounds < 1 || s.fanRounds > 20:
		return errors.New("-rounds and -fanout-rounds: use 1 to 20")
	case s.seconds < 1 || s.seconds > 60:
		return fmt.Errorf("-seconds %d: use 1 to 60", s.seconds)
	case s.ticks < 5 || s.ticks > 500:
		return fmt.Errorf("-ticks %d: use 5 to 500", s.ticks)
	case s.soak < 30*time.Second || s.soak > 2*time.Hour:
		return fmt.Errorf("-soak %s: use 30s to 2h", s.soak)
	case runtime.NumCPU() < 2:
		return errors.New("two cores are needed: one for servers, one for clients")
	}
	return nil
}

func (s settings) run(ctx context.Context) (err error) {
	if err := errors.Join(s.check(), manyFiles(), pin(clientCore)); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp(s.dir, "oxbow-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return err
	}
	out := report{Machine: machine()}
	for part := range strings.SplitSeq(s.parts, ",") {
		measure, known := map[string]func(context.Context, *report) error{
			"hits": s.hits, "tls": s.secured, "fanout": s.fanout, "cluster": s.cluster, "soak": s.soakEdge,
		}[part]
		if !known {
			return fmt.Errorf("-parts: no part %q", part)
		}
		if err := measure(ctx, &out); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", part, err), out.print(s.json))
		}
	}
	if err := out.print(s.json); err != nil {
		return err
	}
	return out.verdict()
}

// pin binds all threads of this process to a core; those to come inherit it.
func pin(core int) error {
	var set unix.CPUSet
	set.Set(core)
	for range 2 { // one that came while the first pass went is seen by the second
		tasks, err := filepath.Glob("/proc/self/task/*")
		if err != nil {
			return err
		}
		for _, task := range tasks {
			id, err := strconv.Atoi(filepath.Base(task))
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("pin to core %d: %w", core, err)
			}
		}
	}
	return nil
}

// manyFiles lets this process, and the servers that it starts, have as many files as root may allow or the limit says.
func manyFiles() error {
	const want = 65536
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: want, Max: want}) == nil {
		return nil
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) // set by us, children inherit it
}

func numbers(list string, most int) ([]int, error) {
	var all []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 || n > most {
			return nil, fmt.Errorf("%q: use numbers of 1 to %d", list, most)
		}
		all = append(all, n)
	}
	return all, nil
}

// classes reads the list of sizes.
func classes(list string) ([]int, error) {
	var all []int
	for field := range strings.SplitSeq(list, ",") {
		i := slices.Index(sizeNames[:], field)
		if i < 0 {
			return nil, fmt.Errorf("-sizes %q: use some of %s", list, strings.Join(sizeNames[:], ","))
		}
		all = append(all, i)
	}
	return all, nil
}

var sizeNames = [len(sizes)]string{"1K", "60K", "1M"}

// onServer starts an origin and a server in front of it, calls f, and stops them. A server that is not there is left
// out.
func (s settings) onServer(ctx context.Context, name string, f func(context.Context, *server, int) error) error {
	return s.withOrigin(ctx, func(ctx context.Context, r rig) error {
		server, err := r.startServer(ctx, name)
		if errors.Is(err, errAbsent) {
			fmt.Fprintf(os.Stderr, "%s is left out: %v\n", name, err)
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		control := r.origin
		if name == "none" {
			control = server.port
		}
		if err = f(ctx, server, control); err != nil {
			err = fmt.Errorf("%s: %w; it said: %s", name, err, server.Said())
		}
		return errors.Join(err, server.Stop())
	})
}

// withOrigin starts an origin in a directory of its own, which is removed with all that f put there.
func (s settings) withOrigin(ctx context.Context, f func(context.Context, rig) error) (err error) {
	r := rig{settings: s}
	if r.dir, err = os.MkdirTemp(s.dir, "row-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.dir)) }()
	if err := os.Chmod(r.dir, 0o755); err != nil {
		return err
	}
	if r.origin, err = proc.FreePort(ctx); err != nil {
		return err
	}
	origin, err := startOrigin(ctx, r.dir, r.origin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, origin.Stop()) }()
	ready, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := origin.Await(ready, r.origin); err != nil {
		return err
	}
	return f(ctx, r)
}
