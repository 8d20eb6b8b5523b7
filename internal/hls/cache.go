package hls

import (
	"sync"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Cache holds what the playlists of one recording have in common from version to version: the text of entries and date
// ranges, and its compressed form. It is safe for concurrent use. A nil one keeps nothing.
type Cache struct {
	compressor *Compressor

	mu struct {
		sync.Mutex
		lists map[Playlist]*list
	}
	tags tags
}

// list is the part of the cache that belongs to one playlist.
type list struct {
	lines *lines
	tags  tagSet
}

// NewCache makes an empty cache for one recording. Many may share a compressor.
func NewCache(c *Compressor) *Cache {
	cache := &Cache{compressor: c}
	cache.mu.lists = make(map[Playlist]*list)
	return cache
}

func orNew(c *Cache) *Cache {
	if c == nil {
		return NewCache(&Compressor{})
	}
	return c
}

// list gives a playlist's part. Clips, of which viewers may ask for any number, share that of the whole recording.
func (c *Cache) list(s *Snapshot, p Playlist) *list {
	p = Playlist{Rendition: p.Rendition, Kind: p.Kind, Form: p.Form}
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.mu.lists[p]
	if !ok {
		l = &list{lines: newLines(s.Renditions[p.Rendition].Name, p.Kind, p.Form)}
		c.mu.lists[p] = l
	}
	return l
}

// sight is one version of a playlist: what it lists is the entries from first on.
type sight struct {
	list  *list
	rend  *Rendition
	view  view
	first int
}

// look finds what a version of a playlist lists.
func (c *Cache) look(s *Snapshot, p Playlist) sight {
	at := sight{list: c.list(s, p), rend: &s.Renditions[p.Rendition]}
	at.view = at.list.lines.view(s, at.rend)
	at.first = s.first(p, &at.view)
	if at.view.start(at.first) < at.view.cut {
		// A version so old that the cache has forgotten its begin.
		at.list = &list{lines: newLines(at.rend.Name, p.Kind, p.Form)}
		at.view = at.list.lines.view(s, at.rend)
	}
	if p.Kind == Sliding {
		at.list.lines.forget(at.first)
	}
	return at
}

// Last gives the media sequence number of the last entry that a playlist of a growing recording lists. Those of I-frame
// playlists count random access points.
func (s *Snapshot) Last(p Playlist, c *Cache) media.MSN {
	if p.Form != IFrames {
		return s.Renditions[p.Rendition].Last()
	}
	v := orNew(c).list(s, p).lines.view(s, &s.Renditions[p.Rendition])
	return media.MSN(len(v.marks))
}
