package reclog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Unfinished lists the recordings whose manifest says live or interrupted, for the start of a process, and ends the
// removals that a crash cut short. A recording whose manifest can't be read is logged and passed over: one bad file
// must not keep the others from being recovered. With a shared root those that other processes write are among them: a
// lease tells. It reads the manifest of every recording that is on storage; Growing is for one stream.
func (r *Root) Unfinished(ctx context.Context) ([]Ref, error) {
	var refs []Ref
	err := r.each(ctx, func(ref Ref) {
		data, err := readFile(r.fsys, filepath.Join(r.refDir(ref), manifestFile), MaxManifest)
		if missing(err) {
			if err := r.endRemoval(ref); err != nil {
				r.logger.Error("end removal", "recording", ref.String(), "err", err)
			}
			return
		}
		var m *Manifest
		if err == nil {
			m, err = parseManifestOf(data, ref)
		}
		if err != nil {
			r.logger.Error("read manifest", "recording", ref.String(), "err", err)
			return
		}
		if m.State.Growing() {
			refs = append(refs, ref)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list unfinished recordings: %w", err)
	}
	return refs, nil
}

// each calls fn for every directory that has the name of a recording.
func (r *Root) each(ctx context.Context, fn func(Ref)) error {
	publishers, err := r.list()
	if err != nil {
		return err
	}
	for _, publisher := range publishers {
		if media.CheckPublisherName(publisher) != nil {
			continue
		}
		streams, err := r.list(publisher)
		if missing(err) {
			continue // a link that leads to no directory
		}
		if err != nil {
			return err
		}
		for _, stream := range streams {
			path := media.StreamPath{Publisher: publisher, Stream: stream}
			if media.CheckStreamName(stream) != nil {
				continue
			}
			ids, err := r.ids(path)
			if errors.Is(err, media.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			for _, id := range ids {
				if err := ctx.Err(); err != nil {
					return err
				}
				fn(Ref{Path: path, ID: id})
			}
		}
	}
	return nil
}

// Remove deletes a recording. Its manifest goes first, by one rename, so that no one finds half a recording; a removal
// that a crash cuts short is ended by the next Remove or Unfinished. media.ErrNotFound.
func (r *Root) Remove(ctx context.Context, path media.StreamPath, id media.RecordingID) error {
	ref := Ref{Path: path, ID: id}
	err := errors.Join(ctx.Err(), checkRef(path, id))
	if err == nil {
		err = r.remove(ref)
	}
	if err != nil {
		return fmt.Errorf("remove recording %s: %w", ref, err)
	}
	return nil
}

func (r *Root) remove(ref Ref) error {
	release, err := r.claim(ref)
	if err != nil {
		return err
	}
	defer release()
	dir := r.refDir(ref)
	err = r.fsys.Rename(filepath.Join(dir, manifestFile), filepath.Join(dir, removedFile))
	if err == nil {
		err = syncDir(r.fsys, dir)
	} else if missing(err) {
		if _, rerr := r.fsys.ReadDir(dir); rerr != nil {
			return notFound(rerr)
		}
		err = nil // a removal cut short, or a creation
	}
	if err != nil {
		return err
	}
	return r.removeFiles(ref)
}

// endRemoval removes what is left of a recording that was being removed. A directory without manifest that no one
// began to remove is left alone: its media may be all there is.
func (r *Root) endRemoval(ref Ref) error {
	f, err := r.fsys.OpenFile(filepath.Join(r.refDir(ref), removedFile), os.O_RDONLY, 0)
	if missing(err) {
		if r.shared && !r.abandoned(ref) {
			return nil // another process may be about to make it
		}
		if r.fsys.Remove(r.refDir(ref)) != nil { // empty is what the last step of a removal leaves
			r.logger.Warn("directory without manifest", "recording", ref.String())
		}
		return nil
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return err
	}
	return r.removeFiles(ref)
}

// abandonedAfter is how old the directory of a recording without manifest must be for it to be nobody's: more than any
// creation takes, and than clocks differ.
const abandonedAfter = time.Hour

func (r *Root) abandoned(ref Ref) bool {
	f, err := openDirectory(r.fsys, r.refDir(ref))
	if err != nil {
		return false
	}
	info, err := f.Stat()
	return errors.Join(err, f.Close()) == nil && time.Since(info.ModTime()) > abandonedAfter
}

// removeFiles removes the directory, the mark of the removal last.
func (r *Root) removeFiles(ref Ref) error {
	dir := r.refDir(ref)
	r.idle.forget(dir + string(filepath.Separator))
	entries, err := r.fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == removedFile {
			continue
		}
		if err := removeAll(r.fsys, filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	if err := syncDir(r.fsys, dir); err != nil {
		return err
	}
	if err := removeAll(r.fsys, dir); err != nil {
		return err
	}
	return syncDir(r.fsys, filepath.Dir(dir))
}
