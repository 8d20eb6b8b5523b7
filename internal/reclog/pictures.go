package reclog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// The pictures in a recording's directory, which no manifest names.
const (
	ThumbnailFile = "thumbnail.jpg"
	// SpritesFile says in WebVTT which sprite sheet has the picture of which time. It is written last of all pictures.
	SpritesFile = "thumbnails.vtt"

	spritePrefix  = "sprite-"
	pictureSuffix = ".jpg"
)

// MaxPicture is the most bytes of a picture file, and MaxSprites the most sprite sheets.
const (
	MaxPicture = 8 << 20
	MaxSprites = 99
)

// SpriteFile names the n-th sprite sheet, from 1.
func SpriteFile(n int) string { return spritePrefix + strconv.Itoa(n) + pictureSuffix }

// IsPicture says that a file in a recording's directory is one of its pictures.
func IsPicture(file string) bool {
	if file == ThumbnailFile || file == SpritesFile {
		return true
	}
	digits, ok := strings.CutPrefix(strings.TrimSuffix(file, pictureSuffix), spritePrefix)
	n, err := strconv.Atoi(digits)
	return ok && err == nil && n >= 1 && n <= MaxSprites && file == SpriteFile(n)
}

// PictureName is the name of one of a recording's pictures in Files.
func PictureName(path media.StreamPath, id media.RecordingID, file string) string {
	return dirName(path, id) + "/" + file
}

// ReplacePicture writes a picture: readers meet the old one or the new one, whole. Processes that write the same one at
// the same time make no harm: the last has its way. Media.ErrGone when the recording is being removed, and
// media.ErrConflict when it is archived: then the pictures are what the archive has.
func (r *Root) ReplacePicture(
	ctx context.Context, path media.StreamPath, id media.RecordingID, file string, data []byte,
) error {
	ref := Ref{Path: path, ID: id}
	err := errors.Join(ctx.Err(), checkRef(path, id))
	switch {
	case err != nil:
	case !IsPicture(file):
		err = fmt.Errorf("%w: picture %.80q", media.ErrBadName, file)
	case len(data) > MaxPicture:
		err = fmt.Errorf("%w: %d bytes, at most %d are kept", media.ErrTooLarge, len(data), MaxPicture)
	default:
		dir := r.refDir(ref)
		err = replaceFile(r.fsys, filepath.Join(dir, file), newWriterName(), data, func() error { return r.pictured(ref) })
		if missing(err) {
			err = fmt.Errorf("%w: %w", media.ErrGone, err)
		}
	}
	if err != nil {
		return fmt.Errorf("write %s of recording %s: %w", file, ref, err)
	}
	return nil
}

// pictured says that a recording may get pictures.
func (r *Root) pictured(ref Ref) error {
	m, err := r.manifest(ref)
	switch {
	case errors.Is(err, media.ErrNotFound):
		return fmt.Errorf("%w: %w", media.ErrGone, err)
	case err == nil && m.State == media.Archived:
		return fmt.Errorf("%w: it is archived", media.ErrConflict)
	}
	return err
}

func (r *Root) manifest(ref Ref) (*Manifest, error) {
	data, err := readFile(r.fsys, filepath.Join(r.refDir(ref), manifestFile), MaxManifest)
	if err != nil {
		return nil, notFound(err)
	}
	return parseManifestOf(data, ref)
}

// Pictures lists the pictures that a recording has, as Files names them: media.ErrNotFound if there is no recording.
func (r *Root) Pictures(ctx context.Context, path media.StreamPath, id media.RecordingID) ([]string, error) {
	err := errors.Join(ctx.Err(), checkRef(path, id))
	var entries []os.DirEntry
	if err == nil {
		entries, err = r.fsys.ReadDir(r.refDir(Ref{Path: path, ID: id}))
	}
	if err != nil {
		return nil, fmt.Errorf("list pictures of recording %s/%s: %w", path, id, notFound(err))
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && IsPicture(e.Name()) {
			names = append(names, PictureName(path, id, e.Name()))
		}
	}
	return names, nil
}

