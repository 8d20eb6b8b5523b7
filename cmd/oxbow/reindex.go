package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/inspect"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/progress"
	"github.com/oxbow-video/oxbow/internal/reindex"
)

// reindexCommand is `oxbow reindex`.
type reindexCommand struct {
	Cluster     string `default:"main" placeholder:"NAME" help:"Whose directory --recordings is (default: ${default})."`
	Recordings  string `required:"" placeholder:"DIR" help:"The cluster's recordings directory."`
	Catalog     string `required:"" placeholder:"URL" help:"The catalog to rebuild: postgres://USER:PASSWORD@HOST/DATABASE or sqlite:FILE."`
	storesFlags `embed:""`
	DryRun      bool `help:"Only tell what would be done."`
	Parallel    int  `default:"8" placeholder:"N" help:"How many recordings are read at a time (default: ${default})."`
	JSON        bool `name:"json" help:"Print the report as JSON."`
	quietFlag   `embed:""`
}

// Help says what it can't do.
func (reindexCommand) Help() string {
	return "Adds the recordings that storage has and the catalog lacks, and corrects rows that storage knows better. " +
		"Recordings that grow are left to their nodes, and deleted ones stay deleted. It may be run beside the servers, " +
		"and again. Keys and tokens are not on storage: the report has the publishers and streams that are missing, with " +
		"the settings of their newest recordings, and the rows of recordings that are on no storage. Exit " +
		"code 0: done; 1: damaged recordings were met, or a service failed; 2: wrong usage."
}

// Run rebuilds the catalog's recordings and prints the report.
func (c *reindexCommand) Run(ctx runContext) (err error) {
	if err := media.CheckClusterName(c.Cluster); err != nil {
		return usageError{fmt.Errorf("--cluster: %w", err)}
	}
	if c.Parallel < 1 || c.Parallel > 64 {
		return usageError{fmt.Errorf("--parallel %d: use 1 to 64", c.Parallel)}
	}
	local, err := inspect.OpenDir(c.Recordings)
	if err != nil {
		return fmt.Errorf("--recordings: %w", err)
	}
	defer func() { err = errors.Join(err, local.Close()) }()
	if err := errors.Join(c.needArchive(), c.distinct()); err != nil {
		return usageError{err}
	}
	archives := map[string]reindex.Storage{}
	for name, a := range c.all() {
		archive, closeArchive, err := a.openToRead(ctx, name)
		if err != nil {
			return archiveError(name, err)
		}
		defer func() { _ = closeArchive() }()
		archives[name] = archive
	}
	db, err := catalog.Open(ctx, c.Catalog, ctx.logger)
	if err != nil {
		return fmt.Errorf("--catalog: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var done, total atomic.Int64
	stop := ctx.show(c.quietFlag, "reindex", func() progress.State {
		if of := total.Load(); of > 0 {
			return progress.State{Done: done.Load(), Total: of, Unit: "recordings"}
		}
		return progress.State{Done: done.Load(), Unit: "recordings listed"}
	})
	report, err := reindex.Run(ctx, reindex.Config{
		Cluster: c.Cluster, Local: local, Archives: archives, DryRun: c.DryRun, Parallel: c.Parallel,
		Catalog:  reindexed(db),
		Progress: func(have, of int) { done.Store(int64(have)); total.Store(int64(of)) },
	})
	stop()
	if c.JSON {
		err = errors.Join(err, printJSON(ctx, report))
	} else {
		err = errors.Join(err, report.Print(ctx.stdout))
	}
	if err == nil && len(report.Damaged) > 0 {
		err = fmt.Errorf("%d recordings are damaged", len(report.Damaged))
	}
	return err
}

// openToRead opens the named store for reading: a directory that is not there is not made.
func (a archiveURL) openToRead(ctx context.Context, name string) (reindex.Storage, func() error, error) {
	if a.bucket != "" {
		s3, err := a.openS3(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		return s3, func() error { s3.Close(); return nil }, nil
	}
	d, err := inspect.OpenDir(a.dir)
	if err != nil {
		return nil, nil, err
	}
	return d, d.Close, nil
}

// reindexed is the catalog as a reindexing asks it.
func reindexed(db *catalog.DB) reindex.Catalog {
	return reindex.Catalog{
		Recording: db.Recording, Recordings: db.Recordings,
		Publisher: func(ctx context.Context, name string) error { _, err := db.Publisher(ctx, name); return err },
		Stream:    func(ctx context.Context, path media.StreamPath) error { _, err := db.Stream(ctx, path); return err },
		Restore: func(ctx context.Context, r media.Recording) (reindex.Outcome, error) {
			done, err := db.Restore(ctx, r)
			return reindex.Outcome(done), err
		},
	}
}
