package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync/atomic"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/doctor"
	"github.com/oxbow-video/oxbow/internal/progress"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// doctorCommand is `oxbow doctor`.
type doctorCommand struct {
	Recordings string        `placeholder:"DIR" help:"The recordings directory of the ingest node or archiver."`
	Catalog    string        `placeholder:"URL" help:"postgres://USER:PASSWORD@HOST/DATABASE or sqlite:FILE."`
	Registry   string        `placeholder:"URL" help:"redis://HOST:PORT, or memory: for a single process."`
	HTTP       listenAddress `name:"http" placeholder:"ADDR" help:"Viewers, REST API."`
	RTMP       listenAddress `name:"rtmp" placeholder:"ADDR" help:"RTMP publishers."`
	RTMPS      listenAddress `name:"rtmps" placeholder:"ADDR" help:"RTMP publishers over TLS."`
	SRT        listenAddress `name:"srt" placeholder:"ADDR" help:"SRT publishers, UDP."`
	Internal   listenAddress `placeholder:"ADDR" help:"What other nodes ask."`
	Admin      listenAddress `placeholder:"ADDR" help:"Metrics, health and profiles."`

	Cluster   string   `placeholder:"NAME" help:"The node's cluster."`
	Node      string   `placeholder:"ID" help:"The node's name."`
	Advertise string   `placeholder:"URL" help:"Base URL at which others reach --internal (default: http://HOSTNAME:PORT)."`
	Directory baseURLs `placeholder:"URL,..." help:"What an edge asks: the --internal ports of the API processes."`

	HTTPS       listenAddress `name:"https" placeholder:"ADDR" help:"Viewers, REST API over TLS."`
	TLS         tlsFlags      `embed:"" prefix:"tls-"`
	PublicURL   baseURL       `name:"public-url" placeholder:"URL" help:"Where viewers reach the edge."`
	Siblings    baseURLs      `placeholder:"URL,..." help:"The edges that the edge asks at its site."`
	Shields     baseURLs      `placeholder:"URL,..." help:"The shields that the edge asks."`
	SteeringURL playbackURL   `name:"steering-url" placeholder:"URL" help:"The API's --steering-url."`

	storesFlags `embed:""`
	tokenFlags  `embed:""`

	JSON      bool `name:"json" help:"Print the report as JSON."`
	quietFlag `embed:""`
	// ProbeLock makes this the second process of the check of locks.
	ProbeLock string `hidden:"" env:"-" placeholder:"FILE"`

	secret *admission.Tokens
}

// Help says what is checked and what the exit code means.
func (doctorCommand) Help() string {
	return "Takes the roles' flags and checks what they name, with scratch files, objects and keys that it takes back: " +
		"ports, the directory's semantics and speed, how nodes and edges are reached, certificates, clocks, registry, " +
		"catalog, archive, kernel limits. It may be run beside the servers. Without any flag it checks what serve uses " +
		"by default. Exit code 0: a role will run, maybe with warnings; 1: something FAILs; 2: wrong usage."
}

// Run checks and prints the report.
func (c *doctorCommand) Run(ctx runContext) (err error) {
	if c.ProbeLock != "" {
		got, err := doctor.ProbeLock(c.ProbeLock)
		if err == nil {
			_, err = fmt.Fprintln(ctx.stdout, map[bool]string{true: lockGot, false: lockHeld}[got])
		}
		return err
	}
	c.setDefaults()
	if c.secret, err = c.open(); err != nil {
		return usageError{err}
	}
	cfg := doctor.Config{
		Recordings: c.Recordings, LockElsewhere: lockElsewhere, Holder: reclog.Holder, Shared: c.shared(), Ports: c.ports(),
		Directories: c.Directory, Edge: c.edge(), Secrets: c.secrets(os.Args, os.Environ()),
	}
	if c.SRT != "" {
		cfg.ReceiveBuffer = srtReceiveBuffer
	}
	closeAll, err := c.openServices(ctx, &cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	var group atomic.Pointer[string]
	cfg.Progress = func(name string) { group.Store(&name) }
	stop := ctx.show(c.quietFlag, "doctor", func() progress.State {
		if name := group.Load(); name != nil {
			return progress.State{Text: *name}
		}
		return progress.State{}
	})
	report := doctor.Run(ctx, cfg)
	stop()
	if c.JSON {
		err = printJSON(ctx, report)
	} else {
		err = report.Print(ctx.stdout)
	}
	if err == nil {
		err = ctx.cutOff()
	}
	if err == nil && report.Failed > 0 {
		err = fmt.Errorf("%d checks failed", report.Failed)
	}
	return err
}

// srtReceiveBuffer is what ingest asks for by default, in bytes.
const srtReceiveBuffer = 8 << 20

// setDefaults takes serve's defaults if no flag says what to check.
func (c *doctorCommand) setDefaults() {
	asked := *c
	asked.JSON, asked.Quiet = false, false
	asked.tokenFlags = tokenFlags{} // a secret that may stand in the environment names nothing to check
	if !reflect.ValueOf(asked).IsZero() {
		return
	}
	c.Recordings, c.Catalog, c.Registry = "data/recordings", "sqlite:data/catalog.db", "memory:"
	c.Archive = archiveURL{dir: "data/archive"}
	c.HTTP, c.RTMP, c.SRT, c.Admin = ":8080", ":1935", ":8890", "127.0.0.1:9090"
}

// shared says that the flags are those of a cluster's role.
func (c *doctorCommand) shared() bool {
	return c.Cluster != "" || c.Node != "" || c.Advertise != "" || c.Registry != "" && c.Registry != memoryRegistry
}

func (c *doctorCommand) ports() (ports []doctor.Port) {
	for _, p := range []struct {
		flag, network string
		address       listenAddress
	}{
		{"--http", "tcp", c.HTTP}, {"--https", "tcp", c.HTTPS}, {"--rtmp", "tcp", c.RTMP}, {"--rtmps", "tcp", c.RTMPS},
		{"--srt", "udp", c.SRT}, {"--internal", "tcp", c.Internal}, {"--admin", "tcp", c.Admin},
	} {
		if p.address != "" {
			ports = append(ports, doctor.Port{Flag: p.flag, Network: p.network, Address: string(p.address)})
		}
	}
	return ports
}

// What the second process of the check of locks answers.
const (
	lockGot  = "got"
	lockHeld = "held"
)

// lockElsewhere has another process of this program try to lock a file.
func lockElsewhere(ctx context.Context, file string) (bool, error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	out, err := exec.CommandContext(ctx, self, "doctor", "--probe-lock", file).Output()
	switch answer := strings.TrimSpace(string(out)); {
	case err != nil:
		return false, fmt.Errorf("run %s a second time: %w", self, err)
	case answer != lockGot && answer != lockHeld:
		return false, fmt.Errorf("%s answered %.40q", self, answer)
	default:
		return answer == lockGot, nil
	}
}
