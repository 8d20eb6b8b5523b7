package hls

import (
	"crypto/sha256"
	"hash/crc32"
	"slices"
	"sort"
	"sync"
	"time"
)

// tags are the EXT-X-DATERANGEs of a recording, each made once, in the order in which its metadata came. They only
// grow.
type tags struct {
	mu     sync.Mutex
	fold   dateRanges
	pieces int // of the snapshot's metadata that are folded
	all    []tag
	groups []group
	byID   map[string]int
	text   chunks
	// until is, for each chunk of the text, when the first of its ranges ends that has an end.
	until []time.Time
	// ended are the groups whose end is known, by end; told those of them that were open before, as they became known.
	ended, told []int
	ends        int       // how often an end became known or was put off
	late        int       // how often it was put off
	edge        time.Time // the furthest that a live edge was
}

// tag is one line: text from start to end.
type tag struct {
	start, end int
	group      int
	piece      int // index of the metadata that it is of
	// seen is where the live edge was when the cache got to know it: not before it was there, nor before those ahead.
	seen time.Time
}

// group is what the tags of one id say together.
type group struct {
	id    string
	start time.Time
	end   time.Time // zero if no tag has said
	seen  time.Time // of the tag that said the end
	tags  []int
}

// over says that a group has ended before a time.
func (g *group) over(at time.Time) bool { return !g.end.IsZero() && g.end.Before(at) }

// growLocked folds the metadata that is new. Edge is where the live edge of some playlist of the recording is: others
// may be ahead of it by a segment.
func (t *tags) growLocked(s *Snapshot, edge time.Time) {
	if t.edge.Before(edge) {
		t.edge = edge
	}
	if t.byID == nil {
		t.byID = make(map[string]int)
		t.text.mark()
	}
	for ; t.pieces < len(s.Metadata); t.pieces++ {
		for _, r := range t.fold.add(&s.Metadata[t.pieces]) {
			t.addLocked(&r)
		}
	}
}

// addLocked takes a tag of the piece that is being folded, or what became known of a range's end.
func (t *tags) addLocked(r *dateRange) {
	i, known := t.byID[r.id]
	if !known {
		i = len(t.groups)
		t.byID[r.id] = i
		t.groups = append(t.groups, group{id: r.id, start: r.start})
	}
	g := &t.groups[i]
	if r.end.After(g.end) { // the end that was planned may be put off
		if !g.end.IsZero() {
			at := slices.Index(t.ended, i)
			t.ended = slices.Delete(t.ended, at, at+1)
			t.late++
		} else if known {
			t.told = append(t.told, i)
		}
		g.end, g.seen = r.end, t.edge
		t.ends++
		t.ended = slices.Insert(t.ended, t.endingLocked(r.end.Add(1)), i)
		for _, told := range g.tags {
			t.endLocked(told/chunkEntries, g.end)
		}
	}
	if len(r.text) == 0 {
		return
	}
	if !g.end.IsZero() {
		t.endLocked(len(t.all)/chunkEntries, g.end)
	}
	g.tags = append(g.tags, len(t.all))
	start := len(t.text.text)
	t.text.text = append(t.text.text, r.text...)
	t.all = append(t.all, tag{start: start, end: len(t.text.text), group: i, piece: t.pieces, seen: t.edge})
	if len(t.all)%chunkEntries == 0 {
		t.text.mark()
	}
}

// endingLocked gives the place of the first group that ends at a time or later.
func (t *tags) endingLocked(at time.Time) int {
	return sort.Search(len(t.ended), func(i int) bool { return !t.groups[t.ended[i]].end.Before(at) })
}

// endLocked notes that a range with a tag in a chunk ends.
func (t *tags) endLocked(chunk int, end time.Time) {
	for len(t.until) <= chunk {
		t.until = append(t.until, time.Time{})
	}
	if u := &t.until[chunk]; u.IsZero() || end.Before(*u) {
		*u = end
	}
}

// wholeLocked says that all ranges of a chunk reach past a time.
func (t *tags) wholeLocked(chunk int, from time.Time) bool {
	return chunk >= len(t.until) || t.until[chunk].IsZero() || !t.until[chunk].Before(from)
}

// appendLocked writes tags i to j, without those of ranges that are over.
func (t *tags) appendLocked(dst []byte, i, j int, from time.Time) []byte {
	for ; i < j; i++ {
		if !t.groups[t.all[i].group].over(from) {
			dst = append(dst, t.text.slice(t.all[i].start, t.all[i].end)...)
		}
	}
	return dst
}

// countLocked gives how many tags a snapshot's metadata makes.
func (t *tags) countLocked(s *Snapshot) int {
	return sort.Search(len(t.all), func(i int) bool { return t.all[i].piece >= len(s.Metadata) })
}

