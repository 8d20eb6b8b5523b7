package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// progress shows people what is going on: a line that is renewed on a terminal, else a line for every target.
type progress struct {
	file     *os.File
	terminal bool
	mu       struct {
		sync.Mutex
		due, over int
		now       map[string]string // what each target is at
		drawn     time.Time
	}
}

func newProgress(file *os.File) *progress {
	p := &progress{file: file}
	info, err := file.Stat()
	p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	p.mu.now = make(map[string]string)
	return p
}

func (p *progress) begin(due, had int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.due = due
	p.printLocked(fmt.Sprintf("%d targets to run, %d had their time", due, had))
}

func (p *progress) building(folder string) { p.note("", "building "+folder) }

func (p *progress) going(t target, what string) { p.note(t.name(), what) }

func (p *progress) note(name, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.mu.now, "") // what was built
	p.mu.now[name] = what
	const least = time.Second / 4
	if !p.terminal || time.Since(p.mu.drawn) < least && name != "" {
		return
	}
	p.mu.drawn = time.Now()
	var parts []string
	for name, what := range p.mu.now {
		parts = append(parts, strings.TrimSpace(name+" "+what))
	}
	slices.Sort(parts)
	const width = 150
	line := fmt.Sprintf("[%d/%d] %s", p.mu.over, p.mu.due, strings.Join(parts, " | "))
	_, _ = fmt.Fprintf(p.file, "\r\x1b[K%.*s", width, line)
}

func (p *progress) finished(t target, r result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.mu.now, t.name())
	how := ""
	switch {
	case r.parted:
		how = ", broken off"
	case r.ran == 0:
		how = ", BROKE"
	}
	p.mu.over++
	p.printLocked(fmt.Sprintf("[%d/%d] %s: %d executions in %s, %d new, corpus %d%s", p.mu.over, p.mu.due, t.name(),
		r.execs, r.ran.Round(time.Second), r.fresh, r.corpus, how))
}

func (p *progress) end() {
	if p.terminal {
		_, _ = fmt.Fprint(p.file, "\r\x1b[K")
	}
}

func (p *progress) printLocked(line string) {
	if p.terminal {
		line = "\r\x1b[K" + line
	}
	_, _ = fmt.Fprintln(p.file, line)
}
