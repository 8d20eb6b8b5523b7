package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/doctor"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
)

// doctorCommand is `oxbow doctor`.
type doctorCommand struct {
	Recordings string        `placeholder:"DIR" help:"The recordings directory of the ingest node or archiver."`
	Catalog    string        `placeholder:"URL" help:"postgres://USER:PASSWORD@HOST/DATABASE or sqlite:FILE."`
	Registry   string        `placeholder:"URL" help:"redis://HOST:PORT, or memory: for a single process."`
	Archive    archiveURL    `placeholder:"URL" help:"s3://BUCKET/PREFIX?region=R&endpoint=URL or dir:PATH."`
	HTTP       listenAddress `name:"http" placeholder:"ADDR" help:"Viewers, REST API."`
	RTMP       listenAddress `name:"rtmp" placeholder:"ADDR" help:"RTMP publishers."`
	SRT        listenAddress `name:"srt" placeholder:"ADDR" help:"SRT publishers, UDP."`
	Internal   listenAddress `placeholder:"ADDR" help:"What other nodes ask."`
	Admin      listenAddress `placeholder:"ADDR" help:"Metrics, health and profiles."`
	JSON       bool          `name:"json" help:"Print the report as JSON."`
	// ProbeLock makes this the second process of the check of locks.
	ProbeLock string `hidden:"" env:"-" placeholder:"FILE"`
}

