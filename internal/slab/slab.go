// Package slab gives memory for bodies that many share: pieces of buffers that are filled once, never changed below
// what is filled, and free when nobody holds a piece of them any more.
//
// Flow of a buffer:
//
//	Get      small ones are ordinary memory; others a run of pages of the arena's one memory file, mapped once
//	fill     by its maker alone; then read by anybody who holds a Piece, and sent from the file by who asks File
//	free     when the collector finds the Buffer unreachable, which is when no Piece of it is left
//	idle     a run that File never named keeps its pages, for the next buffer of its size
//	punch    any other loses its pages, and its place in the file may be anybody's
//
// The bytes cost the collector nothing: it sees one small object per buffer. In turn it does not see that memory fills
// up; so the arena has it run when what is in use has grown by an eighth since the last time.
//
// Invariants:
//
//  1. Bytes that a Piece shows never change while its Buffer is reachable.
//  2. Pages that the kernel may still have to send (File was called) are never written again: a hole is punched where
//     they were, so that they leave the file as they are, and whoever gets the place gets other pages.
//  3. No page of a buffer is missing: they are all there before Get gives it, or it gives ordinary memory. A full
//     machine shows as heap fallbacks, not as a signal when somebody writes.
//  4. In use and idle together stay within an eighth of what is alive, or of what was when the last collection ended;
//     but collections take a fifth of the time at the most, unless a quarter more than that is in use, and 16 MiB.
//  5. Where there are no memory files, or no permission for them, everything is ordinary memory.
//
// What users owe: hold the Piece, or its Buffer, for as long as Data is read, with runtime.KeepAlive behind the last
// read if nothing else does; and give Data to nothing that reads it after it returned.
package slab

import (
	"runtime"
	"slices"
)

// Buffer is a run of memory.
type Buffer struct {
	bytes  []byte
	memory *memory // nil of ordinary memory
	place  *place
}

// Heap gives a buffer of ordinary memory, of at least size bytes.
func Heap(size int) *Buffer {
	b := slices.Grow([]byte(nil), size) // rounded up to what the allocator takes anyhow
	return &Buffer{bytes: b[:cap(b)]}
}

// Bytes is all of the buffer. It is the caller's to see that nobody uses it once the buffer is not reachable.
func (b *Buffer) Bytes() []byte { return b.bytes }

// File gives the descriptor of the memory file in which the buffer lies, and where; not ok is a buffer that lies in
// none. The descriptor is good as long as the buffer is held. Call it only to send from the file: it makes freeing the
// buffer dearer.
func (b *Buffer) File() (fd int, offset int64, ok bool) {
	if b.memory == nil {
		return 0, 0, false
	}
	b.place.exposed.Store(true)
	return b.memory.file.fd, int64(b.place.at) * pageBytes, true
}

// Mapped says whether the buffer lies in a memory file.
func (b *Buffer) Mapped() bool { return b != nil && b.memory != nil }

// Piece is a run of a buffer's bytes. Who reads Data holds the piece as long, for it keeps the buffer alive. Of
// ordinary memory Buffer may be nil.
type Piece struct {
	Buffer *Buffer
	Data   []byte
}

// Of makes a piece of ordinary memory.
func Of(data []byte) Piece { return Piece{Data: data} }

// Weight is the memory that the piece keeps alive, if it is the only one of its buffer.
func (p Piece) Weight() int64 {
	const records = 256 // a mapped buffer's own, and the collector's note of it
	switch {
	case p.Buffer.Mapped():
		return int64(len(p.Buffer.bytes)) + records
	case p.Buffer != nil:
		return int64(len(p.Buffer.bytes))
	}
	return int64(cap(p.Data))
}

// Concat gives the pieces' bytes as one slice of ordinary memory; of one piece that is such it is that piece's.
func Concat(pieces []Piece) []byte {
	if len(pieces) == 1 && !pieces[0].Buffer.Mapped() {
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
	runtime.KeepAlive(pieces)
	return all
}
