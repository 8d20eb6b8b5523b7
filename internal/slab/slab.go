// Package slab gives memory for bodies that many share: pieces of buffers that are filled once, never changed below
// what is filled, and free when nobody holds a piece of them any more.
package slab

import "slices"

// Arena gives buffers.
type Arena struct{}

// New makes an arena.
func New() *Arena { return &Arena{} }

// Get gives a buffer of at least size bytes, whose content is undefined.
func (a *Arena) Get(size int) *Buffer {
	b := slices.Grow([]byte(nil), size) // rounded up to what the allocator takes anyhow
	return &Buffer{bytes: b[:cap(b)]}
}

// Buffer is a run of memory.
type Buffer struct {
	bytes []byte
}

// Bytes is all of the buffer. It is the caller's to see that nobody uses it once the buffer is not reachable.
func (b *Buffer) Bytes() []byte { return b.bytes }

// File gives the descriptor of the memory file in which the buffer lies, and where; not ok is a buffer that lies in
// none.
func (b *Buffer) File() (fd int, offset int64, ok bool) { return 0, 0, false }

// Piece is a run of a buffer's bytes. Who reads Data holds the piece as long, for it keeps the buffer alive. Of
// ordinary memory Buffer is nil.
type Piece struct {
	Buffer *Buffer
	Data   []byte
}

// Of makes a piece of ordinary memory.
func Of(data []byte) Piece { return Piece{Data: data} }

// Weight is the memory that the piece keeps alive, if it is the only one of its buffer.
func (p Piece) Weight() int64 {
	if p.Buffer != nil {
		return int64(len(p.Buffer.bytes))
	}
	return int64(cap(p.Data))
}

// Concat gives the pieces' bytes as one slice; of one piece it is that piece's.
func Concat(pieces []Piece) []byte {
	if len(pieces) == 1 {
		return pieces[0].Data
	}
	n := 0
	for _, p := range pieces {
		n += len(p.Data)
	}
	all := make([]byte, 0, n)
	for _, p := range pieces {
		all = append(all, p.Data...)
	}
	return all
}
