// Command cachetests runs the public test suite for HTTP caches (github.com/http-tests/cache-tests) against `oxbow edge
// --upstream` in front of the suite's own origin, all on loopback, and prints the score by the suite's own rules with
// every test that is not passed. It ends by itself, after about a minute, and fails below the least score.
//
//	make cache-tests
//	go run ./test/cachetests -suite CHECKOUT -oxbow bin/oxbow
//	go run ./test/cachetests -suite CHECKOUT -oxbow bin/oxbow -id freshness-max-age
//	go run ./test/cachetests -suite CHECKOUT -front http://127.0.0.1:8080 -origin 127.0.0.1:8000
//
// The last form tests another cache, which is in front of the origin's address already.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

//go:embed score.mjs
var scoreScript []byte

//go:embed loopback.mjs
var loopbackScript []byte

// settings are the flags.
type settings struct {
	suite, oxbow, id string
	front, origin    string
	least            int
}

func main() {
	var s settings
	flag.StringVar(&s.suite, "suite", "", "the suite's checkout, with its npm dependencies")
	flag.StringVar(&s.oxbow, "oxbow", "bin/oxbow", "the binary to test")
	flag.StringVar(&s.id, "id", "", "run this test alone and show its requests")
	flag.StringVar(&s.front, "front", "", "base URL of another cache to test, which must be in front of -origin")
	flag.StringVar(&s.origin, "origin", "", "address of the suite's origin; a free port without")
	flag.IntVar(&s.least, "least", 145, "fail below so many required tests")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := run(ctx, s, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cachetests:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings, out io.Writer) (err error) {
	if s.suite == "" || s.front != "" && s.origin == "" {
		return errors.New("give -suite, and -origin with -front")
	}
	scratch, err := os.MkdirTemp("", "cachetests")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	for name, text := range map[string][]byte{"score.mjs": scoreScript, "loopback.mjs": loopbackScript} {
		if err := os.WriteFile(filepath.Join(scratch, name), text, 0o600); err != nil {
			return err
		}
	}
	if s.origin == "" {
		if s.origin, err = freeAddress(ctx); err != nil {
			return err
		}
	}
	_, port, err := net.SplitHostPort(s.origin)
	if err != nil {
		return err
	}
	env := append(os.Environ(), "npm_config_protocol=http", "npm_config_port="+port,
		"npm_config_pidfile="+filepath.Join(scratch, "pid"), "npm_config_id="+s.id, "npm_package_config_id=")
	stop, err := start(ctx, s.suite, env, s.origin,
		"node", "--import", filepath.Join(scratch, "loopback.mjs"), "test-engine/server/server.mjs")
	if err != nil {
		return fmt.Errorf("origin: %w", err)
	}
	defer stop()
	if s.front == "" {
		address, err := freeAddress(ctx)
		if err != nil {
			return err
		}
		stop, err := start(ctx, "", os.Environ(), address, s.oxbow, "edge", "--upstream", "http://"+s.origin,
			"--http", address, "--admin", "127.0.0.1:0", "--log-level", "error")
		if err != nil {
			return fmt.Errorf("edge: %w", err)
		}
		defer stop()
		s.front = "http://" + address
	}
	cli := exec.CommandContext(ctx, "node", "--no-warnings", "test-engine/cli.mjs")
	cli.Dir, cli.Env, cli.Stderr = s.suite, append(env, "npm_config_base="+s.front), os.Stderr
	result, err := cli.Output()
	if err != nil {
		return fmt.Errorf("run the suite: %w", err)
	}
	if s.id != "" {
		_, err := out.Write(result)
		return err
	}
	file := filepath.Join(scratch, "result.json")
	if err := os.WriteFile(file, result, 0o600); err != nil {
		return err
	}
	return score(ctx, s, file, filepath.Join(scratch, "score.mjs"), out)
}

// verdict is the suite's on one test.
type verdict struct {
	ID, Kind, Verdict, Message string
}

func (v verdict) passed() bool { return v.Verdict == "pass" || v.Verdict == "yes" }

func score(ctx context.Context, s settings, file, script string, out io.Writer) error {
	cmd := exec.CommandContext(ctx, "node", script, file)
	cmd.Dir, cmd.Stderr = s.suite, os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("score: %w", err)
	}
	var verdicts []verdict
	if err := json.Unmarshal(text, &verdicts); err != nil {
		return fmt.Errorf("score: %w", err)
	}
	required := 0
	for _, kind := range []string{"required", "optimal", "check"} {
		passed, all := 0, 0
		for _, v := range verdicts {
			if v.Kind == kind {
				all++
				if v.passed() {
					passed++
				}
			}
		}
		if kind == "required" {
			required = passed
		}
		_, _ = fmt.Fprintf(out, "%-8s %3d of %3d\n", kind, passed, all)
	}
	slices.SortStableFunc(verdicts, func(a, b verdict) int { return strings.Compare(b.Kind, a.Kind) })
	for _, v := range verdicts {
		if !v.passed() && v.Kind != "check" {
			_, _ = fmt.Fprintf(out, "%s %s %s: %s\n", v.Kind, v.Verdict, v.ID, v.Message)
		}
	}
	if required < s.least {
		return fmt.Errorf("%d required tests passed, of which there should be %d", required, s.least)
	}
	return nil
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// start runs a server until stop is called, and returns when its address answers.
func start(
	ctx context.Context, dir string, env []string, address, name string, args ...string,
) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, name, args...)
	var text bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, io.Discard, &text
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	ended := make(chan struct{})
	var failed error
	go func() {
		failed = cmd.Wait()
		close(ended)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp", address); err == nil {
			_ = conn.Close()
			return func() { cancel(); <-ended }, nil
		}
		select {
		case <-ended:
			cancel()
			return nil, fmt.Errorf("%s ended: %w: %s", name, failed, text.String())
		case <-tick.C:
		}
	}
}
