package test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
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

// postgres is a real PostgreSQL server with a database for a fleet.
type postgres struct {
	*catalogtest.Postgres
	tb testing.TB
}

const database = "oxbow"

// startPostgres begins to start a server with an empty database, which runs until the test is over. The function that it
// gives waits until it is there.
func startPostgres(tb testing.TB) (started func() *postgres) {
	tb.Helper()
	p, done := &postgres{tb: tb}, make(chan struct{})
	var err error
	go func() {
		defer close(done)
		server, failed := catalogtest.StartPostgres(tb.Context())
		if failed == nil {
			p.Postgres = server
			_, failed = p.CreateDatabase(tb.Context(), database)
		}
		err = failed
	}()
	tb.Cleanup(func() {
		<-done
		if p.Postgres == nil {
			return
		}
		if err := p.Close(); err != nil {
			tb.Error(err)
		}
	})
	return func() *postgres {
		tb.Helper()
		<-done
		if errors.Is(err, catalogtest.ErrMissing) && os.Getenv("OXBOW_TEST_REQUIRE") != "all" {
			tb.Skip(err)
		}
		p.must("start", err)
		return p
	}
}

func (p *postgres) must(act string, err error) {
	p.tb.Helper()
	if err != nil {
		p.tb.Fatalf("%s PostgreSQL: %v", act, err)
	}
}

// start starts it, again with the data that it had.
func (p *postgres) start() { p.tb.Helper(); p.must("start", p.Start(p.tb.Context())) }

// kill is kill -9.
func (p *postgres) kill() { p.tb.Helper(); p.must("kill", p.Kill()) }

// pause stops it where it stands; resume lets it go on.
func (p *postgres) pause()  { p.tb.Helper(); p.must("pause", p.Pause()) }
func (p *postgres) resume() { p.tb.Helper(); p.must("resume", p.Resume()) }

// url is the catalog's URL by way of an address: the server's own or a proxy's.
func (p *postgres) url(address string) string {
	return strings.Replace(p.URL(database), p.Addr, address, 1)
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
	eventually(t, 10*time.Second, "a resumed redis-server answers", func() bool {
		answer, _ := redis.ask("PING")
		return answer == "PONG"
	})

	sql := startPostgres(t)()
	if _, err := sql.Query(t.Context(), database, "CREATE TABLE shows (n int); INSERT INTO shows VALUES (3)"); err != nil {
		t.Fatal(err)
	}
	sql.kill()
	sql.start()
	sql.pause()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := sql.Query(ctx, database, "SELECT 1"); err == nil {
		t.Error("a paused PostgreSQL answers")
	}
	sql.resume()
	if rows, err := sql.Query(t.Context(), database, "SELECT n FROM shows"); strings.TrimSpace(rows) != "3" {
		t.Errorf("after kill -9: %q, %v", rows, err)
	}
}
