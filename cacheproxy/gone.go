package cacheproxy

import (
	"strings"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// maxTombstones bounds the deleted recordings that are remembered. Of those beyond it the directory knows.
const maxTombstones = 65536

// tombstones remembers recordings that were deleted: nothing of them is served, fetched for new viewers or kept.
type tombstones struct {
	mu    sync.Mutex
	until *rotating[media.RecordingID, time.Time]
}

func newTombstones() *tombstones {
	return &tombstones{until: newRotating[media.RecordingID, time.Time](maxTombstones, locateGoneTTL)}
}

// add says whether it is new.
func (t *tombstones) add(id media.RecordingID, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, ok := t.until.get(id, now)
	t.until.put(media.RecordingID(strings.Clone(string(id))), now.Add(locateGoneTTL), now)
	return !ok || !now.Before(until)
}

func (t *tombstones) has(id media.RecordingID, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, ok := t.until.get(id, now)
	return ok && now.Before(until)
}

// names says whether the path is of one of them.
func (t *tombstones) names(path string, now time.Time) bool {
	name := groupOf(path)
	return t.has(media.RecordingID(name[strings.LastIndexByte(name, '/')+1:]), now)
}

func (t *tombstones) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.until.len()
}

// streamGroup and recordingGroup are the names of what the cache holds of a stream's own URL and of a recording.
func streamGroup(path media.StreamPath) string { return "/" + path.String() }

func recordingGroup(path media.StreamPath, id media.RecordingID) string {
	return streamGroup(path) + "/" + string(id)
}

// bury makes a recording gone, at once: viewers get 410 from here on, but for bodies that are on their way.
func (p *Proxy) bury(path media.StreamPath, id media.RecordingID) {
	fresh := p.gone.add(id, time.Now())
	n := p.cache.drop(recordingGroup(path, id), false)
	p.dropDisk(recordingGroup(path, id))
	p.forgetStream(path)
	p.metrics.evictions.Add(float64(n))
	if fresh {
		p.logger.Info("recording is gone", "publisher", path.Publisher, "stream", path.Stream, "recording", id,
			"dropped", n)
	}
}

// forgetStream has the next request for the stream's own URL ask which recording that is.
func (p *Proxy) forgetStream(path media.StreamPath) {
	p.locator.forget(locationKey{path: path})
	p.metrics.evictions.Add(float64(p.cache.drop(streamGroup(path), false)))
}
