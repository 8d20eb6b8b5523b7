package archiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// copyClip gives a clip copies of its media, wherever it is: its source is about to go.
func (j *job) copyClip(ctx context.Context) error {
	start := time.Now()
	row := j.claim.Recording
	if row.Local {
		switch err := j.local.OwnMedia(ctx, j.path, j.id); {
		case err == nil:
		case errors.Is(err, media.ErrNotFound) && row.State == media.Archived:
			if err := attached(j.local); err != nil {
				return err
			}
		default:
			return err
		}
	}
	if row.State == media.Archived {
		targets, err := j.targets()
		if err != nil {
			return err
		}
		for _, t := range targets {
			if err := t.copyArchived(ctx); err != nil {
				return t.failed(err)
			}
		}
	}
	row.LastError = ""
	j.clip = clipDone{row: row, own: true}
	j.logger.Info("clip has its own media", "source", row.ClipOf, "dur", time.Since(start))
	return nil
}

// copyArchived does it in the archive: media, sample tables, index, playlists, and then the manifest, which makes them
// count.
func (t *target) copyArchived(ctx context.Context) error {
	rec, err := reclog.Load(ctx, t.objects, t.path, t.id)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	if rec.Source == "" {
		return t.removeReferring(ctx)
	}
	if len(rec.Damage) > 0 {
		return fmt.Errorf("archive: %w", rec.Damage[0])
	}
	own, copies := rec.Owned()
	uploads, err := t.noted(ctx)
	if err != nil {
		return err
	}
	for _, c := range copies {
		f := file{key: c.To, uploads: uploads[c.To], media: true}
		if err := t.put(ctx, f, newPieces(ctx, t.objects, c), c.Total(), false); err != nil {
			return err
		}
	}
	if err := t.storeSamples(ctx, own, uploads, t.clipSamples(rec)); err != nil {
		return err
	}
	if err := t.storeTexts(ctx, own); err != nil {
		return err
	}
	return t.removeReferring(ctx)
}

// removeReferring removes the indexes of the time when the clip had no media of its own.
func (t *target) removeReferring(ctx context.Context) error {
	_, err := t.deleteObjects(ctx, reclog.SourceIndexSuffix)
	return err
}

const (
	// pieceSize is what is read of a source at once, and pieceCount how many of these are kept: an upload's parts are read
	// side by side, and each twice in a row, for its checksum and for sending.
	pieceSize  = 2 << 20
	pieceCount = 8
)

// pieces reads a clip's file out of its source's object: the init section and one range behind it. What is read lately
// is kept, in bounded memory.
type pieces struct {
	copy reclog.Copy
	// open reads a range of the source under the context of the copying, which io.ReaderAt has no place for.
	open func(offset, size int64) (io.ReadCloser, error)

	mu struct {
		sync.Mutex
		recent []*piece // the latest last
	}
}

// piece is the bytes from a multiple of pieceSize on.
type piece struct {
	at   int64
	once sync.Once
	data []byte
	err  error
}

func newPieces(ctx context.Context, from reclog.Files, c reclog.Copy) *pieces {
	return &pieces{copy: c, open: func(offset, size int64) (io.ReadCloser, error) {
		return from.OpenRange(ctx, c.From, offset, size)
	}}
}

// ReadAt reads of the clip's file.
func (p *pieces) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		at := off + int64(n)
		if at >= p.copy.Total() {
			return n, io.EOF
		}
		data, err := p.piece(at - at%pieceSize)
		if err != nil {
			return n, err
		}
		n += copy(b[n:], data[at%pieceSize:])
	}
	return n, nil
}

func (p *pieces) piece(at int64) ([]byte, error) {
	p.mu.Lock()
	i := slices.IndexFunc(p.mu.recent, func(c *piece) bool { return c.at == at })
	var c *piece
	if i >= 0 {
		c = p.mu.recent[i]
		p.mu.recent = slices.Delete(p.mu.recent, i, i+1)
	} else {
		c = &piece{at: at}
		if len(p.mu.recent) >= pieceCount {
			p.mu.recent = slices.Delete(p.mu.recent, 0, 1)
		}
	}
	p.mu.recent = append(p.mu.recent, c)
	p.mu.Unlock()
	c.once.Do(func() { c.data, c.err = p.read(at, min(pieceSize, p.copy.Total()-at)) })
	if c.err != nil { // not to be met again
		p.mu.Lock()
		p.mu.recent = slices.DeleteFunc(p.mu.recent, func(other *piece) bool { return other == c })
		p.mu.Unlock()
	}
	return c.data, c.err
}

// read reads size bytes of the clip's file.
func (p *pieces) read(at, size int64) ([]byte, error) {
	data := make([]byte, 0, size)
	for size > 0 {
		offset, length := at, min(size, p.copy.Init-at)
		if at >= p.copy.Init {
			offset, length = at-p.copy.Init+p.copy.Offset, size
		}
		in, err := p.open(offset, length)
		if err != nil {
			return nil, err
		}
		from := len(data)
		data = data[:from+int(length)]
		_, err = io.ReadFull(in, data[from:])
		if err := errors.Join(err, in.Close()); err != nil {
			return nil, fmt.Errorf("read %s: %w", p.copy.From, err)
		}
		at, size = at+length, size-length
	}
	return data, nil
}
