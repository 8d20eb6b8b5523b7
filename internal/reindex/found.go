package reindex

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

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
			r.tell(len(byRef), 0)
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
