package test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const serviceStart = 20 * time.Second

// redisServer is a real redis-server that keeps what it is told in a file.
type redisServer struct {
	*child
	address string
	dir     string
}

// newRedis prepares a server; start starts it.
func newRedis(tb testing.TB) *redisServer {
	tb.Helper()
	needTool(tb, "redis-server")
	return &redisServer{child: newChild(tb, "redis-server"), address: steadyAddress(tb), dir: tb.TempDir()}
}

// start starts it, again with the data that it had, and waits until it answers.
func (r *redisServer) start() {
	r.tb.Helper()
	host, port, _ := net.SplitHostPort(r.address)
	cmd := exec.Command(needTool(r.tb, "redis-server"), "--bind", host, "--port", port, "--dir", r.dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "no")
	if err := r.child.start(cmd); err != nil {
		r.tb.Fatal(err)
	}
	r.awaitReady(serviceStart, func() error {
		answer, err := r.ask("PING")
		if err == nil && answer != "PONG" {
			err = errors.New(answer)
		}
		return err
	})
}

// startEmpty starts it with nothing of what it knew.
func (r *redisServer) startEmpty() {
	r.tb.Helper()
	entries, err := os.ReadDir(r.dir)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(r.dir, entry.Name())))
	}
	if err != nil {
		r.tb.Fatal(err)
	}
	r.start()
}

// url is the registry's URL by way of an address: the server's own or a proxy's.
func (r *redisServer) url(address string) string { return "redis://" + address + "/0" }

// ask sends a command whose answer is one line.
func (r *redisServer) ask(command string) (answer string, err error) {
	conn, err := net.DialTimeout("tcp", r.address, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimLeft(strings.TrimSpace(line), "+:-"), nil
}

// postgres is a real PostgreSQL server on data of its own.
type postgres struct {
	*child
	address  string
	dir      string
	binaries string
}

// postgresTemplate is a data directory that is made once and copied for each server.
var postgresTemplate struct {
	sync.Once
	dir string
	err error
}

// newPostgres prepares a server; start starts it.
func newPostgres(tb testing.TB) *postgres {
	tb.Helper()
	binaries, err := findPostgres()
	if err != nil {
		if os.Getenv("OXBOW_TEST_REQUIRE") == "all" {
			tb.Fatalf("%v: run `make tools`", err)
		}
		tb.Skipf("%v: run `make tools`", err)
	}
	base := filepath.Dir(oxbowBinary)
	postgresTemplate.Do(func() { postgresTemplate.dir, postgresTemplate.err = makeTemplate(base, binaries) })
	if postgresTemplate.err != nil {
		tb.Fatal(postgresTemplate.err)
	}
	parent, err := os.MkdirTemp(base, "postgres-")
	if err != nil {
		tb.Fatal(err)
	}
	p := &postgres{address: steadyAddress(tb), dir: filepath.Join(parent, "data"), binaries: binaries}
	tb.Cleanup(func() { _ = os.RemoveAll(parent) })
	p.child = newChild(tb, "postgres")
	err = errors.Join(os.Chmod(parent, 0o711), giveAway(parent)) // the server's user must pass
	if err != nil {
		tb.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", postgresTemplate.dir, p.dir).CombinedOutput(); err != nil {
		tb.Fatalf("copy the template: %v: %s", err, out)
	}
	return p
}

// findPostgres gives the newest version's directory of binaries, as Debian lays it, or PATH's.
func findPostgres() (dir string, err error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	newest := 0
	for _, path := range found {
		version, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		if version > newest {
			newest, dir = version, filepath.Dir(path)
		}
	}
	if dir != "" {
		return dir, nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("postgresql is missing")
	}
	return filepath.Dir(path), nil
}

// makeTemplate runs initdb below base.
func makeTemplate(base, binaries string) (dir string, err error) {
	if err := os.Chmod(base, 0o711); err != nil { // the server's user must pass
		return "", err
	}
	parent := filepath.Join(base, "postgres-template")
	if err := errors.Join(os.Mkdir(parent, 0o711), giveAway(parent)); err != nil {
		return "", err
	}
	dir = filepath.Join(parent, "data")
	cmd := exec.Command(filepath.Join(binaries, "initdb"), "--pgdata", dir, "--username", "oxbow", "--auth", "trust",
		"--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
	cmd.SysProcAttr, cmd.Dir = unprivileged(), parent
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(out))
	}
	// Nothing here must survive a loss of power; what a killed server wrote, the system still has.
	text := "\nfsync = off\nshared_buffers = 16MB\nmax_connections = 60\nunix_socket_directories = ''\n" +
		"max_wal_size = 64MB\nmin_wal_size = 32MB\nautovacuum = off\nlog_min_messages = warning\n"
	f, err := os.OpenFile(filepath.Join(dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	return dir, errors.Join(err, f.Close())
}

// unprivileged makes a command run as a user that PostgreSQL takes: it refuses root.
func unprivileged() *syscall.SysProcAttr {
	if os.Geteuid() != 0 {
		return nil
	}
	id, ok := postgresUser()
	if !ok {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id[0], Gid: id[1]}}
}

// postgresUser gives the user and group of Debian's PostgreSQL, else those of nobody.
func postgresUser() (id [2]uint32, ok bool) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil {
			return [2]uint32{uint32(uid), uint32(gid)}, true
		}
	}
	return id, false
}

