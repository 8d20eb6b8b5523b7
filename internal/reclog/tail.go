package reclog

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// maxTail is how far behind the last line of an index a reader looks, and maxTailSegments for how many segments:
	// lines are written a moment after their segment.
	maxTail         = 64 << 20
	maxTailSegments = 256
)

// tailFiles is a Files whose files may be read to where they end by now.
type tailFiles interface {
	OpenTail(ctx context.Context, name string, offset int64) (*Range, error)
}

// OpenTail opens a file from an offset to its end at this moment.
func (d dirFiles) OpenTail(ctx context.Context, name string, offset int64) (*Range, error) {
	return d.open(ctx, name, offset, -1)
}

// tail gives a track's lines and the segments behind them whose lines are still to be written, where the storage tells
// of its files' ends: a segment is finished if a part of the next follows. Its owner has announced it, and may be gone.
// Whatever is not as it should be ends the tail: what becomes of it recovery says.
func (rec *Recording) tail(
	ctx context.Context, files Files, take *media.Take, track int, lines []media.Segment,
) ([]media.Segment, error) {
	storage, ok := files.(tailFiles)
	if !ok {
		return lines, nil
	}
	tr := &take.Tracks[track]
	s := scanner{
		take: take.Number, timescale: tr.Timescale, video: tr.Kind == media.Video, below: MaxMSN + 1, expect: -1,
		after: SequenceNumber(take.FirstMSN, 0) - 1,
	}
	msn, from := take.FirstMSN-1, tr.InitSize
	if n := len(lines); n > 0 {
		last := &lines[n-1]
		msn, from, s.expect = last.MSN, max(from, last.Offset+last.Size), last.DTS+last.Duration
		s.after = SequenceNumber(msn+1, 0) - 1
	}
	in, err := storage.OpenTail(ctx, TrackName(rec.Path(), rec.ID, take.Number, tr.Name), from)
	switch {
	case errors.Is(err, media.ErrNotFound), errors.Is(err, io.ErrUnexpectedEOF):
		return lines, nil
	case err != nil:
		return nil, err
	}
	if err := errors.Join(s.follow(in, from), in.Close()); err != nil {
		return nil, err
	}
	lines = lines[:len(lines):len(lines)]
	for i := range s.out.segments {
		seg := &s.out.segments[i]
		seg.Date = dateOf(take, seg.DTS, tr.Timescale)
		if whole := checkSegment(seg) == nil && !seg.Gap && seg.MSN == msn+1; !whole {
			break
		}
		msn = seg.MSN
		lines = append(lines, *seg)
	}
	return lines, nil
}

// follow gathers the finished segments of a range that begins at an offset, as far as it has parts in order.
func (s *scanner) follow(in *Range, from int64) error {
	c := newCursor(in, min(in.Size(), maxTail))
	for pos := from; len(s.out.segments) < maxTailSegments; {
		fr, err := c.next()
		if err == nil {
			err = s.inOrder(fr.seq)
		}
		switch {
		case err == nil:
			s.add(fr, pos)
			pos += fr.size
		case errors.Is(err, errBox), errors.Is(err, errTorn):
			return nil
		default:
			return fmt.Errorf("read tail at %d: %w", pos, err)
		}
	}
	return nil
}
