package reindex

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// Storage is a cluster's directory or the archive: names are publisher/stream/recording/...
type Storage interface {
	reclog.Files
	List(ctx context.Context, prefix string) iter.Seq2[media.Object, error]
}

// Catalog is what is asked and told of the catalog.
type Catalog struct {
	// Recording, Publisher and Stream give what is there, or media.ErrNotFound.
	Recording func(ctx context.Context, id media.RecordingID) (media.Recording, error)
	Publisher func(ctx context.Context, name string) error
	Stream    func(ctx context.Context, path media.StreamPath) error
	// Recordings lists rows, a page at a time; next, if not empty, is the cursor of the page behind it.
	Recordings func(ctx context.Context, filter media.RecordingFilter) (rows []media.Recording, next string, err error)
	// Restore makes the catalog know an ended or archived recording, as far as it does not know better.
	Restore func(ctx context.Context, r media.Recording) (Outcome, error)
}

// Outcome is what became of a recording's row.
type Outcome string

// The outcomes.
const (
	Added   Outcome = "added"
	Changed Outcome = "changed"
	Left    Outcome = "left" // the row knows as much or more
)

// Config of a run.
type Config struct {
	// Cluster is whose directory Local is.
	Cluster string
	Local   Storage
	// Archives are the stores by name; media.DefaultArchive is one of them.
	Archives map[string]Storage
	Catalog  Catalog
	// DryRun only reports what would be done.
	DryRun bool
	// Parallel is how many recordings are looked at at a time; zero means 8.
	Parallel int
	// Progress is called with what is done of how many, or with what is listed and zero while nobody knows how many there
	// are; nil is fine. Calls do not overlap.
	Progress func(done, total int)
}

// run is one run.
type run struct {
	Config
	mu     sync.Mutex
	seen   snapshots
	report Report
	done   int
}

// Run reindexes. It fails when a storage or the catalog does; the report then tells how far it came.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	begun := time.Now()
	r := &run{Config: cfg, report: Report{DryRun: cfg.DryRun}}
	recordings, err := r.list(ctx)
	if err != nil {
		return &r.report, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(cmp.Or(cfg.Parallel, 8))
	for _, f := range recordings {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			err := r.one(gctx, f)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.done++
			r.tell(r.done, len(recordings))
			return err
		})
	}
	err = g.Wait()
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = r.missing(ctx, recordings)
	}
	if err == nil {
		err = r.lost(ctx, recordings, begun)
	}
	byName := func(a, b Item) int { return cmp.Compare(a.Recording, b.Recording) }
	for _, items := range [][]Item{r.report.Growing, r.report.Damaged, r.report.Others, r.report.Lost} {
		slices.SortFunc(items, byName)
	}
	return &r.report, err
}

func (r *run) tell(done, total int) {
	if r.Progress != nil {
		r.Progress(done, total)
	}
}

// note adds an item to one of the report's lists.
func (r *run) note(list *[]Item, f *found, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*list = append(*list, Item{Recording: f.ref.String(), Reason: fmt.Sprintf(format, args...)})
}

// one looks at one recording.
func (r *run) one(ctx context.Context, f *found) error {
	row, ok, err := r.judge(ctx, f)
	if err != nil || !ok {
		return err
	}
	have, err := r.Catalog.Recording(ctx, f.ref.ID)
	known := err == nil
	if err != nil && !errors.Is(err, media.ErrNotFound) {
		return err
	}
	switch {
	case known && have.Path != row.Path:
		r.note(&r.report.Others, f, "the catalog has it as a recording of %s: one of the two is a copy", have.Path)
		return nil
	case known && (have.State == media.Deleting || have.State == media.Deleted):
		r.note(&r.report.Others, f,
			"the catalog says %s: it stays so, and its files are left for the archiver or for you", have.State)
		return nil
	case known && have.Cluster != "" && have.Cluster != r.Cluster:
		r.note(&r.report.Others, f, "the catalog has it in cluster %q: run reindex with that cluster's directory",
			have.Cluster)
		return nil
	}
	outcome := r.forecast(known, have, row)
	if !r.DryRun {
		if outcome, err = r.Catalog.Restore(ctx, row); err != nil {
			return fmt.Errorf("recording %s: %w", f.ref, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch outcome {
	case Added:
		r.report.Added++
	case Changed:
		r.report.Changed++
	default:
		r.report.Left++
	}
	return nil
}

// forecast says what Restore would do, but for what archivers hold.
func (r *run) forecast(known bool, have, row media.Recording) Outcome {
	switch {
	case !known:
		return Added
	case have.State.Growing(), have.State == media.Ended && (row.State == media.Archived || !have.Local && row.Local):
		return Changed
	}
	return Left
}

// judge makes the row that storage tells of; false: there is none, and the report says why.
func (r *run) judge(ctx context.Context, f *found) (row media.Recording, ok bool, err error) {
	var local *reclog.Recording
	var bad error
	if f.local {
		if local, bad, err = load(ctx, r.Local, f.ref); err != nil {
			return row, false, fmt.Errorf("the cluster's directory: %w", err)
		}
	}
	r.snapshot(local)
	if local != nil && local.State.Growing() {
		r.note(&r.report.Growing, f, "it is %s: its node saves its row, or the archiver closes it and saves it", local.State)
		return row, false, nil
	}
	archived, names, archiveBad, err := r.archived(ctx, f)
	if err != nil {
		return row, false, err
	}
	r.snapshot(archived)
	if bad := errors.Join(bad, archiveBad); bad != nil {
		r.note(&r.report.Damaged, f, "%s", strings.ReplaceAll(bad.Error(), "\n", "; "))
	}
	switch {
	case archived != nil:
		row = rowOf(archived)
		row.State, row.ArchivedAt, row.Local = media.Archived, f.archives[names[0]].archivedAt, local != nil
		row.Archive = names[0]
		if len(names) > 1 {
			row.Mirror = names[1]
		}
	case local != nil:
		row = rowOf(local)
		row.State, row.Local = media.Ended, true
	default:
		return row, false, nil
	}
	row.Cluster = r.Cluster
	return row, true, nil
}

// snapshot notes a recording's settings; nil is none.
func (r *run) snapshot(rec *reclog.Recording) {
	if rec == nil || rec.Clip != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.note(rec)
}
