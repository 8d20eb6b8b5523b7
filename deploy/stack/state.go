package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// What a service is.
const (
	waiting   = "waiting"   // for those that it needs
	starting  = "starting"  // not healthy yet
	started   = "started"   // it has no health check
	healthy   = "healthy"   //
	unhealthy = "unhealthy" // its check fails again and again
	completed = "completed" // a one-shot that did its work
	backOff   = "restarting"
	failed    = "failed" // and is not tried again
	stopped   = "stopped"
)

// State is what the supervisor tells of itself and of its services.
type State struct {
	Supervisor Process
	Begun      time.Time
	Services   map[string]*Status
}

// Status is a service's.
type Status struct {
	State    string
	Process  Process
	Restarts int
	// After is how long after the stack's begin it was well first.
	After time.Duration `json:",omitempty"`
	Why   string        `json:",omitempty"`
}

// Process is one of the machine; Start tells it from another that got its number later.
type Process struct {
	PID   int
	Start uint64
}

// processStart reads when a process began, in the kernel's ticks.
func processStart(pid int) (uint64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	// The name, in brackets, may have anything in it.
	const stateField, startField = 3, 22
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) <= startField-stateField {
		return 0, fmt.Errorf("process %d: unknown form of stat", pid)
	}
	if fields[0] == "Z" {
		return 0, fmt.Errorf("process %d has ended: %w", pid, fs.ErrNotExist)
	}
	return strconv.ParseUint(fields[startField-stateField], 10, 64)
}

// newProcess names a process that runs.
func newProcess(pid int) (Process, error) {
	start, err := processStart(pid)
	return Process{PID: pid, Start: start}, err
}

// alive says that it runs still.
func (p Process) alive() bool {
	if p.PID <= 0 {
		return false
	}
	start, err := processStart(p.PID)
	return err == nil && start == p.Start
}

// signal tells the process, and with group its whole group. One that is gone is no error.
func (p Process) signal(s syscall.Signal, group bool) error {
	if !p.alive() {
		return nil
	}
	pid := p.PID
	if group {
		pid = -pid
	}
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal process %d: %w", p.PID, err)
	}
	return nil
}

// readJSON reads one of the stack's files; ok is false where there is none.
func readJSON(name string, into any) (ok bool, err error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	return true, nil
}

// writeJSON puts a file into the place of the one before.
func writeJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp := name + ".new"
	if err := os.WriteFile(tmp, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

// board is the state that the supervisor's goroutines write, each change of which is in the file.
type board struct {
	mu      sync.Mutex
	name    string
	state   State
	changed chan struct{} // closed and replaced at each change
	err     error         // the first failure to write
}

func (b *board) update(service string, change func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.state.Services[service]
	before := s.State
	change(s)
	if s.After == 0 && before != s.State && (s.State == healthy || s.State == started || s.State == completed) {
		s.After = time.Since(b.state.Begun)
	}
	if err := writeJSON(b.name, b.state); err != nil && b.err == nil {
		b.err = err
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// status gives a copy, and what is closed at the next change of any.
func (b *board) status(service string) (Status, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return *b.state.Services[service], b.changed
}