// clip writes the tags of the ranges that reach into a span of time; one without an end is open.
func (t *tags) clip(dst []byte, s *Snapshot, edge, from, to time.Time) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.growLocked(s, edge)
	for i := range t.all[:t.countLocked(s)] {
		g := &t.groups[t.all[i].group]
		if !g.over(from) && (to.IsZero() || g.start.Before(to)) {
			dst = append(dst, t.text.slice(t.all[i].start, t.all[i].end)...)
		}
	}
	return dst
}

// tagSet is what one playlist lists of the tags: those of ranges that are not over when its window begins. It is
// guarded by tags.mu.
type tagSet struct {
	chunks []tagChunk
	dead   int // chunks at the begin of which nothing is left
	late   int // of tags when dead was counted
	// What was listed last, of so many tags and known ends, from that time on.
	count int
	ends  int
	from  time.Time
	list  []piece
	rest  []byte
}

// tagChunk is what is left of a chunk some of whose ranges are over.
type tagChunk struct {
	alive uint32 // a bit for each tag
	piece piece
}

// block gives the tags of a full playlist that begins at a time, zero for all: pieces that versions share, and text
// behind them.
func (t *tags) block(set *tagSet, s *Snapshot, edge, from time.Time) ([]piece, []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.growLocked(s, edge)
	n := t.countLocked(s)
	if n == set.count && t.ends == set.ends && from.Equal(set.from) {
		return set.list, set.rest
	}
	if t.late != set.late {
		set.dead, set.late = 0, t.late // a range whose end was put off is there again, with all its tags
	}
	full := n / chunkEntries
	for len(set.chunks) < full {
		set.chunks = append(set.chunks, tagChunk{})
	}
	var list []piece
	for k := set.dead; k < full; {
		whole := k
		for whole < full && t.wholeLocked(whole, from) {
			whole++
		}
		if whole > k {
			list = append(list, t.runLocked(k, whole))
			k = whole
			continue
		}
		c := &set.chunks[k]
		t.fillLocked(c, k, from)
		switch {
		case c.alive != 0:
			list = append(list, c.piece)
		case k == set.dead:
			set.dead++
		}
		k++
	}
	set.count, set.ends, set.from, set.list = n, t.ends, from, list
	set.rest = t.appendLocked(nil, full*chunkEntries, n, from)
	return set.list, set.rest
}

// runLocked gives the chunks from a to b.
func (t *tags) runLocked(a, b int) piece {
	t.text.sum(b)
	text := t.text.slice(t.text.bounds[a].text, t.text.bounds[b].text)
	return piece{text: text, sum: t.text.bounds[b].sum, pack: func(c *Compressor) ([]byte, uint32) {
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.text.pack(c, a, b, text)
	}}
}

// fillLocked makes the piece of chunk k anew if more ranges are over than before.
func (t *tags) fillLocked(c *tagChunk, k int, from time.Time) {
	var alive uint32
	for i := range chunkEntries {
		if !t.groups[t.all[k*chunkEntries+i].group].over(from) {
			alive |= 1 << i
		}
	}
	if alive == c.alive {
		return
	}
	text := t.appendLocked(nil, k*chunkEntries, (k+1)*chunkEntries, from)
	c.alive = alive
	c.piece = piece{text: text, sum: sha256.Sum256(text), pack: packOnce(text)}
}

// packOnce compresses a text for the first who asks.
func packOnce(text []byte) func(*Compressor) ([]byte, uint32) {
	var once sync.Once
	var packed []byte
	var crc uint32
	return func(c *Compressor) ([]byte, uint32) {
		once.Do(func() { packed, crc = c.deflate(nil, text, false), crc32.ChecksumIEEE(text) })
		return packed, crc
	}
}

// span is what a delta update goes by: the begin of the window now, and when the live edge was at the skip boundary.
type span struct {
	boundary     time.Time
	from, before time.Time // zero in playlists that lose nothing
}

// recent gives the tags that came within the skip boundary, and the ids of the ranges that left the playlist within it
// (DLT-7).
func (t *tags) recent(s *Snapshot, edge time.Time, at span) (text []byte, removed []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.growLocked(s, edge)
	n := t.countLocked(s)
	start := sort.Search(n, func(i int) bool { return !t.all[i].seen.Before(at.boundary) })
	text = t.appendLocked(nil, start, n, at.from)
	if at.from.IsZero() {
		return text, nil
	}
	for _, i := range t.ended[t.endingLocked(at.before):t.endingLocked(at.from)] {
		removed = append(removed, t.groups[i].id)
	}
	for k := len(t.told) - 1; k >= 0; k-- {
		g := &t.groups[t.told[k]]
		if g.seen.Before(at.boundary) {
			break
		}
		if g.end.Before(at.before) { // its end was told when the window had left it behind
			removed = append(removed, g.id)
		}
	}
	return text, removed
}
