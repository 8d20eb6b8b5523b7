package slab

import "weak"

// PieceWriter takes pieces by reference, where an io.Writer's bytes would have to be copied.
type PieceWriter interface {
	// WritePiece takes a piece, and, from who keeps its bytes for others too, how to find them again. The piece is the
	// taker's to hold as long as it wants. A zero Weak is of bytes that nobody else keeps.
	WritePiece(p Piece, again Weak) error
}

// Keeper keeps buffers for as long as they are worth it.
type Keeper interface {
	// Used tells that bytes of a buffer were found again by a Weak. It must not wait.
	Used(b *Buffer)
}

// Weak names a run of a buffer that somebody else keeps, without keeping it.
type Weak struct {
	buffer   weak.Pointer[Buffer]
	from, to int
	keeper   Keeper
}

// MakeWeak names the bytes of a buffer from from to to. The keeper must not hold the buffer itself; nil is for none.
func MakeWeak(b *Buffer, from, to int, keeper Keeper) Weak {
	return Weak{buffer: weak.Make(b), from: from, to: to, keeper: keeper}
}

// IsZero says that it names nothing.
func (w Weak) IsZero() bool { return w.to == 0 }

// Piece gives the bytes, if they are still there.
func (w Weak) Piece() (Piece, bool) {
	b := w.buffer.Value()
	if b == nil {
		return Piece{}, false
	}
	if w.keeper != nil {
		w.keeper.Used(b)
	}
	return Piece{Buffer: b, Data: b.Bytes()[w.from:w.to:w.to]}, true
}

// Join gives a Weak of both runs if next lies right behind w in the same buffer.
func (w Weak) Join(next Weak) (Weak, bool) {
	if w.IsZero() || next.IsZero() || w.buffer != next.buffer || w.to != next.from {
		return Weak{}, false
	}
	w.to = next.to
	return w, true
}

// Part gives a Weak of the run's bytes from from to to. That of a zero one is zero.
func (w Weak) Part(from, to int) Weak {
	if w.IsZero() {
		return w
	}
	w.from, w.to = w.from+from, w.from+to
	return w
}

// Len is the number of the bytes.
func (w Weak) Len() int { return w.to - w.from }

// In gives the bytes in a buffer that the caller holds, and that the Weak was made of.
func (w Weak) In(b *Buffer) Piece {
	return Piece{Buffer: b, Data: b.Bytes()[w.from:w.to:w.to]}
}
