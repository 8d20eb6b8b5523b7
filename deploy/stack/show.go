package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// read gives the plan and the state of the stack that is up.
func (c *command) read() (plan Plan, state State, err error) {
	ok, err := readJSON(filepath.Join(c.Dir, planFile), &plan)
	if err == nil && ok {
		ok, err = readJSON(filepath.Join(c.Dir, stateFile), &state)
	}
	if err == nil && !ok {
		err = errNoStack
	}
	return plan, state, err
}

// status prints what is where, and how well. It fails where something is not well.
func (c *command) status() error {
	plan, state, err := c.read()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SERVICE\tSTATE\tPROCESS\tRESTARTS\tADDRESS\tPORTS\tWHY")
	var bad []string
	for _, s := range plan.Services {
		now := state.Services[s.Name]
		pid := "-"
		if now.Process.alive() {
			pid = fmt.Sprint(now.Process.PID)
		}
		if now.State != healthy && now.State != completed && now.State != started {
			bad = append(bad, s.Name)
		}
		why, _, _ := strings.Cut(now.Why, "\n")
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%.80s\n", s.Name, now.State, pid, now.Restarts, s.Address,
			strings.Join(s.Ports, " "), why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if !state.Supervisor.alive() {
		return fmt.Errorf("the supervisor has gone: make stack-down takes down what is left")
	}
	if len(bad) > 0 {
		return fmt.Errorf("not well: %s (make stack-logs)", strings.Join(bad, ", "))
	}
	return nil
}

// guide tells what can be done with the stack.
func (c *command) guide(plan *Plan) error {
	shifted := translation{shift: plan.Shift}
	at := func(name, port string) string {
		for _, s := range plan.Services {
			if s.Name == name {
				return s.Address + ":" + shifted.port(port)
			}
		}
		return ""
	}
	rtmp := func(name string) string { return "rtmp://" + at(name, "1935") + "/live/KEY" }
	relative := func(name string) string {
		dir, err := os.Getwd()
		if err != nil {
			return name
		}
		if rel, err := filepath.Rel(dir, name); err == nil && !strings.HasPrefix(rel, "..") {
			return rel
		}
		return name
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"API, web page", "http://" + at("api", "8080")},
		{"edges", "http://" + at("edge-1", "8080") + "  http://" + at("edge-2", "8080")},
		{"cluster a, RTMP", rtmp("ingest-a1") + "  " + rtmp("ingest-a2")},
		{"cluster b, RTMP", rtmp("ingest-b1") + "  " + rtmp("ingest-b2")},
		{"SRT", "the same addresses, port " + shifted.port("8890")},
	} {
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", line[0], line[1])
	}
	if prometheus := at("prometheus", "9090"); prometheus != "" {
		_, _ = fmt.Fprintf(w, "  Prometheus\thttp://%s\n", prometheus)
	}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range plan.LeftOut {
			if !yield(name) {
				return
			}
		}
	}) {
		_, _ = fmt.Fprintf(w, "  %s\tnot run: %s\n", name, plan.LeftOut[name])
	}
	program := relative(c.Oxbow)
	_, _ = fmt.Fprint(w, "\nTo make a stream, and its KEY:\n\n")
	_, _ = fmt.Fprintf(w, "export OXBOW_API=http://%s OXBOW_TOKEN_FILE=%s\n", at("api", "8080"),
		relative(filepath.Join(plan.Dir, "secrets", "admin_token")))
	_, _ = fmt.Fprintf(w, "%s publisher create acme && %s stream create acme/show\n\n", program, program)
	_, _ = fmt.Fprintln(w, "make stack-status and stack-logs tell how it is, make stack-down ends it")
	return w.Flush()
}

// logs prints the ends of the services' logs, of all or of those that are named.
func (c *command) logs(ctx context.Context, names []string) error {
	plan, _, err := c.read()
	if err != nil {
		return err
	}
	known := []string{"supervisor"}
	for _, s := range plan.Services {
		known = append(known, s.Name)
	}
	if len(names) == 0 {
		names = known
	}
	offsets := make(map[string]int64)
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("there is no service %s: there are %s", name, strings.Join(known, ", "))
		}
		file := logName(c.Dir, name)
		if info, err := os.Stat(file); err == nil {
			offsets[name] = info.Size()
		}
		_, _ = fmt.Fprintf(c.out, "== %s\n%s\n", name, tail(file, c.lines))
	}
	for c.follow {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookInterval):
		}
		for _, name := range names {
			if err := c.more(name, offsets); err != nil {
				return err
			}
		}
	}
	return nil
}

// more prints what a log has beyond what was shown.
func (c *command) more(name string, offsets map[string]int64) error {
	file, err := os.Open(logName(c.Dir, name))
	if err != nil {
		return nil // not started yet, or taken down
	}
	defer func() { _ = file.Close() }() // it was only read
	if _, err := file.Seek(offsets[name], io.SeekStart); err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(file, 1<<20))
	if err != nil {
		return err
	}
	offsets[name] += int64(len(text))
	for line := range strings.Lines(string(text)) {
		_, _ = fmt.Fprintf(c.out, "%-12s %s\n", name, strings.TrimRight(line, "\n"))
	}
	return nil
}
