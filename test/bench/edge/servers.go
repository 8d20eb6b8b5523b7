//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/test/bench/proc"
)

// The first core is the servers' and the origin's, the second one the clients'.
const (
	serverCore = 0
	clientCore = 1
)

// server is one of those compared, at work.
type server struct {
	*proc.Child
	name  string
	port  int
	admin int // ours: metrics and profiles; zero of others
	tls   int // zero without settings.tls
}

var errAbsent = errors.New("not on this machine")

// rig is what a server is started with: an empty directory, an origin's port, and ports of its own.
type rig struct {
	settings
	dir    string
	origin int
	port   int
	admin  int
	// directory is the directory service's port; zero is the origin's.
	directory int
	tlsPort   int // zero without settings.tls, which certificate and key are for too
	cert, key string
	cluster   bool // real nodes are behind it, which have none of the benchmark's objects
}

// starters are the servers by their names.
func (r rig) starters() map[string]func(context.Context) (*proc.Child, error) {
	return map[string]func(context.Context) (*proc.Child, error){
		"oxbow": func(ctx context.Context) (*proc.Child, error) {
			return r.startOxbow(ctx, r.oxbow, "--directory", r.directoryURL())
		},
		"oxbow-upstream": func(ctx context.Context) (*proc.Child, error) {
			return r.startOxbow(ctx, r.oxbow, "--upstream", r.originURL())
		},
		"oxbow-other": func(ctx context.Context) (*proc.Child, error) {
			return r.startOxbow(ctx, r.other, "--directory", r.directoryURL())
		},
		"nginx":       func(ctx context.Context) (*proc.Child, error) { return r.startNginx(ctx, "") },
		"nginx-files": func(ctx context.Context) (*proc.Child, error) { return r.startNginx(ctx, nginxOpenFiles) },
		"varnish":     r.startVarnish,
		"ats":         r.startTrafficServer,
		"none":        r.startNone,
	}
}

func (r rig) originURL() string { return fmt.Sprintf("http://127.0.0.1:%d", r.origin) }

func (r rig) directoryURL() string {
	return fmt.Sprintf("http://127.0.0.1:%d", cmp.Or(r.directory, r.origin))
}

// startServer starts a server by its name, in an empty directory.
func (r rig) startServer(ctx context.Context, name string) (s *server, err error) {
	if r.port, err = proc.FreePort(ctx); err != nil {
		return nil, err
	}
	if r.admin, err = proc.FreePort(ctx); err != nil {
		return nil, err
	}
	if r.dir, err = os.MkdirTemp(r.dir, name+"-"); err != nil {
		return nil, err
	}
	if err := os.Chmod(r.dir, 0o755); err != nil {
		return nil, err
	}
	if r.tls {
		if r.tlsPort, err = proc.FreePort(ctx); err != nil {
			return nil, err
		}
		if r.cert, r.key, err = writeCertificate(r.dir); err != nil {
			return nil, err
		}
	}
	start, known := r.starters()[name]
	if !known {
		return nil, fmt.Errorf("no server %q", name)
	}
	child, err := start(ctx)
	if err != nil {
		return nil, err
	}
	s = &server{Child: child, name: name, port: r.port, tls: r.tlsPort}
	if strings.HasPrefix(name, "oxbow") {
		s.admin = r.admin
	}
	ready, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := child.Await(ready, r.port); err != nil {
		return nil, errors.Join(err, child.Stop())
	}
	if r.cluster {
		return s, nil
	}
	return s, s.warm(ready, name)
}

// warm asks for an object until the server gives it from its cache, so that it is known to be up and to cache.
func (s *server) warm(ctx context.Context, name string) error {
	const tries = 100
	said := ""
	for range tries {
		if said = s.ask(ctx, staticPath(0, classOf-1)); said == "" && name != "none" {
			said = s.ask(ctx, staticPath(0, classOf-1))
		}
		if said == "" {
			return nil
		}
		pause(ctx, 100*time.Millisecond)
	}
	return errors.Join(fmt.Errorf("it does not serve: %s; it said: %s", said, s.Said()), s.Stop())
}

// ask fetches an object and says what is wrong with the answer.
func (s *server) ask(ctx context.Context, path string) string {
	number, size, _, _ := parseMedia(path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", s.port, path), nil)
	if err != nil {
		return err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxObject+1))
	if err != nil {
		return err.Error()
	}
	if resp.StatusCode != http.StatusOK || len(body) != size || !bytes.Equal(body[headBytes:], rest(number, size)) {
		return fmt.Sprintf("status %d, %d bytes", resp.StatusCode, len(body))
	}
	return ""
}

// fill has the server fetch the objects of a class, and sees that they then come from its cache.
func (s *server) fill(ctx context.Context, class, count int) error {
	for range 2 { // ours admits to its tiers by use
		for n := 1; n <= count; n++ {
			if said := s.ask(ctx, staticPath(class, n)); said != "" {
				return fmt.Errorf("%s: %s", staticPath(class, n), said)
			}
		}
	}
	return nil
}

// startOxbow starts a build of ours.
func (r rig) startOxbow(ctx context.Context, binary string, args ...string) (*proc.Child, error) {
	if binary == "" {
		return nil, fmt.Errorf("%w: no binary is named", errAbsent)
	}
	if _, err := exec.LookPath(binary); err != nil {
		return nil, fmt.Errorf("%w: %w", errAbsent, err)
	}
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	help, err := edgeHelp(ctx, binary)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(help, []byte(args[0]+"=")) {
		return nil, fmt.Errorf("%w: this build has no %s", errAbsent, args[0])
	}
	args = append([]string{
		binary, "edge", "--http", fmt.Sprintf("127.0.0.1:%d", r.port), "--admin", fmt.Sprintf("127.0.0.1:%d", r.admin),
		"--cache-size", r.cacheSize, "--log-level", "warn",
	}, args...)
	if r.tls {
		secure := []string{"--https", fmt.Sprintf("127.0.0.1:%d", r.tlsPort), "--http3", "--tls-cert", r.cert,
			"--tls-key", r.key}
		args = slices.Insert(args, 2, secure...)
	}
	if args[len(args)-2] == "--directory" {
		args = append(args, "--archive", "dir:"+filepath.Join(r.dir, "archive"))
	}
	return proc.StartOn(ctx, serverCore, r.dir, nil, append(args, strings.Fields(r.oxbowArgs)...)...)
}

// edgeHelp is what a build says of the flags of edge.
func edgeHelp(ctx context.Context, binary string) ([]byte, error) {
	help, err := exec.CommandContext(ctx, binary, "edge", "--help").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s edge --help: %w: %s", binary, err, help)
	}
	return help, nil
}

// startNone puts nothing in front of the origin: a second origin is the server.
func (r rig) startNone(ctx context.Context) (*proc.Child, error) {
	return startOrigin(ctx, r.dir, r.port)
}

func startOrigin(ctx context.Context, dir string, port int) (*proc.Child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return proc.StartOn(ctx, serverCore, dir, nil, self, "-origin", fmt.Sprint(port))
}
