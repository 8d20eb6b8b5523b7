// Package catalogtest runs a real PostgreSQL server for tests.
package catalogtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/porttest"
)

// Postgres is a PostgreSQL server with a cluster of its own, on a free loopback port. Its superuser is "oxbow".
type Postgres struct {
	// Addr is host and port.
	Addr string

	bin, dir   string
	port       string
	credential *syscall.Credential
	cmd        *exec.Cmd
	exited     chan struct{}
}

// Password is what every connection needs, so that tests find it where it must not be.
const Password = "s3cret-of-tests"

// ErrMissing says that there is no PostgreSQL on the machine.
var ErrMissing = errors.New("postgresql is not installed (Debian: apt-get install postgresql)")

const startTimeout = 60 * time.Second

// MustStartPostgres runs a server until the test is over. Where there is none the test is skipped, or fails if
// OXBOW_TEST_REQUIRE is "all".
func MustStartPostgres(tb testing.TB) *Postgres {
	tb.Helper()
	p, err := StartPostgres(tb.Context())
	if errors.Is(err, ErrMissing) && os.Getenv("OXBOW_TEST_REQUIRE") != "all" {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.Close(); err != nil {
			tb.Error(err)
		}
	})
	return p
}

// StartPostgres makes a cluster and runs its server, which ends with Close, and with this process.
func StartPostgres(ctx context.Context) (_ *Postgres, err error) {
	p := &Postgres{}
	if p.bin, err = findBinaries(); err != nil {
		return nil, err
	}
	if p.credential, err = serverUser(); err != nil {
		return nil, err
	}
	if p.dir, err = os.MkdirTemp("", "oxbow-postgres-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(p.dir))
		}
	}()
	if err = p.makeCluster(ctx); err != nil {
		return nil, err
	}
	if p.Addr, err = porttest.Loopback(ctx); err != nil {
		return nil, err
	}
	_, p.port, _ = net.SplitHostPort(p.Addr)
	return p, p.Start(ctx)
}

func (p *Postgres) makeCluster(ctx context.Context) error {
	password := filepath.Join(p.dir, "password")
	if err := os.WriteFile(password, []byte(Password), 0o600); err != nil {
		return err
	}
	if p.credential != nil {
		for _, name := range []string{p.dir, password} {
			if err := os.Chown(name, int(p.credential.Uid), int(p.credential.Gid)); err != nil {
				return err
			}
		}
	}
	// English, so that orders differ from SQLite's where a query does not say.
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, "initdb"), "--pgdata", filepath.Join(p.dir, "data"),
		"--username", "oxbow", "--pwfile", password, "--auth", "scram-sha-256", "--encoding", "UTF8",
		"--locale", "C.UTF-8", "--locale-provider", "icu", "--icu-locale", "en", "--no-sync")
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// Start starts the server, again after Kill, on the same address and data, and waits until it takes connections.
func (p *Postgres) Start(ctx context.Context) error {
	logs, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	// It outlives the call, and fsync is no concern of tests that kill the process only.
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(p.bin, "postgres"),
		"-D", filepath.Join(p.dir, "data"), "-h", "127.0.0.1", "-p", p.port, "-k", "", "-F", "-c", "max_connections=200",
		"-c", "shared_buffers=32MB", "-c", "log_min_messages=fatal")
	p.cmd.Dir = p.dir
	p.cmd.Stdout, p.cmd.Stderr = logs, logs
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential, Pdeathsig: syscall.SIGQUIT}
	p.exited = make(chan struct{})
	// Pdeathsig is bound to the thread that starts the process: that one waits for its end.
	started := make(chan error)
	go func(cmd *exec.Cmd, exited chan struct{}) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // "signal: killed"
		}
		close(exited)
	}(p.cmd, p.exited)
	if err := errors.Join(<-started, logs.Close()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := p.ready(ctx); err != nil {
		text, _ := os.ReadFile(filepath.Join(p.dir, "log"))
		return errors.Join(fmt.Errorf("postgres does not answer: %w\n%s", err, text), p.Close())
	}
	return nil
}

