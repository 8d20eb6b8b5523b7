package catalog

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// StreamsNamed gives those of the named streams that are there, with the settings in force, in no order: what a node
// asks again and again for all that is live on it, in one query for each few hundred.
func (db *DB) StreamsNamed(ctx context.Context, paths []media.StreamPath) ([]media.Stream, error) {
	const most = 400 // two arguments each, of the 999 that every SQLite takes
	var found []media.Stream
	for some := range slices.Chunk(paths, most) {
		var names []string
		var args []any
		for _, path := range some {
			n := len(args)
			names = append(names, `($`+strconv.Itoa(n+1)+`, $`+strconv.Itoa(n+2)+`)`)
			args = append(args, path.Publisher, path.Stream)
		}
		list, err := all(ctx, db.reads, scanStream,
			streamQuery+`WHERE (s.publisher, s.name) IN (VALUES `+strings.Join(names, ", ")+`)`, args...)
		if err != nil {
			return nil, db.failed("named streams", err)
		}
		found = append(found, list...)
	}
	return found, nil
}
