package reclog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Reopen recovers a recording and makes it writable: whoever wrote it before is fenced, torn tails are cut, index
// lines are rebuilt, all takes are sealed. Every part that AppendPart had accepted is in a segment of the result.
// Faults before a torn tail are logged and noted in Damage. A recording that a Writer of this process still writes is
// taken from it, and of several processes that reopen it at a time one gets it. media.ErrNotFound, media.ErrCorrupt,
// media.ErrConflict, media.ErrFenced.
func (r *Root) Reopen(
	ctx context.Context, path media.StreamPath, id media.RecordingID,
) (*Recording, *Writer, error) {
	return r.ReopenAs(ctx, path, id, 0)
}

// ReopenAs is Reopen under a lease's epoch, if that is not zero: media.ErrFenced says that the recording was written,
// or reopened, under a later one.
func (r *Root) ReopenAs(
	ctx context.Context, path media.StreamPath, id media.RecordingID, epoch uint64,
) (*Recording, *Writer, error) {
	ref := Ref{Path: path, ID: id}
	rec, w, err := r.reopen(ctx, ref, epoch)
	if err != nil {
		return nil, nil, fmt.Errorf("reopen recording %s: %w", ref, err)
	}
	return rec, w, nil
}

func (r *Root) reopen(ctx context.Context, ref Ref, epoch uint64) (*Recording, *Writer, error) {
	if err := checkRef(ref.Path, ref.ID); err != nil {
		return nil, nil, err
	}
	release, err := r.claim(ref)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	w, err := r.takeOver(ref, epoch)
	if err != nil {
		return nil, nil, err
	}
	rec, err := w.recover(ctx)
	if err != nil {
		if fenced := w.fenced(); lost(fenced) {
			err = errors.Join(fenced, err) // what went wrong was another's doing
		}
		return nil, nil, err
	}
	return rec, w, nil
}

// recover makes the recording whole.
func (w *Writer) recover(ctx context.Context) (*Recording, error) {
	m := w.Manifest()
	if m.Source != "" { // its media is another's to recover, and its indexes were whole before its manifest was there
		return load(ctx, w.root.Files(), w.ref.Path, w.ref.ID)
	}
	if err := w.tidy(&m); err != nil {
		return nil, err
	}
	var ends []int64
	var told metadataSum
	for i := range m.Takes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rc := recovery{w: w, m: &m, at: i, ends: ends}
		var err error
		if ends, err = rc.run(); err != nil {
			return nil, fmt.Errorf("take %d: %w", m.Takes[i].Number, err)
		}
		if err := rc.metadata(&told); err != nil {
			return nil, fmt.Errorf("take %d: %w", m.Takes[i].Number, err)
		}
		m.Takes[i].Sealed = true
	}
	if err := w.conclude(&m); err != nil {
		return nil, err
	}
	rec, err := load(ctx, w.root.Files(), w.ref.Path, w.ref.ID)
	if err != nil {
		return nil, err
	}
	if len(rec.Takes) > 0 {
		w.mu.tail, err = reopenedTail(w, rec)
		w.mu.told = told
	}
	return rec, err
}

// conclude writes the manifest that recovery came to.
func (w *Writer) conclude(m *Manifest) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.replaceLocked(func(on *Manifest) { on.Takes, on.Damage = m.Takes, m.Damage })
}

// tidy removes what a crash left of replaced files, and puts away the directories of takes that the manifest lacks.
func (w *Writer) tidy(m *Manifest) error {
	known := make(map[string]bool)
	for _, take := range m.Takes {
		known[strconv.Itoa(take.Number)] = true
	}
	entries, err := w.root.fsys.ReadDir(w.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(w.dir, e.Name())
		number, nerr := strconv.Atoi(e.Name())
		switch {
		case strings.HasSuffix(e.Name(), tmpSuffix): // a directory, too: of a take that was not begun
			err = removeAll(w.root.fsys, name)
		case e.IsDir() && known[e.Name()]:
			err = w.tidyTake(name)
		case e.IsDir() && nerr == nil && number > 0:
			err = w.putAway(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) tidyTake(dir string) error {
	entries, err := w.root.fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), tmpSuffix) {
			err = errors.Join(err, removeAll(w.root.fsys, filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// putAway removes the directory of a take that is in no manifest; one with media in it gets another name instead.
func (w *Writer) putAway(dir string) error {
	entries, err := w.root.fsys.ReadDir(dir)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := w.fenced(); err != nil {
		return err // the next owner's take may have this name
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if has, err := w.hasMedia(name); err != nil {
			return err
		} else if has {
			aside, err := w.spareName(dir + orphanSuffix)
			if err != nil {
				return err
			}
			w.logger.Warn("take that is in no manifest is kept aside", "dir", aside)
			return errors.Join(w.root.fsys.Rename(dir, aside), syncDir(w.root.fsys, w.dir))
		}
	}
	return errors.Join(removeAll(w.root.fsys, dir), syncDir(w.root.fsys, w.dir))
}

// hasMedia says whether a file may have more than an init section and an index without lines.
func (w *Writer) hasMedia(name string) (bool, error) {
	data, err := readFile(w.root.fsys, name, MaxInit)
	switch {
	case errors.Is(err, media.ErrTooLarge):
		return true, nil
	case missing(err): // not a file
		return false, nil
	case err != nil:
		return false, err
	}
	return strings.Contains(string(data), "moof") || (strings.HasSuffix(name, indexSuffix) && len(data) > 0), nil
}

// spareName finds a name that is not taken, the given one or that with a number.
func (w *Writer) spareName(name string) (string, error) {
	entries, err := w.root.fsys.ReadDir(filepath.Dir(name))
	if err != nil {
		return "", err
	}
	taken := make(map[string]bool, len(entries))
	for _, e := range entries {
		taken[e.Name()] = true
	}
	spare := name
	for i := 2; taken[filepath.Base(spare)]; i++ {
		spare = name + "-" + strconv.Itoa(i)
	}
	return spare, nil
}

// reopenedTail is the last take as a writer to which only gaps can be appended.
func reopenedTail(w *Writer, rec *Recording) (*TakeWriter, error) {
	take := rec.Takes[len(rec.Takes)-1]
	t := newTakeWriter(w, take, filepath.Join(w.dir, strconv.Itoa(take.Number)))
	t.mu.closed = true
	t.metadata.made = take.Metadata
	if take.Metadata {
		size, err := fileSize(w.root.fsys, t.metadataPath())
		if err != nil {
			return nil, err
		}
		t.metadata.file.end = size
	}
	for i, tr := range t.tracks {
		segments := rec.Tracks[i].Segments
		if n := len(segments); n > 0 {
			last := segments[n-1]
			tr.last, tr.written, tr.end = last.MSN, last.MSN, max(tr.end, last.Offset+last.Size)
		}
		tr.media.end = tr.end
		size, err := fileSize(w.root.fsys, filepath.Join(t.dir, tr.name+indexSuffix))
		if err != nil {
			return nil, err
		}
		tr.index.end, tr.size = size, size
	}
	return t, nil
}