func giveAway(path string) error {
	id, ok := postgresUser()
	if os.Geteuid() != 0 || !ok {
		return nil
	}
	return os.Chown(path, int(id[0]), int(id[1]))
}

// start starts it, again with the data that it had, and makes the database on the first start.
func (p *postgres) start() {
	p.tb.Helper()
	host, port, _ := net.SplitHostPort(p.address)
	cmd := exec.Command(filepath.Join(p.binaries, "postgres"), "-D", p.dir, "-h", host, "-p", port)
	cmd.SysProcAttr, cmd.Dir = unprivileged(), p.dir
	if err := p.child.start(cmd); err != nil {
		p.tb.Fatal(err)
	}
	p.awaitReady(serviceStart, func() error {
		_, err := p.query("postgres", "SELECT 1")
		return err
	})
	if p.starts == 1 {
		if out, err := p.query("postgres", "CREATE DATABASE oxbow"); err != nil {
			p.tb.Fatalf("create the database: %v: %s", err, out)
		}
	}
}

// url is the catalog's URL by way of an address: the server's own or a proxy's.
func (p *postgres) url(address string) string {
	return "postgres://oxbow@" + address + "/oxbow?sslmode=disable"
}

// query runs SQL and gives its rows, a line each with | between the columns.
func (p *postgres) query(database, sql string) (rows string, err error) {
	host, port, _ := net.SplitHostPort(p.address)
	cmd := exec.Command(filepath.Join(p.binaries, "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
		"-h", host, "-p", port, "-U", "oxbow", "-d", database, "-c", sql)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// TestServicesAreStoppedAndStartedAgain proves what the fault suite leans on: what a service was told is there after
// kill -9, and is not after an empty start.
func TestServicesAreStoppedAndStartedAgain(t *testing.T) {
	t.Parallel()
	redis := newRedis(t)
	redis.start()
	for _, command := range []string{"SET shows 3", "GET shows"} {
		if _, err := redis.ask(command); err != nil {
			t.Fatal(err)
		}
	}
	redis.kill()
	if _, err := redis.ask("PING"); err == nil {
		t.Error("a killed redis-server answers")
	}
	redis.start()
	if answer, err := redis.ask("EXISTS shows"); answer != "1" {
		t.Errorf("after kill -9: EXISTS says %q, %v", answer, err)
	}
	redis.stop(syscall.SIGTERM, 10*time.Second)
	redis.startEmpty()
	if answer, err := redis.ask("EXISTS shows"); answer != "0" {
		t.Errorf("after an empty start: EXISTS says %q, %v", answer, err)
	}
	redis.pause()
	if answer, err := redis.ask("PING"); err == nil {
		t.Errorf("a paused redis-server answers %s", answer)
	}
	redis.resume()
	if answer, err := redis.ask("PING"); answer != "PONG" {
		t.Errorf("a resumed redis-server says %q, %v", answer, err)
	}

	sql := newPostgres(t)
	sql.start()
	if out, err := sql.query("oxbow", "CREATE TABLE shows (n int); INSERT INTO shows VALUES (3)"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sql.kill()
	sql.start()
	if rows, err := sql.query("oxbow", "SELECT n FROM shows"); rows != "3" {
		t.Errorf("after kill -9: %q, %v", rows, err)
	}
	if took := sql.stop(syscall.SIGINT, 20*time.Second); took > 10*time.Second {
		t.Errorf("a stop took %v", took)
	}
}
