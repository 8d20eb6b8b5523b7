package hls

import (
	"crypto/sha256"
	"hash/crc32"
	"slices"
)

// chunkEntries is how many entries of a playlist make a chunk. More would compress a little better; but what is in no
// chunk yet is compressed anew for each version, and so is the rest of a chunk where a sliding playlist begins.
const chunkEntries = 32

// chunks is append-only text, cut into chunks of chunkEntries entries, counted from the recording's first: so each node
// makes the same ones. A run of chunks is one slice of text, of deflate blocks, and its sums come from those of
// its ends: it costs the same however long it is.
type chunks struct {
	text []byte
	cut  int // what was dropped before text
	// bounds[k] is where chunk k begins.
	bounds []bound
	summed int // bounds whose sum is known, but the first
	// Of the chunks from packFrom on, packed holds the deflate blocks up to bound packTo.
	packed           []byte
	packFrom, packTo int
}

type bound struct {
	text   int
	packed int    // from packFrom's on
	crc    uint32 // of the text from packFrom's on
	sum    digest // of the one before and the text between them
}

// mark says that chunk number len(bounds) begins at the end of the text.
func (c *chunks) mark() { c.bounds = append(c.bounds, bound{text: c.cut + len(c.text)}) }

// slice gives the text between two offsets.
func (c *chunks) slice(from, to int) []byte { return c.text[from-c.cut : to-c.cut : to-c.cut] }

// sum works out the sums up to that of bound k.
func (c *chunks) sum(k int) {
	hash := sha256.New()
	for ; c.summed < k; c.summed++ {
		from, to := &c.bounds[c.summed], &c.bounds[c.summed+1]
		hash.Reset()
		hash.Write(from.sum[:])
		hash.Write(c.slice(from.text, to.text))
		hash.Sum(to.sum[:0])
	}
}

// pack gives the deflate blocks of chunks a to b, and the CRC-32 of their text.
func (c *chunks) pack(comp *Compressor, a, b int, text []byte) ([]byte, uint32) {
	if c.bounds[a].text < c.cut && (a < c.packFrom || c.packTo < b) {
		return c.packAnew(comp, a, b, text)
	}
	begin := 0 // clips that begin anywhere share the blocks of the whole
	if c.cut > 0 {
		begin = a
	}
	if c.packTo == 0 || begin < c.packFrom || c.packTo < begin {
		c.packed, c.packFrom, c.packTo = nil, begin, begin
		c.bounds[begin].packed, c.bounds[begin].crc = 0, 0
	}
	for ; c.packTo < b; c.packTo++ {
		from, to := &c.bounds[c.packTo], &c.bounds[c.packTo+1]
		chunk := c.slice(from.text, to.text)
		c.packed = comp.deflate(c.packed, chunk, false)
		to.packed = len(c.packed)
		to.crc = joinCRC(from.crc, crc32.ChecksumIEEE(chunk), len(chunk))
	}
	from, to := &c.bounds[a], &c.bounds[b]
	return c.packed[from.packed:to.packed:to.packed], cutCRC(to.crc, from.crc, to.text-from.text)
}

// packAnew is pack for a version whose text was dropped meanwhile.
func (c *chunks) packAnew(comp *Compressor, a, b int, text []byte) ([]byte, uint32) {
	var out []byte
	first := c.bounds[a].text
	for k := a; k < b; k++ {
		out = comp.deflate(out, text[c.bounds[k].text-first:c.bounds[k+1].text-first], false)
	}
	return out, crc32.ChecksumIEEE(text)
}

// drop forgets the text before chunk k, once that is most of it. Slices that were given out stay as they are.
func (c *chunks) drop(k int) {
	k = min(k, len(c.bounds)-1)
	if k < 0 || 2*(c.bounds[k].text-c.cut) < len(c.text)+chunkEntries*256 {
		return
	}
	c.sum(k)
	c.text = slices.Clone(c.text[c.bounds[k].text-c.cut:])
	c.cut = c.bounds[k].text
	if c.packFrom < k && k <= c.packTo {
		gone := c.bounds[k].packed
		c.packed = slices.Clone(c.packed[gone:])
		for i := k; i <= c.packTo; i++ {
			c.bounds[i].packed -= gone
		}
		c.packFrom = k
	}
}
