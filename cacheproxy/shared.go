package cacheproxy

import (
	"errors"
	"io"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// Bodies of archived media are shared: their bytes lie in blocks that another cache keeps, and are passed on by
// reference. What is kept of such an object is its head, and where its bytes were. A hit looks whether they still are.

// pieceBody is a body that may come by reference.
type pieceBody interface {
	// NextPiece gives the next piece and how to find it again, or errBytes if the next bytes are ordinary ones.
	NextPiece() (slab.Piece, slab.Weak, error)
}

// NextPiece implements pieceBody.
func (g *guarded) NextPiece() (slab.Piece, slab.Weak, error) {
	body, ok := g.ReadCloser.(pieceBody)
	if !ok {
		return slab.Piece{}, slab.Weak{}, errBytes
	}
	g.timer.Reset(g.stall)
	p, again, err := body.NextPiece()
	g.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errBytes) {
		if cause := g.cause(); cause != nil {
			err = cause
		}
	}
	return p, again, err
}

// pourAny is pour, but takes a body that comes by reference so. It then gives where the body's bytes are kept, if all
// of them are.
func pourAny(f *flight, body io.Reader, length, limit int64, shown bool) ([]slab.Weak, error) {
	pieces, ok := body.(pieceBody)
	if !ok {
		return nil, pour(f, body, length, limit, shown)
	}
	piece, again, err := pieces.NextPiece()
	if errors.Is(err, errBytes) {
		return nil, pour(f, body, length, limit, shown)
	}
	var shared []slab.Weak
	kept, size := true, int64(0)
	for {
		if errors.Is(err, errBytes) {
			piece, again, err = copied(f, body)
		}
		n := int64(len(piece.Data))
		switch {
		case errors.Is(err, io.EOF) && length >= 0 && size < length:
			return nil, io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF):
			if !kept {
				shared = nil
			}
			return shared, nil
		case err != nil:
			return nil, err
		case size+n > limit:
			return nil, media.ErrTooLarge
		case length >= 0 && size+n > length:
			return nil, errBadAnswer
		}
		if n > 0 {
			size += n
			kept = kept && !again.IsZero()
			for at := 0; at < len(piece.Data); at += maxChunk { // as much as a viewer has a deadline for
				to := min(at+maxChunk, len(piece.Data))
				part := slab.Piece{Buffer: piece.Buffer, Data: piece.Data[at:to:to]}
				f.give(part, again.Part(at, to), &shared, shown)
			}
		}
		if size == length {
			if !kept {
				shared = nil
			}
			return shared, nil
		}
		piece, again, err = pieces.NextPiece()
	}
}

// copied reads ordinary bytes among pieces.
func copied(f *flight, body io.Reader) (slab.Piece, slab.Weak, error) {
	b := f.arena.Get(firstChunk)
	n, err := body.Read(b.Bytes())
	if n > 0 {
		err = nil // the next reading tells
	}
	return slab.Piece{Buffer: b, Data: b.Bytes()[:n]}, slab.Weak{}, err
}

// give makes a piece that others have too part of the body, and notes in shared where it lies. Pieces that lie one
// behind the other in one buffer become one: a block comes in as many as the store's bytes did.
func (f *flight) give(p slab.Piece, again slab.Weak, shared *[]slab.Weak, shown bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := len(f.mu.chunks) - 1
	joined, ok := slab.Weak{}, false
	if n := len(*shared); n > 0 && n == last+1 && p.Buffer != nil && f.mu.chunks[last].Buffer == p.Buffer {
		joined, ok = (*shared)[n-1].Join(again)
		ok = ok && joined.Len() <= maxChunk
	}
	if ok {
		(*shared)[last] = joined
		f.mu.chunks[last] = joined.In(p.Buffer)
	} else {
		*shared = append(*shared, again)
		f.mu.chunks = append(f.mu.chunks, p)
	}
	f.mu.lent = len(f.mu.chunks)
	first := f.mu.size == f.mu.shown
	f.mu.size += int64(len(p.Data))
	if shown && first {
		f.gatherLocked()
	}
}

// chunks reads a body for one viewer: by reference where it comes so, else into a buffer.
type chunks struct {
	body io.Reader
	rest slab.Piece
	buf  []byte
}

// next gives what follows, until the next call.
func (c *chunks) next() (slab.Piece, error) {
	if body, ok := c.body.(pieceBody); ok {
		var err error
		if len(c.rest.Data) == 0 {
			c.rest, _, err = body.NextPiece()
		}
		if !errors.Is(err, errBytes) {
			p := c.rest
			p.Data = p.Data[:min(len(p.Data), maxChunk)]
			c.rest.Data = c.rest.Data[len(p.Data):]
			return p, err
		}
	}
	if c.buf == nil {
		c.buf = make([]byte, passChunk)
	}
	n, err := c.body.Read(c.buf)
	return slab.Of(c.buf[:n]), err
}

// kept gives what the cache keeps of an object: of one whose bytes others keep, all but those.
func (o *object) kept() *object {
	if o.shared == nil {
		return o
	}
	k := *o
	k.chunks = nil
	return &k
}

// found gives the object with its bytes, or nil if who kept them does not any more.
func (o *object) found() *object {
	if o == nil || o.shared == nil || o.chunks != nil {
		return o
	}
	chunks := make([]slab.Piece, len(o.shared))
	for i, again := range o.shared {
		p, ok := again.Piece()
		if !ok {
			return nil
		}
		chunks[i] = p
	}
	whole := *o
	whole.chunks = chunks
	return &whole
}
