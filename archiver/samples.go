package archiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/progressive"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// sampling writes the sample table of a recording's track in one of its takes, both by their places.
type sampling func(ctx context.Context, w io.Writer, take, track int) error

// localSamples finds them in the cluster's copy.
func (t *target) localSamples(rec *reclog.Recording) sampling {
	return func(ctx context.Context, w io.Writer, take, track int) error {
		number := rec.Takes[take].Number
		name := rec.TrackName(number, rec.Tracks[track].Name)
		return progressive.WriteSamples(ctx, w, t.local.Files(), name, number, rec.Tracks[track].Segments)
	}
}

// clipSamples finds those of a clip in the table that the archive has of its source, else in the archive's media.
func (t *target) clipSamples(clip *reclog.Recording) sampling {
	return func(ctx context.Context, w io.Writer, take, track int) error {
		number, name, segments := clip.Takes[take].Number, clip.Tracks[track].Name, clip.Tracks[track].Segments
		data, err := t.objects.ReadFile(ctx, progressive.SamplesName(t.path, clip.MediaID(), number, name))
		if err == nil {
			var table *progressive.Table
			if table, err = progressive.ParseTable(data); err == nil && table.Fits(number, segments) {
				_, err := w.Write(table.Of(number, segments).Object())
				return err
			}
			t.logger.Warn("sample table of the clip's source not usable", "take", number, "track", name, "err", err)
			err = nil
		}
		if err != nil && !errors.Is(err, media.ErrNotFound) {
			return err
		}
		return progressive.WriteSamples(ctx, w, t.objects, clip.TrackName(number, name), number, segments)
	}
}

// storeSamples puts the sample table of each track's file, so that a download from the archive finds its samples
// without a look at the media. One that the archive has is left: it follows from the track file alone. A file whose
// samples do not read is archived without: playing it needs no table.
func (t *target) storeSamples(
	ctx context.Context, rec *reclog.Recording, uploads map[string][]string, samples sampling,
) error {
	for at, take := range rec.Takes {
		for i, track := range take.Tracks {
			key := progressive.SamplesName(t.path, t.id, take.Number, track.Name)
			_, err := t.objects.Stat(ctx, key)
			if err == nil {
				continue
			}
			if !errors.Is(err, media.ErrNotFound) {
				return err
			}
			err = t.storeTable(ctx, file{key: key, uploads: uploads[key]}, func(w io.Writer) error {
				return samples(ctx, w, at, i)
			})
			if errors.Is(err, errNoTable) {
				t.logger.Warn("no sample table for downloads", "take", take.Number, "track", track.Name, "err", err)
				continue
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// errNoTable: a file's samples do not read, or there is no room for their table.
var errNoTable = errors.New("no sample table")

// storeTable puts what write writes, by way of a temporary file: a day's table is as large as all else that archiving
// needs of memory.
func (t *target) storeTable(ctx context.Context, f file, write func(io.Writer) error) (err error) {
	temporary, err := os.CreateTemp("", "oxbow-samples-*")
	if err != nil {
		return fmt.Errorf("%w: %w", errNoTable, err)
	}
	spool := &spool{File: temporary}
	defer func() { err = errors.Join(err, spool.Close(), os.Remove(spool.Name())) }()
	if err := write(spool); err != nil {
		if errors.Is(err, media.ErrCorrupt) || errors.Is(err, media.ErrTooLarge) || spool.failed {
			err = fmt.Errorf("%w: %w", errNoTable, err)
		}
		return err
	}
	size, err := spool.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	t.progress.expect(size)
	return t.put(ctx, f, spool, size, false)
}

// spool is a temporary file, which knows whether writing it failed.
type spool struct {
	*os.File
	failed bool
}

func (s *spool) Write(p []byte) (int, error) {
	n, err := s.File.Write(p)
	s.failed = s.failed || err != nil
	return n, err
}
