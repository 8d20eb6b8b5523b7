package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// down stops the stack and removes its files.
func (c *command) down(ctx context.Context) error {
	if _, err := os.Stat(c.Dir); errors.Is(err, fs.ErrNotExist) {
		_, _ = fmt.Fprintln(c.out, "no stack is up")
		return nil
	}
	var plan Plan
	var state State
	if ok, err := readJSON(filepath.Join(c.Dir, planFile), &plan); err != nil {
		return err
	} else if !ok {
		return fmt.Errorf("%s is no stack's directory: it has no %s", c.Dir, planFile)
	}
	if _, err := readJSON(filepath.Join(c.Dir, stateFile), &state); err != nil {
		return err
	}
	begun := time.Now()
	if err := c.endSupervisor(ctx, &plan, state); err != nil {
		return err
	}
	if _, err := readJSON(filepath.Join(c.Dir, stateFile), &state); err != nil {
		return err
	}
	if err := endLeft(&plan, state); err != nil {
		return err
	}
	if err := c.remove(&plan); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(c.out, "the stack is down after %.1f s, and nothing of it is left\n", time.Since(begun).Seconds())
	return nil
}

// endSupervisor has the supervisor end the services, and waits for that.
func (c *command) endSupervisor(ctx context.Context, plan *Plan, state State) error {
	if !state.Supervisor.alive() {
		return nil
	}
	patience := 30 * time.Second
	for _, level := range plan.levels() {
		var most time.Duration
		for _, s := range level {
			most = max(most, s.Grace)
		}
		patience += most
	}
	if err := state.Supervisor.signal(syscall.SIGTERM, false); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	told := time.Now()
	for state.Supervisor.alive() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the supervisor, process %d, has not ended within %v", state.Supervisor.PID, patience)
		case <-time.After(lookInterval):
		}
		if time.Since(told) < 2*time.Second {
			continue
		}
		told = time.Now()
		var now State
		if _, err := readJSON(filepath.Join(c.Dir, stateFile), &now); err == nil {
			_, _ = fmt.Fprintf(c.out, "waiting for %s\n", strings.Join(running(plan, now), ", "))
		}
	}
	return nil
}

// running names the services that have a process.
func running(plan *Plan, state State) (names []string) {
	for _, s := range plan.Services {
		if now := state.Services[s.Name]; now != nil && now.Process.alive() {
			names = append(names, s.Name)
		}
	}
	return names
}

// endLeft ends what a supervisor that was killed has left behind, in the reverse order of the services' needs.
func endLeft(plan *Plan, state State) error {
	levels := plan.levels()
	for i := len(levels) - 1; i >= 0; i-- {
		for _, s := range levels[i] {
			now := state.Services[s.Name]
			if now == nil || !now.Process.alive() {
				continue
			}
			signal := syscall.SIGTERM
			if s.Signal == "INT" {
				signal = syscall.SIGINT
			}
			if err := now.Process.signal(signal, true); err != nil {
				return err
			}
		}
		for _, s := range levels[i] {
			now := state.Services[s.Name]
			if now == nil {
				continue
			}
			late := time.Now().Add(s.Grace)
			for now.Process.alive() {
				if time.Now().After(late) {
					if err := now.Process.signal(syscall.SIGKILL, true); err != nil {
						return err
					}
					late = time.Now().Add(time.Second)
				}
				time.Sleep(lookInterval)
			}
		}
	}
	return nil
}
