package origin

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// version is one snapshot of a recording and the playlists rendered from it.
type version struct {
	snap *hls.Snapshot
	// plain and blocking are the Cache-Control of playlists that were asked for without and with _HLS_msn.
	plain    string
	blocking string

	mu struct {
		sync.Mutex
		bodies map[bodyKey]*lazyBody
		clips  []bodyKey // those of clips, oldest first
	}
}

// maxClips bounds the clips whose playlists a version keeps: of those there are as many as viewers think of.
const maxClips = 16

// bodyKey names a playlist of a version: of a rendition, or multivariant with rendition -1 and kind meaning whether it
// is the stream's (Sliding) or the recording's (Whole).
type bodyKey struct {
	rendition int
	kind      hls.Kind
	form      hls.Form
	skip      hls.Skip
	clip      hls.Clip // in the form that URLs have
}

type lazyBody struct {
	once   sync.Once
	body   *hls.Body
	packed sync.Once
}

func newVersion(snap *hls.Snapshot) *version {
	v := &version{snap: snap}
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
	if ok {
		return b
	}
	b = &lazyBody{}
	v.mu.bodies[key] = b
	if key.clip != (hls.Clip{}) {
		if len(v.mu.clips) == maxClips {
			delete(v.mu.bodies, v.mu.clips[0])
			v.mu.clips = slices.Delete(v.mu.clips, 0, 1)
		}
		v.mu.clips = append(v.mu.clips, key)
	}
	return b
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
