package hls

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// gzipLevel is where playlists stop getting smaller by more than a few percent for twice the work.
const gzipLevel = 3

// Compressor keeps gzip's work space, some hundred kilobytes, for the next body. Its zero value is ready.
type Compressor struct {
	pool sync.Pool
}

// Body is one version of a playlist as it goes out: its text, and its compressed form once somebody asked for it. It is
// safe for concurrent use and never changes.
type Body struct {
	Plain []byte
	// ETag is strong and follows from the text alone, so that all nodes give the same (HTTP-21). GzipETag is that of
	// the compressed form.
	ETag     string
	GzipETag string

	compressor *Compressor
	once       sync.Once
	packed     []byte
}

// NewBody makes a body of the text, which it keeps.
func NewBody(plain []byte, c *Compressor) *Body {
	sum := sha256.Sum256(plain)
	tag := hex.EncodeToString(sum[:12])
	return &Body{Plain: plain, ETag: `"` + tag + `"`, GzipETag: `"` + tag + `-gz"`, compressor: c}
}

// Gzip gives the compressed text. The first call compresses, others wait for it (HTTP-6).
func (b *Body) Gzip() []byte {
	b.once.Do(func() { b.packed = b.compressor.gzip(b.Plain) })
	return b.packed
}

func (c *Compressor) gzip(plain []byte) []byte {
	var out bytes.Buffer
	out.Grow(len(plain)/6 + 256)
	w, ok := c.pool.Get().(*gzip.Writer)
	if ok {
		w.Reset(&out)
	} else {
		var err error
		if w, err = gzip.NewWriterLevel(&out, gzipLevel); err != nil {
			panic("BUG: gzip level: " + err.Error())
		}
	}
	_, err := w.Write(plain)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic("BUG: gzip to memory: " + err.Error())
	}
	c.pool.Put(w)
	return out.Bytes()
}
