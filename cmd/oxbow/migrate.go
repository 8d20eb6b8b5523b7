package main

import (
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/progress"
)

// migrateCommand brings the schema of a catalog up to this binary's version, before nodes of that version are started.
type migrateCommand struct {
	Catalog string `required:"" placeholder:"URL" help:"postgres://USER:PASSWORD@HOST:5432/DATABASE or sqlite:FILE."`

	Wait time.Duration `placeholder:"DURATION" help:"Change nothing, and wait so long for another process to migrate."`

	JSON      bool `name:"json" help:"Print the result as JSON."`
	quietFlag `embed:""`
}

// migrated is the schema's version before and after.
type migrated struct {
	From int64 `json:"from_version"`
	To   int64 `json:"to_version"`
}

// Help implements kong.HelpProvider.
func (migrateCommand) Help() string {
	return "Run it once, from the new version, before the nodes of a cluster are restarted one after the other: nodes " +
		"of the version before go on meanwhile. It may be run again, and by several at once. There is no way back: " +
		"make a backup first. An SQLite catalog is also migrated whenever it is opened."
}

// Run migrates.
func (c migrateCommand) Run(ctx runContext) error {
	if c.Wait < 0 {
		return usageError{fmt.Errorf("--wait %v: use a duration like 10m", c.Wait)}
	}
	if c.Wait > 0 {
		return c.await(ctx)
	}
	stop := ctx.show(c.quietFlag, "migrate", func() progress.State { return progress.State{} })
	versions, err := catalog.Migrate(ctx, c.Catalog, ctx.logger)
	stop()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(ctx, migrated{From: versions.From, To: versions.To})
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