// Help says what is checked and what the exit code means.
func (doctorCommand) Help() string {
	return "Takes the roles' flags and checks what they name, with scratch files, objects and keys that it takes back: " +
		"ports, the directory's semantics and speed, clocks, registry, catalog, archive, kernel limits. Without any " +
		"flag it checks what serve uses by default. Exit code 0: a role will run, maybe with warnings; 1: something " +
		"FAILs; 2: wrong usage."
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
	cfg := doctor.Config{Recordings: c.Recordings, LockElsewhere: lockElsewhere, Ports: c.ports()}
	if c.SRT != "" {
		cfg.ReceiveBuffer = srtReceiveBuffer
	}
	closeAll, err := c.openServices(ctx, &cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	report := doctor.Run(ctx, cfg)
	if c.JSON {
		err = printJSON(ctx, report)
	} else {
		err = report.Print(ctx.stdout)
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
	asked.JSON = false
	if asked != (doctorCommand{}) {
		return
	}
	c.Recordings, c.Catalog, c.Registry = "data/recordings", "sqlite:data/catalog.db", "memory:"
	c.Archive = archiveURL{dir: "data/archive"}
	c.HTTP, c.RTMP, c.SRT, c.Admin = ":8080", ":1935", ":8890", "127.0.0.1:9090"
}

func (c *doctorCommand) ports() (ports []doctor.Port) {
	for _, p := range []struct {
		flag, network string
		address       listenAddress
	}{
		{"--http", "tcp", c.HTTP}, {"--rtmp", "tcp", c.RTMP}, {"--srt", "udp", c.SRT},
		{"--internal", "tcp", c.Internal}, {"--admin", "tcp", c.Admin},
	} {
		if p.address != "" {
			ports = append(ports, doctor.Port{Flag: p.flag, Network: p.network, Address: string(p.address)})
		}
	}
	return ports
}

// openServices is the one place where the adapters are told to the doctor.
func (c *doctorCommand) openServices(ctx runContext, cfg *doctor.Config) (closeAll func() error, err error) {
	var closers []func() error
	closeAll = func() error {
		var errs []error
		for _, closeOne := range closers {
			errs = append(errs, closeOne())
		}
		return errors.Join(errs...)
	}
	if cfg.Registry, err = c.openRegistry(); err == nil {
		var closeCatalog func() error
		if cfg.Catalog, closeCatalog, err = c.openCatalog(ctx); closeCatalog != nil {
			closers = append(closers, closeCatalog)
		}
	}
	if err == nil && c.Archive != (archiveURL{}) {
		var closeStore func() error
		if cfg.Store, cfg.StoreDate, closeStore, err = c.openStore(ctx); closeStore != nil {
			closers = append(closers, closeStore)
		}
	}
	if err != nil {
		return nil, errors.Join(err, closeAll())
	}
	return closeAll, nil
}

// openRegistry gives nothing for memory, which needs nothing.
func (c *doctorCommand) openRegistry() (*doctor.Registry, error) {
	if c.Registry == "" || c.Registry == "memory:" {
		return nil, nil
	}
	u, err := url.Parse(c.Registry)
	if err != nil || !strings.HasPrefix(u.Scheme, "redis") || u.Host == "" {
		return nil, usageError{errors.New("--registry: use memory: or redis://HOST:PORT")}
	}
	unknown := errors.New("this oxbow has no Redis in it")
	return &doctor.Registry{Name: u.Host, Ping: func(context.Context) error { return unknown }}, nil
}

// openCatalog opens PostgreSQL, which migrates nothing. SQLite's file is only looked at: to open it would migrate it.
func (c *doctorCommand) openCatalog(ctx runContext) (*doctor.Catalog, func() error, error) {
	scheme, file, _ := strings.Cut(c.Catalog, ":")
	switch scheme {
	case "":
		return nil, nil, nil
	case "sqlite":
		if file == "" {
			return nil, nil, usageError{errors.New("--catalog: write sqlite:FILE")}
		}
		return &doctor.Catalog{Name: file, Ping: func(context.Context) error { return sqliteUsable(file) }}, nil, nil
	case "postgres", "postgresql":
		name := "PostgreSQL"
		if u, err := url.Parse(c.Catalog); err == nil {
			name = u.Host + u.Path
		}
		db, err := catalog.Open(ctx, c.Catalog, ctx.logger)
		if err != nil {
			refused := &doctor.Catalog{Name: name, Ping: func(context.Context) error { return err }}
			return refused, nil, nil //nolint:nilerr // what it says is the check's outcome
		}
		return &doctor.Catalog{Name: name, Ping: db.Ping, Rights: func(ctx context.Context) error {
			_, err := db.Growing(ctx, media.DefaultCluster)
			return err
		}}, db.Close, nil
	}
	return nil, nil, usageError{errors.New("--catalog: use postgres://USER:PASSWORD@HOST/DATABASE or sqlite:FILE")}
}

// sqliteUsable says whether the file, or the directory that it will be made in, may be written.
func sqliteUsable(file string) error {
	const readWrite = unix.R_OK | unix.W_OK
	dir := filepath.Dir(file)
	if _, err := os.Stat(file); err == nil {
		if err := unix.Access(file, readWrite); err != nil {
			return fmt.Errorf("%s: %w: let this user read and write it", file, err)
		}
	} else if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil // both are made at start
	}
	if err := unix.Access(dir, readWrite|unix.X_OK); err != nil {
		return fmt.Errorf("%s: %w: SQLite makes files beside its own: let this user write there", dir, err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err == nil && st.Type == unix.NFS_SUPER_MAGIC {
		return fmt.Errorf("%s is on NFS, where SQLite's locks do not work: use a local disk, or PostgreSQL", dir)
	}
	return nil
}

func (c *doctorCommand) openStore(ctx context.Context) (
	doctor.Store, func(context.Context) (time.Time, error), func() error, error,
) {
	if c.Archive.bucket == "" {
		d, err := objstore.OpenDir(c.Archive.dir)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("--archive: %w", err)
		}
		return d, nil, d.Close, nil
	}
	s3, err := c.Archive.openS3(ctx)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("--archive: %w", err)
	}
	endpoint := c.Archive.endpoint
	if endpoint == "" {
		endpoint = "https://s3." + cmp.Or(c.Archive.region, "us-east-1") + ".amazonaws.com"
	}
	date := func(ctx context.Context) (time.Time, error) {
		return doctor.HTTPDate(ctx, http.DefaultClient, endpoint)
	}
	return s3, date, func() error { s3.Close(); return nil }, nil
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