// PictureTime is when a picture was written, by the storage's clock: media.ErrNotFound if it was not.
func (r *Root) PictureTime(path media.StreamPath, id media.RecordingID, file string) (time.Time, error) {
	if err := checkRef(path, id); err != nil || !IsPicture(file) {
		return time.Time{}, errors.Join(err, media.ErrBadName)
	}
	f, err := r.fsys.OpenFile(filepath.Join(r.refDir(Ref{Path: path, ID: id}), file), os.O_RDONLY, 0)
	if err != nil {
		return time.Time{}, notFound(err)
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// PictureTrack gives the video track that pictures of the given width are made of: the narrowest that is as wide, else
// the widest; false if there is no video.
func PictureTrack(tracks []media.Track, width int) (index int, ok bool) {
	best := -1
	for i, tr := range tracks {
		if tr.Kind != media.Video {
			continue
		}
		switch {
		case best < 0:
			best = i
		case tracks[best].Width < width && tr.Width > tracks[best].Width,
			tr.Width >= width && tr.Width < tracks[best].Width:
			best = i
		}
	}
	return max(best, 0), best >= 0
}

// Still is one random access point of a recording: where it lies in Files.
type Still struct {
	Take  int
	Track media.Track
	// Offset and Size are of its part in the track's file, up to the end of its first sample.
	Offset int64
	Size   int64
}

// indexTail is what is read of the end of an index: some lines at least.
const indexTail = 8 * MaxLine

// NewestStill gives the newest random access point of the track that pictures of that width are made of. It reads the
// manifest and the end of an index, whatever the recording's length. Media.ErrNotFound if there is none.
func (r *Root) NewestStill(
	ctx context.Context, path media.StreamPath, id media.RecordingID, width int,
) (Still, error) {
	still, err := r.newestStill(ctx, Ref{Path: path, ID: id}, width)
	if err != nil {
		return Still{}, fmt.Errorf("newest picture of recording %s/%s: %w", path, id, err)
	}
	return still, nil
}

func (r *Root) newestStill(ctx context.Context, ref Ref, width int) (Still, error) {
	if err := errors.Join(ctx.Err(), checkRef(ref.Path, ref.ID)); err != nil {
		return Still{}, err
	}
	m, err := r.manifest(ref)
	if err != nil {
		return Still{}, err
	}
	for i := len(m.Takes) - 1; i >= max(0, len(m.Takes)-2); i-- {
		take := &m.Takes[i]
		at, ok := PictureTrack(take.Tracks, width)
		if !ok {
			break
		}
		still, ok, err := r.lastStill(ctx, ref, take.Number, take.Tracks[at])
		if ok || err != nil {
			return still, err
		}
	}
	return Still{}, fmt.Errorf("%w: no random access point yet", media.ErrNotFound)
}

// lastStill looks through the last lines of an index.
func (r *Root) lastStill(ctx context.Context, ref Ref, take int, track media.Track) (Still, bool, error) {
	in, err := r.Open(ctx, IndexName(ref.Path, ref.ID, take, track.Name))
	if errors.Is(err, media.ErrNotFound) {
		return Still{}, false, nil
	}
	if err != nil {
		return Still{}, false, err
	}
	data := make([]byte, min(in.Size(), indexTail))
	_, err = in.ReadAt(data, in.Size()-int64(len(data)))
	if err = errors.Join(err, in.Close()); err != nil && len(data) > 0 {
		return Still{}, false, err
	}
	lines := bytes.Split(data, []byte{'\n'})
	// The last is empty, or torn; the first may be the end of one, and does not parse then.
	for i := len(lines) - 2; i >= 0; i-- {
		var seg media.Segment
		if parseLine(lines[i], &seg) != nil || len(seg.IFrames) == 0 {
			continue
		}
		f := seg.IFrames[len(seg.IFrames)-1]
		return Still{Take: take, Track: track, Offset: seg.Offset + int64(f.Offset), Size: int64(f.Size)}, true, nil
	}
	return Still{}, false, nil
}
