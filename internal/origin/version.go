package origin

import (
	"strconv"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// version is one snapshot of a recording and the playlists rendered from it.
type version struct {
	snap *hls.Snapshot
	// cache is the recording's.
	cache *hls.Cache
	// plain and blocking are the Cache-Control of playlists that were asked for without and with _HLS_msn.
	plain    string
	blocking string

	mu struct {
		sync.Mutex
		bodies map[bodyKey]*lazyBody
		// clips are those of bodies that are of clips, oldest first; clipBytes is what they take.
		clips     []bodyKey
		clipBytes int64
	}
}

// bodyKey names a playlist of a version: a media playlist, or multivariant with rendition -1 and kind meaning whether
// it is the stream's (Sliding) or the recording's (Whole).
type bodyKey struct {
	list hls.Playlist
	skip hls.Skip
}

type lazyBody struct {
	once   sync.Once
	body   *hls.Body
	size   int64 // of the text
	packed sync.Once
}

func (k *bodyKey) clip() bool { return k.list.From > 0 || k.list.To > 0 || k.list.Query != "" }

func newVersion(snap *hls.Snapshot, cache *hls.Cache) *version {
	v := &version{snap: snap, cache: cache}
	v.mu.bodies = make(map[bodyKey]*lazyBody)
	td := int(snap.Constants.TargetDuration / time.Second)
	switch {
	case snap.State.Growing() && snap.Constants.PartTarget > 0:
		v.plain = maxAge(min(1, td/2)) // HTTP-8, and so short that a player which does not block stays near
	case snap.State.Growing():
		v.plain = maxAge(td / 2)
	case snap.State == media.Archived:
		v.plain = maxAge(60) // it may be deleted
	default:
		v.plain = maxAge(10) // becomes VOD when archived
	}
	v.blocking = maxAge(6 * td) // HTTP-7
	return v
}

func maxAge(seconds int) string { return "public, max-age=" + strconv.Itoa(seconds) }

// cached gives the place of a body in the version.
func (v *version) cached(key bodyKey) *lazyBody {
	v.mu.Lock()
	defer v.mu.Unlock()
	b, ok := v.mu.bodies[key]
	if !ok {
		b = &lazyBody{}
		v.mu.bodies[key] = b
	}
	return b
}

// keepClip counts a clip's body. There are as many clips as viewers think of, so those that were rendered first go when
// they take more than the recording's own playlists.
func (v *version) keepClip(key bodyKey, size int64) {
	limit := int64(minClipBytes)
	for i := range v.snap.Renditions {
		limit += listedCost * int64(len(v.snap.Renditions[i].Segments))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.clips = append(v.mu.clips, key)
	v.mu.clipBytes += size
	for len(v.mu.clips) > 1 && v.mu.clipBytes > limit {
		oldest := v.mu.clips[0]
		v.mu.clips = v.mu.clips[1:]
		v.mu.clipBytes -= v.mu.bodies[oldest].size
		delete(v.mu.bodies, oldest)
	}
}

// rendition finds a track's by name.
func (v *version) rendition(track string) (int, bool) {
	for i := range v.snap.Renditions {
		if v.snap.Renditions[i].Name == track {
			return i, true
		}
	}
	return 0, false
}

// take finds a take by number.
func (v *version) take(number int) (*media.Take, bool) {
	for i := range v.snap.Takes {
		if v.snap.Takes[i].Number == number {
			return &v.snap.Takes[i], true
		}
	}
	return nil, false
}

// begun says that every rendition has a segment to list: players take an empty playlist for a broken one.
func (v *version) begun() bool {
	for i := range v.snap.Renditions {
		if len(v.snap.Renditions[i].Segments) == 0 {
			return false
		}
	}
	return len(v.snap.Renditions) > 0
}
