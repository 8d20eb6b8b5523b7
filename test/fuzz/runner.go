package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// runner builds packages' test programs and runs their targets.
type runner struct {
	settings
	parallel int // each target's processes
	show     *progress

	mu       sync.Mutex
	programs map[string]string // by package
	corpus   string
}

const (
	buildTime = 10 * time.Minute
	// slack is how much longer than it was told a target may run: it tries all of its corpus first.
	slack = 5 * time.Minute
	shown = 60 // lines of a target that broke
)

// errLate is what a target of the toolchain ends with now and then when its time is over (golang.org/issue/48591).
var errLate = []byte("context deadline exceeded")

// run runs one target for so long. An error is a crash, or a program that can't be built or started. A target that is
// broken off with the context is no error of its own.
func (r *runner) run(ctx context.Context, t target, long time.Duration) (result, error) {
	program, err := r.program(ctx, t.folder)
	if err != nil {
		return result{parted: ctx.Err() != nil}, err
	}
	within, cancel := context.WithTimeout(ctx, long+slack)
	defer cancel()
	args := []string{
		program, "-test.run=^$", "-test.fuzz=^" + t.function + "$", "-test.fuzztime=" + long.String(),
		"-test.fuzzminimizetime=10x", "-test.fuzzcachedir=" + r.corpus + "/" + t.folder,
		"-test.parallel=" + strconv.Itoa(r.parallel), "-test.timeout=0", "-test.paniconexit0",
	}
	if runtime.GOOS == "linux" { // counts what is mapped to be written, which is what Go's heap is
		limit := fmt.Sprintf(`ulimit -d %d && exec "$@"`, r.memory<<10)
		args = append([]string{"sh", "-c", limit, "sh"}, args...)
	}
	cmd := exec.CommandContext(within, args[0], args[1:]...)
	cmd.Dir = filepath.Join(r.directory, filepath.FromSlash(t.folder))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return result{}, err
	}
	cmd.Stderr = cmd.Stdout
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	did, said := r.follow(t, long, pipe)
	err = cmd.Wait()
	did.ran = min(time.Since(began), long)
	switch {
	case ctx.Err() != nil && !bytes.Contains(said, []byte("Failing input written to")):
		did.parted = true
		return did, nil
	case err == nil && within.Err() == nil:
		return did, nil
	case bytes.Contains(said, errLate) && !bytes.Contains(said, []byte("Failing input")) && within.Err() == nil:
		return did, nil
	}
	did.ran = 0
	return did, fmt.Errorf("%s broke:\n%s\n%s", t.name(), said, repeat(t, said))
}

// repeat says how to see it again.
func repeat(t target, said []byte) string {
	match := regexp.MustCompile(`Failing input written to (\S+)`).FindSubmatch(said)
	if match == nil {
		return fmt.Sprintf("to repeat it: go test -run '^%s$' ./%s", t.function, t.folder)
	}
	input := string(match[1])
	return fmt.Sprintf("the input: %s/%s\nto repeat it: go test -run '^%s$/^%s$' ./%s", t.folder, filepath.ToSlash(input),
		t.function, filepath.Base(input), t.folder)
}

var (
	progressLine = regexp.MustCompile(
		`^fuzz: elapsed: (\S+), execs: (\d+) \((\d+)/sec\), new interesting: (\d+) \(total: (\d+)\)`)
	baselineLine = regexp.MustCompile(`^fuzz: elapsed: \S+, gathering baseline coverage: (\d+/\d+) completed`)
)

// follow reads what a target says of itself, and gives the last of what else it said.
func (r *runner) follow(t target, long time.Duration, pipe io.Reader) (did result, said []byte) {
	var lines []string
	scanner := bufio.NewScanner(pipe)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		line := scanner.Text()
		if m := progressLine.FindStringSubmatch(line); m != nil {
			did.execs, _ = strconv.ParseInt(m[2], 10, 64)
			did.fresh, _ = strconv.ParseInt(m[4], 10, 64)
			did.corpus, _ = strconv.ParseInt(m[5], 10, 64)
			r.show.going(t, fmt.Sprintf("%s of %s, %s executions (%s/s), %d new", m[1], long, m[2], m[3], did.fresh))
			continue
		}
		if m := baselineLine.FindStringSubmatch(line); m != nil {
			r.show.going(t, "corpus "+m[1])
			continue
		}
		if len(line) > 2000 {
			line = line[:2000] + "..."
		}
		if lines = append(lines, line); len(lines) > 2*shown {
			lines = append(lines[:shown], lines[len(lines)-shown:]...)
		}
	}
	if scanner.Err() != nil {
		_, _ = io.Copy(io.Discard, pipe) // else it waits for us
	}
	return did, []byte(strings.Join(lines, "\n"))
}

// program builds a package's tests once, with the coverage that fuzzing goes by: of this module alone, since building
// all that it needs in that way takes many minutes, and what others parse is not what we look for.
func (r *runner) program(ctx context.Context, folder string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.programs == nil {
		out, err := exec.CommandContext(ctx, "go", "env", "GOCACHE").Output()
		if err != nil {
			return "", fmt.Errorf("go env GOCACHE: %w", err)
		}
		r.programs, r.corpus = make(map[string]string), filepath.Join(strings.TrimSpace(string(out)), "fuzz", module)
	}
	if program, ok := r.programs[folder]; ok {
		return program, nil
	}
	r.show.building(folder)
	program, err := filepath.Abs(filepath.Join(r.out, "fuzz", strings.ReplaceAll(folder, "/", "-")+".test"))
	if err != nil {
		return "", err
	}
	within, cancel := context.WithTimeout(ctx, buildTime)
	defer cancel()
	coverage := "-gcflags=" + module + "/...=-d=libfuzzer"
	cmd := exec.CommandContext(within, "go", "test", "-c", "-vet=off", coverage, "-o", program, "./"+folder)
	cmd.Dir = r.directory
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return "", errors.New("broken off")
		}
		return "", fmt.Errorf("build the tests of %s: %w\n%s", folder, err, out)
	}
	r.programs[folder] = program
	return program, nil
}

const module = "github.com/oxbow-video/oxbow"