func (p *Postgres) ready(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.run(ctx, "pg_isready", "-h", "127.0.0.1", "-p", p.port)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-p.exited:
			return fmt.Errorf("it ended: %s", p.cmd.ProcessState)
		case <-tick.C:
		}
	}
}

func (p *Postgres) run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, name), args...)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+Password, "PGUSER=oxbow")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// CreateDatabase makes an empty database and gives its URL.
func (p *Postgres) CreateDatabase(ctx context.Context, name string, options ...string) (string, error) {
	args := append([]string{"-h", "127.0.0.1", "-p", p.port, "-T", "template0"}, options...)
	if err := p.run(ctx, "createdb", append(args, name)...); err != nil {
		return "", err
	}
	return p.URL(name), nil
}

// URL gives the URL of a database, with the password.
func (p *Postgres) URL(database string) string {
	return "postgres://oxbow:" + Password + "@" + p.Addr + "/" + database + "?sslmode=disable"
}

// Query runs SQL in a database by psql, and gives its output, unaligned.
func (p *Postgres) Query(ctx context.Context, database, query string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, "psql"), "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1",
		"-d", p.URL(database), "-c", query)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, bytes.TrimSpace(out))
	}
	return strings.TrimSpace(string(out)), nil
}

// Kill ends the server at once, as a crash would: its processes notice, and Start recovers.
func (p *Postgres) Kill() error {
	if p.cmd == nil || p.cmd.Process == nil {
		return nil
	}
	// Its processes end by themselves when it is gone, but a stopped one only after it goes on.
	children := p.processes()
	err := p.signal(p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.exited
	for _, pid := range children[1:] {
		err = errors.Join(err, p.signal(pid, syscall.SIGCONT), p.signal(pid, syscall.SIGQUIT))
	}
	// The next server needs the last of them gone.
	give := time.Now().Add(startTimeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for slices.ContainsFunc(children[1:], alive) && time.Now().Before(give) {
		<-tick.C
	}
	p.cmd = nil
	return err
}

// Pause stops the server with all its processes in mid-work: connections stay open, and nothing answers.
func (p *Postgres) Pause() error { return p.signalAll(syscall.SIGSTOP) }

// Resume has a paused server go on.
func (p *Postgres) Resume() error { return p.signalAll(syscall.SIGCONT) }

// Close ends the server and removes its cluster.
func (p *Postgres) Close() error { return errors.Join(p.Kill(), os.RemoveAll(p.dir)) }

func (p *Postgres) signalAll(sig syscall.Signal) error {
	var errs []error
	for _, pid := range p.processes() {
		errs = append(errs, p.signal(pid, sig))
	}
	return errors.Join(errs...)
}

func (p *Postgres) signal(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %v to process %d of postgres: %w", sig, pid, err)
	}
	return nil
}

// processes lists the server's process, and then its children.
func (p *Postgres) processes() []int {
	pids := []int{p.cmd.Process.Pid}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return pids
	}
	for _, name := range stats {
		if pid, parent, _ := stat(name); parent == pids[0] {
			pids = append(pids, pid)
		}
	}
	return pids
}

// stat reads a process's id, its parent's and its state. proc(5).
func stat(name string) (pid, parent int, state string) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, 0, ""
	}
	head, rest, _ := strings.Cut(string(text), " (")
	fields := strings.Fields(rest[strings.LastIndex(rest, ")")+1:])
	if len(fields) < 2 {
		return 0, 0, ""
	}
	pid, _ = strconv.Atoi(head)
	parent, _ = strconv.Atoi(fields[1])
	return pid, parent, fields[0]
}

func alive(pid int) bool {
	_, _, state := stat("/proc/" + strconv.Itoa(pid) + "/stat")
	return state != "" && state != "Z"
}

// findBinaries looks where Debian puts them, the newest version first, and then in the path.
func findBinaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err == nil && len(found) > 0 {
		version := func(name string) int {
			n, _ := strconv.Atoi(strings.Split(name, "/")[4])
			return n
		}
		slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
		return filepath.Dir(found[0]), nil
	}
	name, err := exec.LookPath("initdb")
	if err != nil {
		return "", ErrMissing
	}
	return filepath.Dir(name), nil
}

// serverUser is who the server runs as: it refuses to be root.
func serverUser() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // no credential is this process's own
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMissing, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
