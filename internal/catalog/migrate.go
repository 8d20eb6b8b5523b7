package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/migrations"
)

// migrate brings the schema up to date.
func (db *DB) migrate(ctx context.Context, dialect goose.Dialect) error {
	return db.migrateFrom(ctx, dialect, migrations.FS)
}

func (db *DB) migrateFrom(ctx context.Context, dialect goose.Dialect, files fs.FS) error {
	provider, err := goose.NewProvider(dialect, db.writes, files,
		goose.WithSlog(db.logger), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	first := current
	for current < target {
		_, err := provider.Up(ctx)
		reached, _, look := provider.GetVersions(ctx)
		switch {
		case err == nil && look == nil:
		case look != nil || reached == current:
			return fmt.Errorf("migrate schema from version %d to %d: %w", current, target, errors.Join(err, look))
		}
		current = reached // also when it failed: then another process was faster at this step
	}
	if current > target {
		return fmt.Errorf("%w: its schema has version %d and this oxbow knows versions up to %d: "+
			"start the newer oxbow that wrote it", media.ErrUnsupported, current, target)
	}
	if first < target {
		db.logger.InfoContext(ctx, "catalog migrated", "from", first, "to", target)
	}
	return nil
}
