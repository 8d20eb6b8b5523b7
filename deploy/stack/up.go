package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// look is how often the supervisor's state is read.
const lookInterval = 100 * time.Millisecond

// up starts the stack and waits until all of it is well.
func (c *command) up(ctx context.Context) error {
	if there, err := c.already(); there || err != nil {
		return err
	}
	begun := time.Now()
	if err := c.prepareTools(ctx); err != nil {
		return err
	}
	plan, err := newPlan(ctx, c.Options)
	if err != nil {
		return err
	}
	plan.Path = c.searchPath()
	if err := plan.checkPorts(ctx); err != nil {
		return err
	}
	if err := c.start(ctx, plan); err != nil {
		return errors.Join(err, c.remove(plan))
	}
	err = c.awaitWell(ctx, plan)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		_, _ = fmt.Fprintln(c.out, "not all came up: taking the rest down again")
		return errors.Join(err, c.down(context.WithoutCancel(ctx)))
	}
	_, _ = fmt.Fprintf(c.out, "all %d services are up after %.1f s\n\n", len(plan.Services), time.Since(begun).Seconds())
	return c.guide(plan)
}

// already says that a stack is up in the directory, and refuses one that was left behind.
func (c *command) already() (bool, error) {
	var state State
	var plan Plan
	if _, err := os.Stat(c.Dir); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	ok, err := readJSON(filepath.Join(c.Dir, stateFile), &state)
	if err != nil {
		return false, err
	}
	if !ok || !state.Supervisor.alive() {
		return false, fmt.Errorf("%s is of a stack that was not taken down: make stack-down does that", c.Dir)
	}
	_, _ = fmt.Fprintln(c.out, "the stack is up already, with the flags of its start: make stack-down ends it")
	if _, err := readJSON(filepath.Join(c.Dir, planFile), &plan); err != nil {
		return true, err
	}
	return true, c.guide(&plan)
}

// prepareTools builds what is built, and installs what is missing or says how to.
func (c *command) prepareTools(ctx context.Context) error {
	if _, err := os.Stat(c.Oxbow); err != nil {
		return fmt.Errorf("%w: make build makes it", err)
	}
	if err := c.install(ctx); err != nil {
		return err
	}
	if _, err := os.Stat(c.VersityGW); err == nil {
		return nil
	}
	_, _ = fmt.Fprintln(c.out, "building versitygw, the S3 server, this once")
	built := fmt.Sprintf("%s.%d", c.VersityGW, os.Getpid()) // another stack may be building it, too
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", built,
		"github.com/versity/versitygw/cmd/versitygw")
	cmd.Dir = filepath.Join(filepath.Dir(c.File), "test", "tools")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build versitygw: %w: %s", err, out)
	}
	return os.Rename(built, c.VersityGW)
}

// install gets Debian's packages of what is missing, as root, or names them.
func (c *command) install(ctx context.Context) error {
	var missing []string
	if _, err := postgresBinaries(); err != nil {
		missing = append(missing, "postgresql")
	}
	for _, program := range [][2]string{{"redis-server", "redis-server"}, {"redis-cli", "redis-tools"}, {"wget", "wget"}} {
		if _, err := exec.LookPath(program[0]); err != nil {
			missing = append(missing, program[1])
		}
	}
	if len(missing) == 0 {
		return nil
	}
	names := strings.Join(missing, " ")
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("missing: %s. On Debian: sudo apt-get install %s", names, names)
	}
	_, _ = fmt.Fprintln(c.out, "installing "+names)
	for _, args := range [][]string{
		{"update", "-qq"}, slices.Concat([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing),
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}

// start makes the stack's directory and starts the supervisor, in a session of its own: it outlives the terminal.
func (c *command) start(ctx context.Context, plan *Plan) error {
	if err := c.prepare(ctx, plan); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// go run removes what it built when this process ends.
	copied := filepath.Join(c.Dir, "supervisor")
	if err := copyFile(self, copied, 0o700); err != nil {
		return err
	}
	logs, err := os.Create(logName(c.Dir, "supervisor"))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), copied, "supervise", "-dir", c.Dir)
	cmd.Dir = plan.Root
	cmd.Stdout, cmd.Stderr = logs, logs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := errors.Join(cmd.Start(), logs.Close()); err != nil {
		return err
	}
	supervisor, err := newProcess(cmd.Process.Pid)
	if err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // its end is seen by its number
	// Until it has written its state: an interrupted up must find it.
	for late := time.Now().Add(10 * time.Second); ; {
		var state State
		if ok, err := readJSON(filepath.Join(c.Dir, stateFile), &state); err != nil || ok {
			return err
		}
		if !supervisor.alive() || time.Now().After(late) {
			return errors.Join(fmt.Errorf("the supervisor did not start:\n%s", tail(logName(c.Dir, "supervisor"), c.lines)),
				supervisor.signal(syscall.SIGKILL, false))
		}
		time.Sleep(lookInterval)
	}
}

// awaitWell waits until all services are well, and tells of each.
func (c *command) awaitWell(ctx context.Context, plan *Plan) error {
	told := make(map[string]bool)
	late := time.NewTimer(c.timeout)
	defer late.Stop()
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		var state State
		if _, err := readJSON(filepath.Join(c.Dir, stateFile), &state); err != nil {
			return err
		}
		var open []string
		for _, s := range plan.Services {
			now := state.Services[s.Name]
			switch now.State {
			case healthy, completed, started:
				if !told[s.Name] {
					told[s.Name] = true
					_, _ = fmt.Fprintf(c.out, "%6.1f s  %-12s %s\n", now.After.Seconds(), s.Name, now.State)
				}
				continue
			case failed:
				return c.trouble(s, now)
			case backOff:
				if now.Restarts >= maxFailures {
					return c.trouble(s, now)
				}
			}
			open = append(open, s.Name)
		}
		if len(open) == 0 {
			return nil
		}
		if !state.Supervisor.alive() {
			return fmt.Errorf("the supervisor has ended:\n%s", tail(logName(c.Dir, "supervisor"), c.lines))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-late.C:
			return c.lateness(plan, state, open)
		case <-tick.C:
		}
	}
}

// trouble tells why a service failed, with the end of its log.
func (c *command) trouble(s Service, now *Status) error {
	return fmt.Errorf("%s failed: %s\n%s\nsee what it lacks, mend that, and run make stack again", s.Name, now.Why,
		tail(logName(c.Dir, s.Name), c.lines))
}

// lateness tells of the first service that is not well, which the others may wait for.
func (c *command) lateness(plan *Plan, state State, open []string) error {
	for _, level := range plan.levels() {
		for _, s := range level {
			if now := state.Services[s.Name]; slices.Contains(open, s.Name) {
				return fmt.Errorf("not healthy within %v: %s. %s is %s: %s\n%s\na slow machine needs more: "+
					"make stack STACK='-timeout 5m'", c.timeout, strings.Join(open, ", "), s.Name, now.State, now.Why,
					tail(logName(c.Dir, s.Name), c.lines))
			}
		}
	}
	return nil
}
