package hls

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/flate"
)

// gzipLevel is where playlists stop getting smaller by more than a few percent for twice the work.
const gzipLevel = 3

// gzipHeader is that of a member without name and time (RFC 1952 2.3); emptyBlock ends a stream of deflate blocks.
const (
	gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
	emptyBlock = "\x03\x00"
)

// Compressor keeps deflate's work space, some hundred kilobytes, for the next text. Its zero value is ready.
type Compressor struct {
	pool sync.Pool
}

// deflate appends a text's blocks, which refer to nothing before them. They end at a byte: what follows may be other
// blocks, unless final.
func (c *Compressor) deflate(dst, text []byte, final bool) []byte {
	out := bytes.NewBuffer(dst)
	w, ok := c.pool.Get().(*flate.Writer)
	if ok {
		w.Reset(out)
	} else {
		var err error
		if w, err = flate.NewWriter(out, gzipLevel); err != nil {
			panic("BUG: deflate level: " + err.Error())
		}
	}
	_, err := w.Write(text)
	if err == nil && final {
		err = w.Close()
	} else if err == nil {
		err = w.Flush()
	}
	if err != nil {
		panic("BUG: deflate to memory: " + err.Error())
	}
	c.pool.Put(w)
	return out.Bytes()
}

// digest names a text.
type digest [sha256.Size]byte

// piece is a run of a playlist's text.
type piece struct {
	text []byte
	// sum and pack are those of text that many versions have in common; a piece without pack is one version's own. Pack
	// gives the text's deflate blocks and its CRC-32.
	sum  digest
	pack func(c *Compressor) ([]byte, uint32)
}

// pieces is a playlist being written: what is appended to text stands behind all that was added before.
type pieces struct {
	list []piece
	text []byte
}

// add puts a piece that versions share behind the text.
func (p *pieces) add(shared piece) {
	p.flush()
	p.list = append(p.list, shared)
}

func (p *pieces) flush() {
	if n := len(p.text); n > 0 {
		p.list = append(p.list, piece{text: p.text[:n:n]})
		p.text = p.text[n:]
	}
}

// Body is one version of a playlist as it goes out: its text, and its compressed form once somebody asked for it. Both
// are in chunks, most of which other versions share. It is safe for concurrent use and never changes.
type Body struct {
	// ETag is strong and follows from the text alone, so that all nodes give the same (HTTP-21). GzipETag is that of
	// the compressed form.
	ETag     string
	GzipETag string

	pieces     []piece
	plain      [][]byte
	compressor *Compressor
	once       sync.Once
	packed     [][]byte
}

// NewBody makes a body of the text, which it keeps.
func NewBody(plain []byte, c *Compressor) *Body {
	return newBody([]piece{{text: plain}}, c)
}

func newBody(list []piece, c *Compressor) *Body {
	b := &Body{pieces: list, plain: make([][]byte, 0, len(list)), compressor: c}
	hash := sha256.New()
	var head [9]byte
	for i := range list {
		p := &list[i]
		b.plain = append(b.plain, p.text)
		text := p.text
		if p.pack != nil {
			head[0], text = 1, p.sum[:]
		} else {
			head[0] = 0
		}
		binary.BigEndian.PutUint64(head[1:], uint64(len(p.text)))
		hash.Write(head[:])
		hash.Write(text)
	}
	tag := hex.EncodeToString(hash.Sum(nil)[:12])
	b.ETag, b.GzipETag = `"`+tag+`"`, `"`+tag+`-gz"`
	return b
}

// Plain gives the text, in chunks that the caller does not change.
func (b *Body) Plain() [][]byte { return b.plain }

// Gzip gives the compressed text, in chunks that the caller does not change: one gzip member, since browsers stop after
// the first. The first call compresses, others wait for it (HTTP-6).
func (b *Body) Gzip() [][]byte {
	b.once.Do(b.pack)
	return b.packed
}

func (b *Body) pack() {
	own := 0
	for i := range b.pieces {
		if b.pieces[i].pack == nil {
			own += len(b.pieces[i].text)
		}
	}
	var crc, size uint32
	out := append(make([]byte, 0, own/4+256), gzipHeader...)
	start := 0
	for i := range b.pieces {
		p := &b.pieces[i]
		var sum uint32
		if p.pack == nil {
			sum = crc32.ChecksumIEEE(p.text)
			out = b.compressor.deflate(out, p.text, i == len(b.pieces)-1)
		} else {
			var packed []byte
			packed, sum = p.pack(b.compressor)
			b.packed = append(b.packed, out[start:len(out):len(out)], packed)
			start = len(out)
		}
		crc = joinCRC(crc, sum, len(p.text))
		size += uint32(len(p.text)) // modulo 2^32, as RFC 1952 has it
	}
	if n := len(b.pieces); n == 0 || b.pieces[n-1].pack != nil {
		out = append(out, emptyBlock...)
	}
	out = binary.LittleEndian.AppendUint32(out, crc)
	out = binary.LittleEndian.AppendUint32(out, size)
	b.packed = append(b.packed, out[start:])
}
