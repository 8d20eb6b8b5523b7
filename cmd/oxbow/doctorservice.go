package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/control"
	"github.com/oxbow-video/oxbow/internal/doctor"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/registry"
)

// openServices is the one place where the adapters are told to the doctor.
func (c *doctorCommand) openServices(ctx context.Context, cfg *doctor.Config) (closeAll func() error, err error) {
	var closers []func() error
	closeAll = func() error {
		var errs []error
		for _, closeOne := range closers {
			errs = append(errs, closeOne())
		}
		return errors.Join(errs...)
	}
	var nodes func(context.Context) ([]media.Node, error)
	var closeRegistry func() error
	if cfg.Registry, nodes, closeRegistry, err = c.openRegistry(ctx); closeRegistry != nil {
		closers = append(closers, closeRegistry)
	}
	if err == nil {
		var closeNode func() error
		if cfg.Node, closeNode, err = c.openNode(nodes); closeNode != nil {
			closers = append(closers, closeNode)
		}
	}
	if err == nil {
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

// openRegistry gives nothing for memory, which needs nothing. What refuses us, or is not what its certificate should
// say, is the outcome of the check.
func (c *doctorCommand) openRegistry(ctx context.Context) (
	*doctor.Registry, func(context.Context) ([]media.Node, error), func() error, error,
) {
	if c.Registry == "" || c.Registry == memoryRegistry {
		return nil, nil, nil, nil
	}
	name, err := registry.RedisName(c.Registry)
	if err != nil {
		return nil, nil, nil, usageError{fmt.Errorf("--registry: %w", err)}
	}
	r, err := registry.OpenRedis(ctx, registry.RedisConfig{URL: c.Registry}, slog.New(slog.DiscardHandler))
	if err != nil {
		refused := &doctor.Registry{Name: name, Ping: func(context.Context) error { return err }}
		return refused, nil, nil, nil //nolint:nilerr // what it says is the check's outcome
	}
	return &doctor.Registry{Name: name, Ping: r.Ping, Time: r.Time, Info: r.Info, Rights: r.Rights}, r.Nodes, r.Close, nil
}

// openNode gives the ingest node that the flags describe, if they do.
func (c *doctorCommand) openNode(
	nodes func(context.Context) ([]media.Node, error),
) (*doctor.Node, func() error, error) {
	names := clusterFlags{Cluster: cmp.Or(c.Cluster, media.DefaultCluster), Node: c.Node}
	if err := names.check(); err != nil {
		return nil, nil, usageError{err}
	}
	if c.Advertise != "" && c.Internal == "" {
		return nil, nil, usageError{errors.New("--advertise: it is the URL of --internal: give that too")}
	}
	if c.Internal == "" || c.Recordings == "" && c.Advertise == "" {
		return nil, nil, nil
	}
	address, err := net.ResolveTCPAddr("tcp", string(c.Internal))
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("--internal: %w", err)}
	}
	if address.Port == 0 {
		return nil, nil, nil // nobody can tell yet where it will be
	}
	url, err := advertised(c.Advertise, address)
	if err != nil {
		return nil, nil, usageError{err}
	}
	client := control.NewClient(control.Config{Token: c.ClusterToken}, control.Directory{}, slog.New(slog.DiscardHandler))
	return &doctor.Node{
		ID: nodeName(c.Node, address), Cluster: names.Cluster, URL: url, Internal: string(c.Internal),
		Guarded: c.ClusterToken != "", Private: private(c.Internal), Nodes: nodes,
		Ask: func(ctx context.Context, url string) (media.Node, error) {
			status, err := client.Status(ctx, media.Node{ID: "at " + url, URL: url})
			return status.Node, err
		},
	}, client.Close, nil
}

// openCatalog opens PostgreSQL whatever its schema is, and migrates nothing. SQLite's file is only looked at: to open
// it would migrate it.
func (c *doctorCommand) openCatalog(ctx context.Context) (*doctor.Catalog, func() error, error) {
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
		name, err := catalog.PostgresName(c.Catalog)
		if err != nil {
			return nil, nil, usageError{fmt.Errorf("--catalog: %w", err)}
		}
		db, err := catalog.Examine(ctx, c.Catalog, slog.New(slog.DiscardHandler))
		if err != nil {
			refused := &doctor.Catalog{Name: name, Ping: func(context.Context) error { return err }}
			return refused, nil, nil //nolint:nilerr // what it says is the check's outcome
		}
		return &doctor.Catalog{
			Name: name, Ping: db.Ping, Time: db.Time, Server: db.Server, Versions: db.SchemaVersions, Rights: db.Rights,
		}, db.Close, nil
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
	s3, err := c.Archive.openS3(ctx, media.DefaultArchive)
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
