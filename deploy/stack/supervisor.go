package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// firstChecks is between two checks of a service that was not healthy yet.
	firstChecks = 300 * time.Millisecond
	// maxBackOff bounds the pause before a service that ended is started again; it begins with firstBackOff and doubles.
	firstBackOff, maxBackOff = time.Second, 30 * time.Second
	// maxFailures is how often a one-shot is tried.
	maxFailures = 5
)

// supervisor runs a plan's services until it is told to stop.
type supervisor struct {
	plan  *Plan
	board *board
}

// supervise runs the plan of a stack's directory. It is the process that survives the terminal.
func supervise(ctx context.Context, dir string) error {
	var plan Plan
	if ok, err := readJSON(filepath.Join(dir, planFile), &plan); err != nil || !ok {
		return fmt.Errorf("read the plan in %s: %w", dir, errors.Join(err, errNoStack))
	}
	self, err := newProcess(os.Getpid())
	if err != nil {
		return err
	}
	b := &board{name: filepath.Join(dir, stateFile), changed: make(chan struct{})}
	b.state = State{Supervisor: self, Begun: time.Now(), Services: map[string]*Status{}}
	for _, s := range plan.Services {
		b.state.Services[s.Name] = &Status{State: waiting}
	}
	if err := writeJSON(b.name, b.state); err != nil {
		return err
	}
	v := &supervisor{plan: &plan, board: b}
	levels := plan.levels()
	// Each level is told to stop once those above it have gone.
	var all []func()
	for _, level := range levels {
		running, stop := context.WithCancel(context.WithoutCancel(ctx))
		var ended sync.WaitGroup
		for _, s := range level {
			ended.Go(func() { v.run(running, s) })
		}
		all = append(all, func() { stop(); ended.Wait() })
	}
	<-ctx.Done()
	for i := len(all) - 1; i >= 0; i-- {
		all[i]()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// run has one service run until ctx ends.
func (v *supervisor) run(ctx context.Context, s Service) {
	defer v.board.update(s.Name, func(now *Status) {
		if now.State != completed && now.State != failed {
			now.State = stopped
		}
		now.Process = Process{}
	})
	if !v.awaitNeeds(ctx, s) {
		return
	}
	pause := firstBackOff
	for tries := 1; ctx.Err() == nil; tries++ {
		begun := time.Now()
		err := v.runOnce(ctx, s)
		if ctx.Err() != nil {
			return
		}
		if s.OneShot && err == nil {
			v.board.update(s.Name, func(now *Status) { now.State, now.Process = completed, Process{} })
			return
		}
		why := "it ended"
		if err != nil {
			why = err.Error()
		}
		if s.Restart == "no" || s.Restart == "on-failure" && (err == nil || tries >= maxFailures) {
			v.board.update(s.Name, func(now *Status) { now.State, now.Why, now.Process = failed, why, Process{} })
			return
		}
		v.board.update(s.Name, func(now *Status) {
			now.State, now.Why, now.Process = backOff, why, Process{}
			now.Restarts++
		})
		if time.Since(begun) > maxBackOff {
			pause = firstBackOff
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, maxBackOff)
	}
}

// awaitNeeds waits until all are well that the service needs.
func (v *supervisor) awaitNeeds(ctx context.Context, s Service) bool {
	for other, condition := range s.Needs {
		for {
			now, changed := v.board.status(other)
			if now.State == condition || condition == started && now.State == healthy {
				break
			}
			select {
			case <-ctx.Done():
				return false
			case <-changed:
			}
		}
	}
	return true
}

// runOnce starts the service and returns when it has ended; the end of ctx stops it.
func (v *supervisor) runOnce(ctx context.Context, s Service) (err error) {
	if s.Database != nil {
		if err := s.Database.prepare(ctx, filepath.Dir(s.Args[0])); err != nil {
			return err
		}
	}
	logs, err := os.OpenFile(logName(v.plan.Dir, s.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, logs.Close()) }()
	cmd := v.command(s.Args, s)
	cmd.Stdout, cmd.Stderr = logs, logs
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	process, err := newProcess(cmd.Process.Pid)
	if err != nil {
		process = Process{PID: cmd.Process.Pid} // it has ended already
	}
	ended := make(chan struct{})
	state := started
	if s.Health != nil {
		state = starting
	}
	if s.OneShot {
		state = starting
	}
	v.board.update(s.Name, func(now *Status) { now.State, now.Process, now.Why = state, process, "" })
	var beside sync.WaitGroup
	checking, stop := context.WithCancel(ctx)
	beside.Go(func() { v.watch(checking, s) })
	beside.Go(func() {
		select {
		case <-ended:
		case <-ctx.Done():
			v.end(process, s, ended)
		}
	})
	err = cmd.Wait()
	close(ended)
	stop()
	beside.Wait()
	return err
}

// end stops a process: by the service's signal, and by force when its grace is over.
func (v *supervisor) end(p Process, s Service, ended <-chan struct{}) {
	signal := syscall.SIGTERM
	if s.Signal == "INT" {
		signal = syscall.SIGINT
	}
	_ = p.signal(signal, true) // one that is gone already
	late := time.NewTimer(s.Grace)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
		_ = p.signal(syscall.SIGKILL, true)
	}
}

// command prepares one of the service's commands: in a process group of its own, without this process's environment.
func (v *supervisor) command(args []string, s Service) *exec.Cmd {
	cmd := &exec.Cmd{Path: v.plan.look(args[0]), Args: args, Dir: s.Workdir}
	if s.Database != nil {
		cmd.Dir = s.Database.Data
	}
	cmd.Env = append([]string{"PATH=" + v.plan.Path, "HOME=" + v.plan.Dir, "TMPDIR=" + os.TempDir()}, s.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.Database.credential()}
	return cmd
}

// look finds a program in the services' PATH.
func (p *Plan) look(name string) string {
	if strings.Contains(name, "/") {
		return name
	}
	for _, dir := range filepath.SplitList(p.Path) {
		full := filepath.Join(dir, name)
		if info, err := os.Stat(full); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return full
		}
	}
	return name
}

// watch checks a service's health until ctx ends.
func (v *supervisor) watch(ctx context.Context, s Service) {
	if s.Health == nil {
		return
	}
	pause, failures := firstChecks, 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		err := v.check(ctx, s)
		if ctx.Err() != nil {
			return
		}
		now, _ := v.board.status(s.Name)
		switch {
		case err == nil:
			pause, failures = s.Health.Interval, 0
			if now.State != healthy {
				v.board.update(s.Name, func(now *Status) { now.State, now.Why = healthy, "" })
			}
		case now.State == healthy:
			if failures++; failures >= s.Health.Retries {
				pause = firstChecks
				v.board.update(s.Name, func(now *Status) { now.State, now.Why = unhealthy, err.Error() })
			}
		case now.Why != err.Error():
			v.board.update(s.Name, func(now *Status) { now.Why = err.Error() })
		}
	}
}

// check runs the service's check once.
func (v *supervisor) check(ctx context.Context, s Service) error {
	ctx, cancel := context.WithTimeout(ctx, s.Health.Timeout)
	defer cancel()
	cmd := v.command(s.Health.Args, s)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = io.Writer(&out), io.Writer(&out)
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-pid, syscall.SIGKILL) })
	defer stop()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w %.300s", err, strings.TrimSpace(out.String()))
	}
	return nil
}
