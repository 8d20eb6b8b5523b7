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
}

// tag is one line.
type tag struct {
	text  []byte
	group int
	piece int // index of the metadata that it is of
	// seen is where the live edge was when the cache got to know it: not before it was there.
	seen time.Time
}

// group is what the tags of one id say together.
type group struct {
	id    string
	start time.Time
	end   time.Time // zero if no tag has said
	seen  time.Time // of the tag that said the end
}

// over says that a group has ended before a time.
func (g *group) over(at time.Time) bool { return !g.end.IsZero() && g.end.Before(at) }

// growLocked folds the metadata that is new. Edge is where the recording's live edge is.
func (t *tags) growLocked(s *Snapshot, edge time.Time) {
	for ; t.pieces < len(s.Metadata); t.pieces++ {
		r, ok := t.fold.add(&s.Metadata[t.pieces])
		if !ok {
			continue
		}
		i, known := t.byID[r.id]
		if !known {
			if t.byID == nil {
				t.byID = make(map[string]int)
			}
			i = len(t.groups)
			t.byID[r.id] = i
			t.groups = append(t.groups, group{id: r.id, start: r.start})
		}
		if g := &t.groups[i]; g.end.IsZero() && !r.end.IsZero() {
			g.end, g.seen = r.end, edge
		}
		t.all = append(t.all, tag{text: r.text, group: i, piece: t.pieces, seen: edge})
	}
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
			dst = append(dst, t.all[i].text...)
		}
	}
	return dst
}

// tagSet is what one playlist lists of the tags: those of ranges that are not over when its window begins. It is
// guarded by tags.mu.
type tagSet struct {
	chunks []*tagChunk
	dead   int // chunks at the begin of which nothing is left
	// What was listed last, of so many tags, from that time on.
	count int
	from  time.Time
	list  []piece
	rest  []byte
	// groups are those that may be told of as removed, new those from which on groups were not looked at.
	groups []int
	next   int
}

// tagChunk is what is listed of chunkEntries tags.
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
	if n == set.count && from.Equal(set.from) {
		return set.list, set.rest
	}
	full := n / chunkEntries
	list := make([]piece, 0, full-min(set.dead, full)+1)
	for k := set.dead; k < full; k++ {
		if k == len(set.chunks) {
			set.chunks = append(set.chunks, &tagChunk{})
		}
		c := set.chunks[k]
		t.fillLocked(c, t.all[k*chunkEntries:(k+1)*chunkEntries], from)
		switch {
		case c.alive != 0:
			list = append(list, c.piece)
		case k == set.dead:
			set.dead++
		}
	}
	var rest []byte
	for i := full * chunkEntries; i < n; i++ {
		if !t.groups[t.all[i].group].over(from) {
			rest = append(rest, t.all[i].text...)
		}
	}
	set.count, set.from, set.list, set.rest = n, from, list, rest
	return list, rest
}

// fillLocked makes the chunk's piece anew if other tags are listed than before.
func (t *tags) fillLocked(c *tagChunk, all []tag, from time.Time) {
	var alive uint32
	for i := range all {
		if !t.groups[all[i].group].over(from) {
			alive |= 1 << i
		}
	}
	if alive == c.alive {
		return
	}
	var text []byte
	for i := range all {
		if alive&(1<<i) != 0 {
			text = append(text, all[i].text...)
		}
	}
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
func (t *tags) recent(set *tagSet, s *Snapshot, edge time.Time, at span) (text []byte, removed []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.growLocked(s, edge)
	n := t.countLocked(s)
	for i := sort.Search(n, func(i int) bool { return !t.all[i].seen.Before(at.boundary) }); i < n; i++ {
		if !t.groups[t.all[i].group].over(at.from) {
			text = append(text, t.all[i].text...)
		}
	}
	if at.from.IsZero() {
		return text, nil
	}
	for ; set.next < len(t.groups); set.next++ {
		set.groups = append(set.groups, set.next)
	}
	set.groups = slices.DeleteFunc(set.groups, func(i int) bool {
		g := &t.groups[i]
		return g.over(at.before) && g.seen.Before(at.boundary)
	})
	for _, i := range set.groups {
		if g := &t.groups[i]; g.over(at.from) {
			removed = append(removed, g.id)
		}
	}
	return text, removed
}
