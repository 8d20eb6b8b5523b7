package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// result is what one run of a target did.
type result struct {
	ran    time.Duration
	execs  int64
	fresh  int64 // inputs that reached something new
	corpus int64
	parted bool // it was broken off
}

// entry is what a target did in all runs with the same sources.
type entry struct {
	Sum     string    `json:"sum"`
	Commit  string    `json:"commit"` // that changed the package last
	Seconds float64   `json:"seconds"`
	Execs   int64     `json:"execs"`
	Fresh   int64     `json:"new_interesting"`
	Corpus  int64     `json:"corpus"`
	Crashed bool      `json:"crashed,omitempty"`
	Last    time.Time `json:"last"`
}

// ledger keeps what was run, by the targets' names, in a file.
type ledger struct {
	file string
	mu   struct {
		sync.Mutex
		entries map[string]entry
	}
}

func openLedger(file string) (*ledger, error) {
	l := &ledger{file: file}
	l.mu.entries = make(map[string]entry)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &l.mu.entries); err != nil {
		return nil, fmt.Errorf("%s is no ledger: remove it to begin anew: %w", file, err)
	}
	return l, nil
}

// had gives how long a target ran with the sources that it has now.
func (l *ledger) had(t target) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.mu.entries[t.name()]
	if e.Sum != t.sum || e.Crashed {
		return 0
	}
	return time.Duration(e.Seconds * float64(time.Second)).Round(time.Second)
}

func (l *ledger) forget(targets []target) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range targets {
		delete(l.mu.entries, t.name())
	}
}

// add notes a run, and a crash if the run has no time.
func (l *ledger) add(t target, r result) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.mu.entries[t.name()]
	if e.Sum != t.sum || e.Crashed {
		e = entry{Sum: t.sum}
	}
	e.Commit, e.Last, e.Crashed = commitOf(t.folder), time.Now().UTC().Truncate(time.Second), r.ran == 0 && !r.parted
	e.Seconds += r.ran.Seconds()
	e.Execs += r.execs
	e.Fresh += r.fresh
	e.Corpus = max(r.corpus, e.Corpus)
	l.mu.entries[t.name()] = e
	text, err := json.MarshalIndent(l.mu.entries, "", "  ")
	if err != nil {
		return err
	}
	partly := l.file + ".new"
	if err := os.WriteFile(partly, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(partly, l.file)
}

// commitOf gives the commit that changed a folder last, or "-" where git does not know.
func commitOf(folder string) string {
	args := []string{"log", "-1", "--format=%h", "--", filepath.FromSlash(folder)}
	out, err := exec.CommandContext(context.Background(), "git", args...).Output()
	if commit := strings.TrimSpace(string(out)); err == nil && commit != "" {
		return commit
	}
	return "-"
}

// table shows what the targets have, and sums it up.
func (l *ledger) table(targets []target, each time.Duration) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "PACKAGE\tTARGET\tTIME\tEXECUTIONS\tNEW\tCORPUS\tCOMMIT\tSTATE")
	done, execs, total := 0, int64(0), 0.0
	for _, t := range targets {
		e := l.mu.entries[t.name()]
		state := "due"
		switch {
		case e.Crashed:
			state = "CRASHED"
		case e.Sum != "" && e.Sum != t.sum:
			e, state = entry{}, "changed since"
		case e.Seconds >= each.Seconds()-1:
			state = "done"
			done++
		case e.Seconds > 0:
			state = "partly"
		}
		execs, total = execs+e.Execs, total+e.Seconds
		ran := time.Duration(e.Seconds) * time.Second
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", t.folder, t.function, ran, e.Execs, e.Fresh, e.Corpus,
			e.Commit, state)
	}
	_ = w.Flush() // a strings.Builder takes all
	_, _ = fmt.Fprintf(&b, "%d targets, %d with %s: %d executions in %s\n", len(targets), done, each, execs,
		time.Duration(total)*time.Second)
	return b.String()
}
