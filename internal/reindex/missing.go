package reindex

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/oxbow-video/oxbow/internal/media"
)

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
	r.report.PublisherSettings, r.report.StreamSettings = map[string]Settings{}, map[string]Settings{}
	for _, name := range r.report.Publishers {
		r.report.PublisherSettings[name] = r.seen.publisher(name)
	}
	for _, path := range r.report.Streams {
		r.report.StreamSettings[path.String()] = r.seen.stream(path)
	}
	slices.Sort(r.report.Publishers)
	slices.SortFunc(r.report.Streams, func(a, b media.StreamPath) int { return cmp.Compare(a.String(), b.String()) })
	return nil
}
