package reclog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/oxbow-video/oxbow/internal/media"
)

// metadataWriter is a take's file of timed metadata. Most takes have none: it is made for the first piece.
type metadataWriter struct {
	// file is open while the take is; it keeps its end after that.
	file appendFile
	// made: the file is there, and the manifest of a sealed take says so.
	made bool
	// dirty: it has bytes that are not synced.
	dirty bool
}

// AppendMetadata appends a piece of timed metadata to the newest take, sealed or not, whatever its Take. Numbers
// ascend. The line is synced with the take's next segment under SyncSegment, at once under SyncPart and behind Seal. It
// may wait for the volume, so it is not for the live path. After an error the file is as it was before.
// media.ErrConflict: there is no take yet. media.ErrTooLarge: the recording has as much as it may have.
// media.ErrInvalid, media.ErrFenced, ErrBroken.
func (w *Writer) AppendMetadata(m media.Metadata) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.appendMetadataLocked(&m); err != nil {
		return fmt.Errorf("append metadata %d to %s: %w", m.Number, w.ref, err)
	}
	return nil
}

func (w *Writer) appendMetadataLocked(m *media.Metadata) error {
	t := w.mu.tail
	if t == nil {
		return fmt.Errorf("%w: no take", media.ErrConflict)
	}
	if err := checkMetadata(m); err != nil {
		return fmt.Errorf("%w: %w", media.ErrInvalid, err)
	}
	told := w.mu.told
	if err := told.admit(m); err != nil {
		return err
	}
	closed := t.isClosed()
	if closed || !t.metadata.made { // files that are opened by name may be another writer's
		if err := errors.Join(w.fenced(), w.assureLocked()); err != nil {
			return err
		}
	}
	if !t.metadata.made {
		if err := t.makeMetadataLocked(closed); err != nil {
			return err
		}
	}
	if err := t.writeMetadataLocked(appendMetadataLine(nil, m), closed); err != nil {
		return err
	}
	w.mu.told = told
	return nil
}

func (t *TakeWriter) metadataPath() string { return filepath.Join(t.dir, metadataFile) }

// makeMetadataLocked makes the file. A file that is there already counts for nothing: a sealed take's would be in the
// manifest.
func (t *TakeWriter) makeMetadataLocked(closed bool) error {
	if err := t.w.replace(t.metadataPath(), nil); err != nil {
		return err
	}
	if closed {
		err := t.w.replaceLocked(func(m *Manifest) {
			for i := range m.Takes {
				m.Takes[i].Metadata = m.Takes[i].Metadata || m.Takes[i].Number == t.take.Number
			}
		})
		if err != nil {
			return err
		}
	}
	t.metadata = metadataWriter{made: true}
	return nil
}

func (t *TakeWriter) writeMetadataLocked(line []byte, closed bool) (err error) {
	md := &t.metadata
	if md.file.f == nil {
		if md.file.f, err = t.w.root.fsys.OpenFile(t.metadataPath(), os.O_RDWR, 0); err != nil {
			md.file.f = nil
			return err
		}
		if err := t.w.fenced(); err != nil { // behind the opening, as an index's line
			t.synced(metadataFile, md.file.f.Close())
			md.file.f = nil
			return err
		}
	}
	policy := t.w.root.policy
	offset, err := md.file.append(line)
	if err == nil && (policy == SyncPart || closed && policy != SyncNever) {
		if err = md.file.f.Sync(); err != nil {
			err = errors.Join(err, md.file.undo(offset))
		}
	} else if err == nil {
		md.dirty = true
	}
	if closed {
		// The line is written, and synced if it is to be: what else a close may tell is in the log.
		t.synced(metadataFile, md.file.f.Close())
		md.file.f = nil
	}
	return err
}

// syncMetadata makes the lines last that came with a segment.
func (t *TakeWriter) syncMetadata() {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	if md := &t.metadata; md.dirty && md.file.f != nil {
		md.dirty = false
		t.synced(metadataFile, md.file.f.Sync())
	}
}

// closeMetadata syncs and closes the file at the take's end.
func (t *TakeWriter) closeMetadata() error {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	md := &t.metadata
	if md.file.f == nil {
		return nil
	}
	var err error
	if md.file.torn {
		err = md.file.cut()
	}
	err = errors.Join(err, md.file.f.Sync(), md.file.f.Close())
	md.file.f, md.dirty = nil, false
	return err
}

// loadMetadata reads a take's pieces, also while they are written: a torn line is passed over.
func (rec *Recording) loadMetadata(ctx context.Context, files Files, take *media.Take, told *metadataSum) error {
	if take.Sealed && !take.Metadata {
		return nil
	}
	data, err := files.ReadFile(ctx, MetadataName(rec.Path(), rec.ID, take.Number))
	switch {
	case errors.Is(err, media.ErrNotFound) && take.Metadata:
		rec.addDamage(Damage{File: metadataPath(take.Number), Reason: "missing"})
		return nil
	case errors.Is(err, media.ErrNotFound):
		return nil
	case err != nil:
		return err
	case len(data) > MaxMetadataFile:
		rec.addDamage(Damage{File: metadataPath(take.Number), Reason: fmt.Sprintf("%d bytes", len(data))})
		return nil
	}
	scan := parseMetadata(data, take.Number, told)
	rec.addDamage(scan.bad...)
	rec.Metadata = append(rec.Metadata, scan.pieces...)
	return nil
}

// metadata brings a take's pieces to their end. The file of a take that was not sealed is replaced even if it is good,
// so that a fenced writer's lines go to a file that nobody sees.
func (rc *recovery) metadata(told *metadataSum) error {
	take := rc.take()
	if take.Sealed && !take.Metadata {
		return nil
	}
	fsys, rel := rc.w.root.fsys, metadataPath(take.Number)
	name := filepath.Join(rc.w.dir, filepath.FromSlash(rel))
	data, err := readFile(fsys, name, MaxMetadataFile)
	if missing(err) || errors.Is(err, media.ErrTooLarge) {
		if take.Metadata || !missing(err) {
			rc.damage(Damage{File: rel, Reason: reasonOf(err)})
		}
		take.Metadata = false
		return nil
	}
	if err != nil {
		return err
	}
	scan := parseMetadata(data, take.Number, told)
	if len(scan.bad) > 0 {
		rc.damage(scan.bad...)
		if err := rc.keepAside(name, name+corruptSuffix, span{0, int64(len(data))}); err != nil {
			return err
		}
	}
	whole := take.Sealed && len(scan.text) == len(data) && !rc.anew()
	take.Metadata = take.Metadata || len(scan.pieces) > 0
	if whole || !take.Metadata {
		return nil
	}
	return rc.w.replace(name, scan.text)
}

func reasonOf(err error) string {
	if missing(err) {
		return "missing"
	}
	return err.Error()
}
