package cacheproxy

import (
	"runtime"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// copyBytes is what writeCopy gives the server at a time: four frames of the usual size.
const copyBytes = 64 << 10

// writeCopy writes a run of the piece by way of ordinary memory. Over HTTP/2 a Write that fails, since the stream was
// reset or its deadline passed, returns while the connection's own goroutine may still be writing its frame: out of
// memory that the collector doesn't know to be in use, and that is another object's by then. A copy that went through
// is used again; one that did not is left to the collector, which knows better than anybody who reads it yet.
func (w *writer) writeCopy(piece slab.Piece, start, end int64) error {
	buf, _ := w.copies.Get().(*[copyBytes]byte)
	if buf == nil {
		buf = new([copyBytes]byte)
	}
	for start < end {
		n := copy(buf[:], piece.Data[start:end])
		runtime.KeepAlive(piece.Buffer)
		w.deadline(w.timeout)
		sent, err := w.w.Write(buf[:n])
		w.sent += int64(sent)
		if err != nil {
			return err
		}
		start += int64(n)
	}
	w.copies.Put(buf)
	return nil
}
