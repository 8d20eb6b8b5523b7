package reindex

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// archived gives the recording as an archive has it, and the names of the stores that have all of it: first the one
// that its settings named, else the default one, else the first by name. Bad is what is wrong with the others.
func (r *run) archived(ctx context.Context, f *found) (
	rec *reclog.Recording, names []string, bad, err error,
) {
	copies := map[string]*reclog.Recording{}
	for _, name := range slices.Sorted(maps.Keys(f.archives)) {
		have, loadBad, err := load(ctx, r.Archives[name], f.ref)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("the archive %q: %w", name, err)
		}
		if have != nil {
			loadBad = complete(have, f.archives[name].sizes)
		}
		if have != nil && have.Source != "" {
			source := reclog.Ref{Path: f.ref.Path, ID: have.Source}
			on, sourceBad, err := load(ctx, r.Archives[name], source)
			if err != nil {
				return nil, nil, nil, fmt.Errorf("the archive %q: %w", name, err)
			}
			if on == nil {
				loadBad = errors.Join(loadBad, sourceBad, fmt.Errorf("%s, whose media this clip has, is missing", source))
			}
		}
		if loadBad != nil {
			bad = errors.Join(bad, fmt.Errorf("archive %q: %w", name, loadBad))
		} else if have != nil {
			copies[name], names, rec = have, append(names, name), have
		}
	}
	if rec == nil {
		return nil, nil, bad, nil
	}
	rank := func(name string) int {
		switch name {
		case cmp.Or(rec.Settings.Archive, media.DefaultArchive):
			return 0
		case rec.Settings.Mirror:
			return 1
		case media.DefaultArchive:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	return copies[names[0]], names, bad, nil
}

// load reads a recording. What is wrong with the recording itself is bad; err is of the storage.
func load(ctx context.Context, files Storage, ref reclog.Ref) (rec *reclog.Recording, bad, err error) {
	rec, err = reclog.Load(ctx, files, ref.Path, ref.ID)
	switch {
	case errors.Is(err, media.ErrCorrupt), errors.Is(err, media.ErrUnsupported), errors.Is(err, media.ErrTooLarge):
		return nil, err, nil
	case errors.Is(err, media.ErrNotFound):
		return nil, nil, nil // it was removed meanwhile
	case err != nil:
		return nil, nil, err
	}
	if len(rec.Damage) > 0 {
		bad = fmt.Errorf("%d damaged places, the first: %w", len(rec.Damage), rec.Damage[0])
	}
	return rec, bad, nil
}

// complete says what the archive lacks of a recording.
func complete(rec *reclog.Recording, sizes map[string]int64) error {
	if rec.State != media.Archived {
		return fmt.Errorf("the archive's manifest says %s", rec.State)
	}
	for _, name := range rec.FileNames() {
		if _, ok := sizes[name]; !ok {
			return fmt.Errorf("the archive lacks %s", name)
		}
	}
	if rec.Source != "" {
		return nil // its media is looked at where it is
	}
	for _, take := range rec.Takes {
		for _, tr := range take.Tracks {
			name := rec.TrackName(take.Number, tr.Name)
			if end := rec.MediaEnd(take.Number, tr.Name); sizes[name] < end {
				return fmt.Errorf("the archive's %s has %d bytes, and its index reaches to %d", name, sizes[name], end)
			}
		}
	}
	return nil
}
