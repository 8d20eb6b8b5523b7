package registry

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oxbow-video/oxbow/internal/porttest"
)

// redisServer is a real redis-server that keeps nothing on disk: killed, it forgets.
type redisServer struct {
	tb   testing.TB
	addr string
	port string
	args []string

	cmd    *exec.Cmd
	output strings.Builder // valid when drained is done
	drain  sync.WaitGroup
}

// needRedis skips the test where redis-server is missing; OXBOW_TEST_REQUIRE=all makes that a failure.
func needRedis(tb testing.TB) {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("OXBOW_TEST_REQUIRE") == "all" {
			tb.Fatal("redis-server is missing: run `make tools`")
		}
		tb.Skip("redis-server is missing: run `make tools`")
	}
}

// MustRedis starts a server with more arguments on a free port, until the test ends.
func MustRedis(tb testing.TB, args ...string) *redisServer {
	tb.Helper()
	needRedis(tb)
	s := &redisServer{tb: tb, addr: freeAddr(tb)}
	_, s.port, _ = net.SplitHostPort(s.addr)
	s.args = append([]string{
		"--port", s.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", tb.TempDir(),
	}, args...)
	s.start("Ready to accept connections")
	return s
}

// freeAddr is an address of this machine at which nobody listens.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	addr, err := porttest.Loopback(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return addr
}

// start starts the server, again too, and waits until it logs that it is ready.
func (s *redisServer) start(ready string) {
	s.tb.Helper()
	s.cmd = exec.CommandContext(context.Background(), "redis-server", s.args...)
	pipe, err := s.cmd.StdoutPipe()
	if err != nil {
		s.tb.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(s.kill)
	s.output.Reset()
	up := make(chan bool, 1)
	s.drain.Go(func() {
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			fmt.Fprintln(&s.output, lines.Text())
			if strings.Contains(lines.Text(), ready) {
				select {
				case up <- true:
				default:
				}
			}
		}
		_, _ = io.Copy(io.Discard, pipe)
		close(up)
	})
	select {
	case ok := <-up:
		if !ok {
			s.tb.Fatalf("redis-server ended:\n%s", s.output.String())
		}
	case <-time.After(2 * time.Minute):
		s.kill()
		s.tb.Fatalf("redis-server is not ready:\n%s", s.output.String())
	}
}

// kill ends it as kill -9 does.
func (s *redisServer) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	s.drain.Wait()
	_ = s.cmd.Wait()
	s.cmd = nil
}

func (s *redisServer) signal(sig syscall.Signal) {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.tb.Fatal(err)
	}
}

// do sends the server a command.
func (s *redisServer) do(args ...any) (any, error) {
	s.tb.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.addr, DisableIdentity: true})
	defer func() { _ = c.Close() }()
	return c.Do(s.tb.Context(), args...).Result()
}

func (s *redisServer) mustDo(args ...any) any {
	s.tb.Helper()
	answer, err := s.do(args...)
	if err != nil {
		s.tb.Fatalf("%v: %v", args, err)
	}
	return answer
}

// MustOpenRedis opens a registry, until the test ends.
func MustOpenRedis(tb testing.TB, url string, cfg Config) *Redis {
	tb.Helper()
	r, err := OpenRedis(tb.Context(), RedisConfig{URL: url, Config: cfg}, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r
}

// eventually tries until it works, or fails the test.
func eventually(tb testing.TB, what string, try func() error) {
	tb.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	over := time.After(2 * time.Minute)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-over:
			tb.Fatalf("%s: %v", what, err)
		}
	}
}

// redisBench runs the suite on a Redis: every registry with keys of its own.
type redisBench struct {
	url     string
	opened  int
	current *Redis
}

func (b *redisBench) bench() bench {
	return bench{
		open: func(tb testing.TB, cfg Config) Registry {
			b.opened++
			b.current = MustOpenRedis(tb, fmt.Sprintf("%sprefix=t%d", b.url, b.opened), cfg)
			return b.current
		},
		pass: func(d time.Duration) { pass(b.current, d) },
		run:  func(t *testing.T, name string, f func(t *testing.T)) { t.Run(name, f) },
		// The first second has the first beat.
		youth: 7 * time.Second,
	}
}

// pass sets a registry's clock forward, while nodes go on to register each second.
func pass(r *Redis, d time.Duration) {
	for d > 0 {
		step := min(d, time.Second)
		r.shift.Add(step.Microseconds())
		r.run(context.Background(), r.beats()...)
		d -= step
	}
}

// mustPass is a client that gives a password.
func mustPass(tb testing.TB, addr, password string) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: addr, Password: password, DisableIdentity: true})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}
