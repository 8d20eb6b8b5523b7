// Command fuzz runs the fuzz targets of this module and keeps a ledger of how long each was run, so that short runs in
// many sessions add up to a long one. It stops at the first input that breaks a target, and says how to repeat it.
//
//	make fuzz                                  every target until it has 30 s
//	make fuzz FUZZTIME=10m FUZZ=ingest         those of ingest until they have 10 minutes
//	make fuzz FUZZTIME=10m FRESH=1 JOBS=2      all anew, two at a time
//	go run ./test/fuzz -list                   what there is, and how long each was run
//
// What a target has counts as long as its package's sources and the file with the target are as they were. Each runs as
// a process of its own that may hold -memory of data; one that wants more is broken, too.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	each      time.Duration
	jobs      int
	memory    int64
	pattern   *regexp.Regexp
	fresh     bool
	list      bool
	out       string
	directory string // of the module
}

func main() {
	s := settings{directory: "."}
	flag.DurationVar(&s.each, "time", 30*time.Second, "how long each target is to be run in all")
	flag.IntVar(&s.jobs, "jobs", 1, "how many targets run at a time; they share the cores")
	flag.Int64Var(&s.memory, "memory", 3<<10, "most MiB of data that one target's process may hold, on Linux")
	pattern := flag.String("targets", "", "regular expression for PACKAGE.TARGET, like ingest or 'FuzzTS$'")
	flag.BoolVar(&s.fresh, "fresh", false, "forget what the targets were run before")
	flag.BoolVar(&s.list, "list", false, "print the table and run nothing")
	flag.StringVar(&s.out, "out", filepath.Join("test", "out"), "directory for the ledger, the table and the programs")
	flag.Parse()
	var err error
	if s.pattern, err = regexp.Compile(*pattern); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz: -targets:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s, os.Stdout, newProgress(os.Stderr)); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings, out io.Writer, show *progress) error {
	if s.each <= 0 || s.jobs < 1 {
		return errors.New("-time and -jobs must be above zero")
	}
	all, err := findTargets(s.directory)
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(slices.Clone(all), func(t target) bool { return !s.pattern.MatchString(t.name()) })
	if len(chosen) == 0 {
		return fmt.Errorf("no target is called %s: `go run ./test/fuzz -list` shows them", s.pattern)
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	book, err := openLedger(filepath.Join(s.out, "fuzz.json"))
	if err != nil {
		return err
	}
	var failed error
	if !s.list {
		if s.fresh {
			book.forget(chosen)
		}
		failed = runAll(ctx, s, chosen, book, show)
	}
	table := book.table(chosen, s.each)
	if _, err := io.WriteString(out, table); err != nil {
		return err
	}
	return errors.Join(failed, os.WriteFile(filepath.Join(s.out, "fuzz.txt"), []byte(book.table(all, s.each)), 0o644))
}

// runAll runs what has not had its time: first what had the least, so that a session that is broken off did a little
// for every target.
func runAll(ctx context.Context, s settings, chosen []target, book *ledger, show *progress) error {
	due := slices.DeleteFunc(slices.Clone(chosen), func(t target) bool { return book.had(t) >= s.each })
	slices.SortStableFunc(due, func(a, b target) int { return cmp.Compare(book.had(a), book.had(b)) })
	show.begin(len(due), len(chosen)-len(due))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan target)
	go func() {
		defer close(queue)
		for _, t := range due {
			select {
			case queue <- t:
			case <-ctx.Done():
				return
			}
		}
	}()
	r := &runner{settings: s, parallel: max(1, runtime.GOMAXPROCS(0)/s.jobs), show: show}
	var workers sync.WaitGroup
	for range min(s.jobs, len(due)) {
		workers.Go(func() {
			for t := range queue {
				result, err := r.run(ctx, t, s.each-book.had(t))
				show.finished(t, result)
				if saving := book.add(t, result); err != nil || saving != nil {
					cancel(errors.Join(err, saving))
					return
				}
			}
		})
	}
	workers.Wait()
	show.end()
	return context.Cause(ctx)
}
