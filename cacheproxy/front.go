package cacheproxy

import (
	"net/http"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
)

const (
	maxFronts   = 16384
	frontPeriod = 2 * time.Minute
	// frontHold is how long an upstream that fell behind is answered for with what another said before.
	frontHold = 30 * time.Second
)

// fronts remembers the newest version seen of each media playlist, so that the live edge never goes back (SEQ-9): not
// after a blocking answer that overtook the plain one in the cache, and not over a fail-over to a node that is behind.
type fronts struct {
	cache *cache

	mu    sync.Mutex
	lists *rotating[list, *front]
}

type front struct {
	version version
	seen    time.Time
	// full is the key of the newest full playlist, plain the last answer to a request without directives: it tells how
	// long such an answer may be used. It has no body.
	full  key
	plain *object
	// fullVersion is that of full: a delta update may have brought a newer one.
	fullVersion version
}

func newFronts(c *cache) *fronts {
	return &fronts{cache: c, lists: newRotating[list, *front](maxFronts, frontPeriod)}
}

// outdated says whether a newer version than the object was seen. Only requests without _HLS_msn ask: the others name
// the version that they want.
func (f *fronts) outdated(k key, o *object, now time.Time) bool {
	if !k.current() || o.kind != kindPlaylist || !o.version.known {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	fr, ok := f.lists.get(k.list, now)
	return ok && o.version.before(fr.version)
}

// ended says whether the newest version that was seen has ENDLIST.
func (f *fronts) ended(l list, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	fr, ok := f.lists.get(l, now)
	return ok && fr.version.ended
}

// settle notes a playlist that just came and gives what to answer with: the object itself, an unstored copy of it, or a
// newer playlist that another request brought.
func (f *fronts) settle(k key, o *object, now time.Time) *object {
	if o.kind != kindPlaylist || !o.version.known || o.status != http.StatusOK {
		return o
	}
	if k.clip.Ends() {
		return o // it never changes, and there are as many as viewers think of
	}
	if !k.current() && !o.version.covers(k.Directives) {
		// Never a stale version to a request for a newer one (HTTP-22): it does not stay.
		return o.unstored()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	fr, ok := f.lists.get(k.list, now)
	if !ok {
		fr = &front{}
		f.lists.put(k.list, fr, now)
	}
	if k.current() && k.Skip == hls.SkipNone {
		head := *o
		head.chunks = nil
		fr.plain = &head
	}
	if o.version.before(fr.version) {
		return f.behindLocked(fr, k, o, now)
	}
	newer := fr.version.before(o.version) || !fr.version.known
	fr.version, fr.seen = o.version, now
	if k.Skip != hls.SkipNone {
		return o
	}
	fuller := newer || fr.fullVersion.before(o.version)
	if fuller || fr.full.path == "" || k.current() {
		fr.full, fr.fullVersion = k, o.version
	}
	if fuller && !k.current() && fr.plain != nil {
		plain := k
		plain.Directives = hls.Directives{Part: noPart}
		if p := o.with(fr.plain); p.freshAt(now) {
			f.cache.put(plain, p, now)
			fr.full = plain
		}
	}
	return o
}

// behindLocked answers for an upstream whose playlist is older than what viewers have seen.
func (f *fronts) behindLocked(fr *front, k key, o *object, now time.Time) *object {
	if now.Sub(fr.seen) > frontHold {
		// It stays behind: numbering was lost, and an old playlist for ever would be worse.
		fr.version, fr.seen, fr.full, fr.fullVersion = o.version, now, key{}, version{}
		if k.Skip == hls.SkipNone {
			fr.full, fr.fullVersion = k, o.version
		}
		return o
	}
	if !k.current() {
		return o
	}
	if fr.full.path != "" { // also to who asks for a delta update: a full one is always an answer
		if full := f.cache.get(fr.full); full != nil && o.version.before(full.version) {
			return full.with(o)
		}
	}
	return o.unstored()
}
