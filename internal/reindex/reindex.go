package reindex

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
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
	// Progress is called now and then with what is done of how many; nil is fine. Calls do not overlap.
	Progress func(done, total int)
}

// Item is a recording of which the report tells more than a count.
type Item struct {
	Recording string `json:"recording"`
	Reason    string `json:"reason"`
}

// Report is what was found and done.
type Report struct {
	DryRun bool `json:"dry_run"`
	// Local and Archived count the manifests that storage has.
	Local    int `json:"local"`
	Archived int `json:"archived"`
	// Added, Changed and Left count rows.
	Added   int `json:"added"`
	Changed int `json:"changed"`
	Left    int `json:"left"`
	// Growing recordings are left to their nodes. Damaged ones can't be restored. Others were left for another reason.
	Growing []Item `json:"growing,omitempty"`
	Damaged []Item `json:"damaged,omitempty"`
	Others  []Item `json:"others,omitempty"`
	// Publishers and Streams are missing in the catalog.
	Publishers []string           `json:"missing_publishers,omitempty"`
	Streams    []media.StreamPath `json:"missing_streams,omitempty"`
}

// found is a recording by what storage lists.
type found struct {
	ref      reclog.Ref
	local    bool
	archives map[string]*stored // by the stores' names
}

// stored is a recording by what a store lists.
type stored struct {
	// archivedAt is when the store got the manifest, the last of its files; zero without one.
	archivedAt time.Time
	sizes      map[string]int64 // of its objects
	growing    bool             // it has what was uploaded while the recording grew
}

// run is one run.
type run struct {
	Config
	mu     sync.Mutex
	report Report
	done   int
}

// Run reindexes. It fails when a storage or the catalog does; the report then tells how far it came.
func Run(ctx context.Context, cfg Config) (*Report, error) {
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
			if r.done++; r.Progress != nil && (r.done%100 == 0 || r.done == len(recordings)) {
				r.Progress(r.done, len(recordings))
			}
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
	byName := func(a, b Item) int { return cmp.Compare(a.Recording, b.Recording) }
	for _, items := range [][]Item{r.report.Growing, r.report.Damaged, r.report.Others} {
		slices.SortFunc(items, byName)
	}
	return &r.report, err
}

// list finds the recordings of all storages, oldest first.
func (r *run) list(ctx context.Context) ([]*found, error) {
	byRef := map[reclog.Ref]*found{}
	take := func(object media.Object) (f *found, file string) {
		ref, file, ok := split(object.Key)
		if !ok {
			return nil, ""
		}
		if byRef[ref] == nil {
			byRef[ref] = &found{ref: ref, archives: map[string]*stored{}}
		}
		return byRef[ref], file
	}
	for object, err := range r.Local.List(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("list the cluster's directory: %w", err)
		}
		if f, file := take(object); f != nil && file == "recording.json" {
			f.local = true
			r.report.Local++
		}
	}
	for name, archive := range r.Archives {
		for object, err := range archive.List(ctx, "") {
			if err != nil {
				return nil, fmt.Errorf("list the archive %q: %w", name, err)
			}
			f, file := take(object)
			if f == nil {
				continue
			}
			in := f.archives[name]
			if in == nil {
				in = &stored{sizes: map[string]int64{}}
				f.archives[name] = in
			}
			in.sizes[object.Key] = object.Size
			if file == "recording.growing.json" {
				in.growing = true
			}
			if file == "recording.json" {
				in.archivedAt = object.ModifiedAt
				r.report.Archived++
			}
		}
	}
	var all []*found
	for _, f := range byRef {
		growing := ""
		for name, in := range f.archives {
			if in.growing {
				growing = name
			}
			if in.archivedAt.IsZero() { // not archived, or being deleted
				delete(f.archives, name)
			}
		}
		if f.local || len(f.archives) > 0 {
			all = append(all, f)
		} else if growing != "" {
			r.note(&r.report.Others, f, "the archive %q has what was uploaded of it while it was live, and nothing else "+
				"does: its row would have the archiver salvage it; restore the catalog from a backup", growing)
		}
	}
	slices.SortFunc(all, func(a, b *found) int { return cmp.Compare(a.ref.ID, b.ref.ID) })
	return all, nil
}

// split reads publisher/stream/recording/file.
func split(key string) (ref reclog.Ref, file string, ok bool) {
	elems := strings.SplitN(key, "/", 4)
	if len(elems) < 4 {
		return ref, "", false
	}
	stream, err := media.ParseStreamPath(path.Join(elems[0], elems[1]))
	if err != nil {
		return ref, "", false
	}
	id, err := media.ParseRecordingID(elems[2])
	return reclog.Ref{Path: stream, ID: id}, elems[3], err == nil
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
	if local != nil && local.State.Growing() {
		r.note(&r.report.Growing, f, "it is %s: its node saves its row, or the archiver closes it and saves it", local.State)
		return row, false, nil
	}
	archived, names, archiveBad, err := r.archived(ctx, f)
	if err != nil {
		return row, false, err
	}
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

// rowOf computes what a row says of a recording's media: its length without fillers, and its bytes as they were
// recorded.
func rowOf(rec *reclog.Recording) media.Recording {
	row := media.Recording{
		ID: rec.ID, Path: rec.Path(), StartedAt: rec.StartedAt, EndedAt: rec.EndedAt, Continues: rec.Continues,
	}
	if rec.Clip != nil {
		row.ClipOf, row.ClipStart, row.ClipEnd = rec.Clip.Of, rec.Clip.Start, rec.Clip.End
	}
	scales := map[int]int64{}
	for _, take := range rec.Takes {
		if len(take.Tracks) > 0 {
			scales[take.Number] = take.Tracks[0].Timescale
		}
		for _, tr := range take.Tracks {
			row.Bytes += tr.InitSize
		}
	}
	for i, track := range rec.Tracks {
		for _, seg := range track.Segments {
			row.Bytes += seg.Size
			if i == 0 && !seg.Filler && scales[seg.Take] > 0 {
				row.Duration += media.Duration(seg.Duration, scales[seg.Take])
			}
		}
	}
	if row.EndedAt.IsZero() {
		row.EndedAt = row.StartedAt.Add(row.Duration)
	}
	return row
}

// missing lists the publishers and streams that the catalog lacks.
func (r *run) missing(ctx context.Context, recordings []*found) error {
	publishers, streams := map[string]bool{}, map[media.StreamPath]bool{}
	for _, f := range recordings {
		if p := f.ref.Path.Publisher; !publishers[p] {
			publishers[p] = true
			switch err := r.Catalog.Publisher(ctx, p); {
			case errors.Is(err, media.ErrNotFound):
				r.report.Publishers = append(r.report.Publishers, p)
			case err != nil:
				return err
			}
		}
		if !streams[f.ref.Path] {
			streams[f.ref.Path] = true
			switch err := r.Catalog.Stream(ctx, f.ref.Path); {
			case errors.Is(err, media.ErrNotFound):
				r.report.Streams = append(r.report.Streams, f.ref.Path)
			case err != nil:
				return err
			}
		}
	}
	slices.Sort(r.report.Publishers)
	slices.SortFunc(r.report.Streams, func(a, b media.StreamPath) int { return cmp.Compare(a.String(), b.String()) })
	return nil
}
