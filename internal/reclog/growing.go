package reclog

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/oxbow-video/oxbow/internal/media"
)

// maxGrowing is how many manifests Growing reads: the newest of a stream. Of an older recording nothing is continued.
const maxGrowing = 8

// Growing gives the recording of a stream that goes on: the newest whose manifest says live or interrupted, whoever
// writes it. floor is the latest epoch that the newest manifests tell of: a lease on the stream needs a later one. It
// reads few manifests, however many recordings there are; one that can't be read is logged and passed over.
// media.ErrNotFound: none goes on, and floor is right all the same.
func (r *Root) Growing(ctx context.Context, path media.StreamPath) (ref Ref, floor uint64, err error) {
	if err := checkPath(path); err != nil {
		return Ref{}, 0, fmt.Errorf("growing recording of %s: %w", path, err)
	}
	ids, err := r.ids(path)
	if err != nil {
		return Ref{}, 0, fmt.Errorf("growing recording of %s: %w", path, err)
	}
	read := 0
	for _, id := range slices.Backward(ids) {
		if err := ctx.Err(); err != nil {
			return Ref{}, 0, fmt.Errorf("growing recording of %s: %w", path, err)
		}
		ref := Ref{Path: path, ID: id}
		data, err := readFile(r.fsys, filepath.Join(r.refDir(ref), manifestFile), MaxManifest)
		if missing(err) {
			continue // being made, or removed
		}
		var m *Manifest
		if err == nil {
			m, err = parseManifestOf(data, ref)
		}
		if err != nil {
			r.logger.Error("read manifest", "recording", ref.String(), "err", err)
		} else if m.Clip != nil {
			continue // there may be any number of them, newer than the show that they are of
		} else {
			floor = max(floor, m.highestEpoch())
			if m.State.Growing() {
				return ref, floor, nil
			}
		}
		if read++; read == maxGrowing {
			break
		}
	}
	return Ref{}, floor, fmt.Errorf("growing recording of %s: %w", path, media.ErrNotFound)
}
