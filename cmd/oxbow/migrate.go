package main

import (
	"fmt"

	"github.com/oxbow-video/oxbow/internal/catalog"
)

// migrateCommand brings the schema of a catalog up to this binary's version, before nodes of that version are started.
type migrateCommand struct {
	Catalog string `required:"" placeholder:"URL" help:"postgres://USER:PASSWORD@HOST:5432/DATABASE or sqlite:FILE."`
}

// Help implements kong.HelpProvider.
func (migrateCommand) Help() string {
	return "Run it once, from the new version, before the nodes of a cluster are restarted one after the other: nodes " +
		"of the version before go on meanwhile. It may be run again, and by several at once. There is no way back: " +
		"make a backup first. An SQLite catalog is also migrated whenever it is opened."
}

// Run migrates.
func (c migrateCommand) Run(ctx runContext) error {
	versions, err := catalog.Migrate(ctx, c.Catalog, ctx.logger)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("schema version %d: nothing to do", versions.To)
	if versions.From != versions.To {
		text = fmt.Sprintf("schema version %d -> %d", versions.From, versions.To)
	}
	if _, err := fmt.Fprintln(ctx.stdout, text); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
