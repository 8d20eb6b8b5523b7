package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/progress"
)

// schemaAgain is how often migrate --wait looks.
const schemaAgain = time.Second

// await waits until another process has migrated the catalog, and changes nothing: for what must start behind that,
// like the pods of a cluster.
func (c migrateCommand) await(ctx runContext) error {
	if scheme, _, _ := strings.Cut(c.Catalog, ":"); scheme == "sqlite" {
		_, err := fmt.Fprintln(ctx.stdout, "an SQLite catalog is migrated by who opens it: nothing to wait for")
		return err
	}
	db, err := catalog.Examine(ctx, c.Catalog, slog.New(slog.DiscardHandler))
	if err != nil {
		return fmt.Errorf("--catalog: %w", err)
	}
	defer db.Close()
	patience, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	stop := ctx.show(c.quietFlag, "wait for the schema", func() progress.State { return progress.State{} })
	version, err := awaitSchema(patience, db.SchemaVersions, ctx.logger)
	stop()
	if err != nil {
		return fmt.Errorf("waited %v for another process to migrate the catalog: %w: run: oxbow migrate --catalog URL",
			c.Wait, err)
	}
	if c.JSON {
		return printJSON(ctx, migrated{From: version, To: version})
	}
	_, err = fmt.Fprintf(ctx.stdout, "schema version %d: migrated\n", version)
	return err
}

// awaitSchema asks for the schema's version and the one that this binary knows until the first is not the lower. That
// it may be higher is for the server to judge. It gives what was in the way when ctx ends.
func awaitSchema(
	ctx context.Context, versions func(context.Context) (has, knows int64, err error), logger *slog.Logger,
) (int64, error) {
	again := time.NewTicker(schemaAgain)
	defer again.Stop()
	var told bool
	for {
		has, knows, err := versions(ctx)
		if err == nil && has >= knows {
			return has, nil
		}
		if err == nil {
			err = fmt.Errorf("its schema has version %d and this oxbow needs %d", has, knows)
		}
		if !told && ctx.Err() == nil {
			logger.InfoContext(ctx, "waiting for the catalog to be migrated", "err", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return 0, err
		case <-again.C:
		}
	}
}
