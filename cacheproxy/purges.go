package cacheproxy

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// maxPurges bounds what is remembered of purges.
const maxPurges = 65536

// Purges remembers what was purged, and when by this machine's clock, for those who keep bytes where they can't be
// looked through: what they got by then is not to be used. The zero value is empty. Safe for concurrent use.
type Purges struct {
	any   atomic.Bool
	mu    sync.RWMutex
	at    map[string]time.Time // by "publisher", "publisher/stream" or "publisher/stream/recording"
	floor time.Time            // of everything, when there were too many
}

// scopeOf names what is purged.
func scopeOf(publisher, stream string, id media.RecordingID) string {
	switch {
	case stream == "":
		return publisher
	case id == "":
		return publisher + "/" + stream
	}
	return publisher + "/" + stream + "/" + string(id)
}

// note says whether a purge is news.
func (p *Purges) note(scope string, at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !at.After(p.at[scope]) {
		return false
	}
	if p.at == nil {
		p.at = make(map[string]time.Time)
	}
	if _, known := p.at[scope]; !known && len(p.at) >= maxPurges {
		for _, old := range p.at { // rather too much is forgotten
			p.floor = latest(p.floor, old)
		}
		clear(p.at)
	}
	p.at[scope] = at
	p.any.Store(true)
	return true
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// Since gives when something was last purged that an object is of, by its path: publisher/stream/recording/..., with
// or without a slash in front. Zero is never.
func (p *Purges) Since(path string) time.Time {
	if !p.any.Load() {
		return time.Time{}
	}
	path = strings.TrimPrefix(path, "/")
	p.mu.RLock()
	defer p.mu.RUnlock()
	newest := p.floor
	for end, elements := 0, 0; elements < 3 && end < len(path); elements++ {
		next := strings.IndexByte(path[end:], '/')
		if next < 0 {
			next = len(path) - end
		}
		end += next
		newest = latest(newest, p.at[path[:end]])
		end++
	}
	return newest
}

// covers says whether a scope is of a path, which begins with a slash, or of a group.
func covers(scope, path string) bool {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(path, "/"), scope)
	return ok && (rest == "" || rest[0] == '/')
}
