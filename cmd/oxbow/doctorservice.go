package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
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
	if err == nil {
		err = c.distinct()
	}
	stores := c.all()
	for _, name := range slices.Sorted(maps.Keys(stores)) {
		a := stores[name]
		if err != nil || a == (archiveURL{}) {
			continue
		}
		var closeStore func() error
		var archive doctor.Archive
		if archive, closeStore, err = a.openToCheck(ctx, name); closeStore != nil {
			closers = append(closers, closeStore)
			cfg.Archives = append(cfg.Archives, archive)
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
	client := control.NewClient(control.Config{Tokens: c.secret}, control.Directory{}, slog.New(slog.DiscardHandler))
	return &doctor.Node{
		ID: nodeName(c.Node, address), Cluster: names.Cluster, URL: url, Internal: string(c.Internal),
		Guarded: c.given(), Private: private(c.Internal), Nodes: nodes,
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

// openToCheck opens the named store.
func (a archiveURL) openToCheck(ctx context.Context, name string) (doctor.Archive, func() error, error) {
	archive := doctor.Archive{}
	if name != media.DefaultArchive {
		archive.Name = name
	}
	if a.bucket == "" {
		d, err := objstore.OpenDir(a.dir)
		if err != nil {
			return archive, nil, archiveError(name, err)
		}
		archive.Store = d
		return archive, d.Close, nil
	}
	s3, err := a.openS3(ctx, name)
	if err != nil {
		return archive, nil, archiveError(name, err)
	}
	endpoint := a.endpoint
	if endpoint == "" {
		endpoint = "https://s3." + cmp.Or(a.region, "us-east-1") + ".amazonaws.com"
	}
	archive.Store = s3
	archive.Date = func(ctx context.Context) (time.Time, error) {
		return doctor.HTTPDate(ctx, http.DefaultClient, endpoint)
	}
	return archive, func() error { s3.Close(); return nil }, nil
}
