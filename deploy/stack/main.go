// Command stack runs docker-compose.yml without Docker: each service is a process of this machine, at a loopback
// address of its own. It is `make stack` and its like.
//
// Flow: up reads the file with compose-go, translates each service (plan, translate, programs), makes its secrets and
// directories below .stack, and starts a supervisor that has the services run until down ends it, which removes all.
//
// Invariants:
//  1. Only processes that it started are ever signalled: each is known by its number and its start.
//  2. The supervisor ends services in the reverse order of their needs; down leaves no process and no file.
//  3. Nothing of the caller's environment reaches a service.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// errNoStack says that there is nothing to act on.
var errNoStack = errors.New("no stack is up: make stack starts it")

// The stack's files in its directory.
const (
	planFile  = "plan.json"
	stateFile = "state.json"
)

const usage = `usage: go run ./deploy/stack COMMAND [flags]

  up               start docker-compose.yml as processes, and wait until all are healthy
  down             stop them, and remove all that up made
  status           what is where, and how well
  logs [SERVICE..] what they told
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "stack:", err)
		os.Exit(1)
	}
}

// command is what the flags say.
type command struct {
	Options
	timeout time.Duration
	lines   int
	follow  bool
	out     io.Writer
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		_, _ = fmt.Fprint(os.Stderr, usage)
		return flag.ErrHelp
	}
	c := command{out: out}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&c.File, "file", "docker-compose.yml", "the compose `file`")
	flags.StringVar(&c.Dir, "dir", ".stack", "the stack's `directory`, which down removes")
	flags.StringVar(&c.Network, "net", "127.20.0", "first three `bytes` of the services' loopback addresses")
	flags.IntVar(&c.Shift, "shift", 0, "`number` that is added to every port, where programs listen at all addresses")
	flags.StringVar(&c.Oxbow, "oxbow", "bin/oxbow", "oxbow's `binary`")
	flags.StringVar(&c.VersityGW, "versitygw", "bin/versitygw", "versitygw's `binary`, built if there is none")
	profiles := flags.String("profiles", "", "profiles of the compose file, with commas, like demo")
	flags.DurationVar(&c.timeout, "timeout", 2*time.Minute, "how long all may take to be healthy")
	flags.IntVar(&c.lines, "lines", 20, "how many lines of each log are shown")
	flags.BoolVar(&c.follow, "follow", false, "logs: show what comes, until it is interrupted")
	if err := flags.Parse(args[1:]); err != nil {
		return flag.ErrHelp
	}
	c.Profiles = slices.DeleteFunc(strings.Split(*profiles, ","), func(p string) bool { return p == "" })
	if ip := net.ParseIP(c.Network + ".1"); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("-net %s: use three bytes of a loopback network, like 127.20.0", c.Network)
	}
	if c.Shift < 0 || c.Shift > maxShift {
		return fmt.Errorf("-shift %d: use 0 to %d", c.Shift, maxShift)
	}
	for _, name := range []*string{&c.File, &c.Dir, &c.Oxbow, &c.VersityGW} {
		full, err := filepath.Abs(*name)
		if err != nil {
			return err
		}
		*name = full
	}
	switch args[0] {
	case "up":
		return c.up(ctx)
	case "down":
		return c.down(ctx)
	case "status":
		return c.status()
	case "logs":
		return c.logs(ctx, flags.Args())
	case "supervise":
		return supervise(ctx, c.Dir)
	}
	_, _ = fmt.Fprint(os.Stderr, usage)
	return flag.ErrHelp
}
