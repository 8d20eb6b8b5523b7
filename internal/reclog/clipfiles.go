package reclog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// copyBuffer is how much of a track file is in memory while it is copied.
const copyBuffer = 1 << 20

// WriteClip writes a clip that Cut made: indexes and metadata, and the manifest last. It may be repeated: one that is
// there is left as it is. media.ErrExists: the id is another recording's.
func (r *Root) WriteClip(ctx context.Context, rec *Recording) error {
	ref := Ref{Path: rec.Path(), ID: rec.ID}
	err := errors.Join(ctx.Err(), checkRef(ref.Path, ref.ID))
	if err == nil {
		err = r.writeClip(ref, rec)
	}
	if err != nil {
		return fmt.Errorf("write clip %s: %w", ref, err)
	}
	return nil
}

func (r *Root) writeClip(ref Ref, rec *Recording) error {
	release, err := r.claim(ref)
	if err != nil {
		return err
	}
	defer release()
	absent := func() error {
		_, err := r.clip(ref)
		if err == nil {
			return media.ErrExists
		}
		if errors.Is(err, media.ErrNotFound) {
			return nil
		}
		return err
	}
	switch on, err := r.clip(ref); {
	case err == nil && on.Clip != nil && rec.Clip != nil && *on.Clip == *rec.Clip:
		return nil
	case err == nil:
		return media.ErrExists
	case !errors.Is(err, media.ErrNotFound):
		return err
	}
	m := rec.clone()
	m.Writer = newWriterName()
	data, err := m.Encode()
	if err != nil {
		return err
	}
	if err := r.writeIndexes(ref, rec, m.Writer); err != nil {
		return err
	}
	return replaceFile(r.fsys, filepath.Join(r.refDir(ref), manifestFile), m.Writer, data, absent)
}

// clip reads the manifest that is there.
func (r *Root) clip(ref Ref) (*Manifest, error) {
	data, err := readFile(r.fsys, filepath.Join(r.refDir(ref), manifestFile), MaxManifest)
	if err != nil {
		return nil, notFound(err)
	}
	return parseManifestOf(data, ref)
}

// writeIndexes writes indexes and metadata, in the directories of the takes.
func (r *Root) writeIndexes(ref Ref, rec *Recording, writer string) error {
	for i := range rec.Takes {
		take := strconv.Itoa(rec.Takes[i].Number)
		if err := mkdirs(r.fsys, r.dir, ref.Path.Publisher, ref.Path.Stream, string(ref.ID), take); err != nil {
			return err
		}
	}
	files := rec.Indexes()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := replaceFile(r.fsys, r.path(name), writer, files[name], nil); err != nil {
			return err
		}
	}
	return nil
}

// OwnMedia gives a clip a copy of its media, which its source's files have until now, and makes the clip refer to that.
// Its segments stay the same throughout, byte for byte. It may be repeated, and be cut off at any point; a recording
// that has its media is left as it is. media.ErrNotFound: the clip or its source is not there.
func (r *Root) OwnMedia(ctx context.Context, path media.StreamPath, id media.RecordingID) error {
	ref := Ref{Path: path, ID: id}
	err := errors.Join(ctx.Err(), checkRef(path, id))
	if err == nil {
		err = r.ownMedia(ctx, ref)
	}
	if err != nil {
		return fmt.Errorf("copy the media of clip %s: %w", ref, err)
	}
	return nil
}

func (r *Root) ownMedia(ctx context.Context, ref Ref) error {
	release, err := r.claim(ref)
	if err != nil {
		return err
	}
	defer release()
	name := filepath.Join(r.refDir(ref), manifestFile)
	data, err := readFile(r.fsys, name, MaxManifest)
	if err != nil {
		return notFound(err)
	}
	rec, err := load(ctx, r.Files(), ref.Path, ref.ID)
	if err != nil {
		return err
	}
	if rec.Source == "" {
		return r.tidyClip(ref)
	}
	if len(rec.Damage) > 0 {
		return fmt.Errorf("its index: %w", rec.Damage[0])
	}
	own, copies := rec.Owned()
	own.Writer = newWriterName()
	for i := range copies {
		if err := r.copyMedia(ctx, &copies[i], own.Writer); err != nil {
			return err
		}
	}
	if err := r.writeIndexes(ref, own, own.Writer); err != nil {
		return err
	}
	manifest, err := own.Encode()
	if err != nil {
		return err
	}
	err = r.swapManifest(r.refDir(ref), own.Writer, manifest, func() error {
		if on, err := readFile(r.fsys, name, MaxManifest); err != nil || !bytes.Equal(on, data) {
			return errors.Join(fmt.Errorf("%w: %w", media.ErrConflict, errChanged), err)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return r.tidyClip(ref)
}

// copyMedia makes a clip's track file, under the writer's name until it is whole and synced.
func (r *Root) copyMedia(ctx context.Context, c *Copy, writer string) (err error) {
	if c.Total() > math.MaxInt64/2 {
		return fmt.Errorf("%s: %w", c.To, media.ErrTooLarge)
	}
	name := r.path(c.To)
	tmp := name + "." + writer + tmpSuffix
	f, err := r.fsys.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, filePerm)
	if err != nil {
		return err
	}
	var end int64
	buffer := make([]byte, copyBuffer)
	for _, part := range [][2]int64{{0, c.Init}, {c.Offset, c.Size}} {
		if err == nil {
			end, err = r.copyRange(ctx, f, end, c.From, part[0], part[1], buffer)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, removeAll(r.fsys, tmp))
	}
	if err := r.fsys.Rename(tmp, name); err != nil {
		return err
	}
	return syncDir(r.fsys, filepath.Dir(name))
}

// copyRange writes a range of a file at an offset of another, and gives where it ends there.
func (r *Root) copyRange(
	ctx context.Context, to file, at int64, from string, offset, size int64, buffer []byte,
) (end int64, err error) {
	in, err := r.Files().OpenRange(ctx, from, offset, size)
	if err != nil {
		return at, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	for left := size; left > 0; {
		if err := ctx.Err(); err != nil {
			return at, err
		}
		n, err := io.ReadFull(in, buffer[:min(left, int64(len(buffer)))])
		if err != nil {
			return at, err
		}
		if _, err := to.WriteAt(buffer[:n], at); err != nil {
			return at, err
		}
		at, left = at+int64(n), left-int64(n)
	}
	return at, nil
}

// tidyClip removes what is left of the time when a clip had no media of its own, and of copies that were cut off.
func (r *Root) tidyClip(ref Ref) error {
	takes, err := r.list(ref.Path.Publisher, ref.Path.Stream, string(ref.ID))
	if err != nil {
		return err
	}
	for _, take := range takes {
		dir := filepath.Join(r.refDir(ref), take)
		entries, err := r.fsys.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), SourceIndexSuffix) || strings.HasSuffix(e.Name(), tmpSuffix) {
				if err := removeAll(r.fsys, filepath.Join(dir, e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
