package packager

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// maxMemberHeld bounds the bytes of a member's frames that are kept for a change.
	maxMemberHeld = 16 << 20
	// lateLimit is how far behind the leading pictures a member's may be. Segments have ended without it by then.
	lateLimit = time.Second
	// refreshWait is how long a key frame is waited for before a recovery point does: intra refresh has no other.
	refreshWait = 2 * time.Second
)

// Member is one connection's publication in a group. Its methods are those of Publication, under the same conditions;
// the group's lock guards it.
type Member struct {
	group    *group
	name     string
	epoch    uint64
	settings media.Settings
	gone     error

	tracks []media.Track
	sizes  []int   // pictures' heights
	routes []route // by track
	clock  memberClock
	// ready: what it sends is known, and can be decoded. placed: so is its clock's place.
	ready, placed bool

	held      []media.Frame // copies, on its own clock
	heldBytes int
	synced    bool // held begins with a key frame
	metadata  heldMetadata
	repairs   repairs // beside the publication's
	heard     time.Time
	keyAt     time.Time // when a key frame of the first picture came last, or was first waited for
}

// route is where a track goes.
type route struct {
	to    int  // the show's track; below zero nowhere
	waits bool // for a key frame
	// repaired is what had been repaired of the show's track before.
	repaired map[string]int64
}

// SetTracks is Publication.SetTracks. Pictures are held against the member's own limits.
func (m *Member) SetTracks(tracks []media.Track) error {
	sizes := make([]int, len(tracks))
	names := make(map[string]bool)
	counts := make(map[media.Kind]int)
	for i, t := range tracks {
		f, err := newFormat(t)
		if err != nil {
			return err
		}
		if f.video() {
			if err := checkResolution(m.settings.MaxResolution, f.codedWidth, f.codedHeight); err != nil {
				return fmt.Errorf("track %s: %w", t.Name, err)
			}
		}
		if names[t.Name] {
			return fmt.Errorf("track %s: %w: two of that name", t.Name, media.ErrInvalid)
		}
		names[t.Name] = true
		counts[t.Kind]++
		sizes[i] = f.codedHeight
	}
	if len(tracks) == 0 {
		return fmt.Errorf("%w: no tracks", media.ErrInvalid)
	}
	g := m.group
	if err := g.packager.confirm(g.path); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.gone != nil {
		return m.gone
	}
	for _, other := range g.joined {
		for _, t := range other.tracks {
			if other != m && (t.Kind == media.Video || !hasTrack(tracks, t)) {
				counts[t.Kind]++
			}
		}
	}
	for kind, n := range counts {
		if n > maxTracks {
			return fmt.Errorf("%w: the members of %s have more than %d %s tracks", media.ErrUnsupported, g.path, maxTracks, kind)
		}
	}
	return m.setTracksLocked(tracks, sizes)
}

func hasTrack(tracks []media.Track, t media.Track) bool {
	return slices.ContainsFunc(tracks, func(have media.Track) bool {
		return have.Kind == t.Kind && have.Language == t.Language && have.Codec == t.Codec
	})
}

func (m *Member) setTracksLocked(tracks []media.Track, sizes []int) error {
	g := m.group
	same := slices.EqualFunc(m.tracks, tracks, func(a, b media.Track) bool {
		return a.Name == b.Name && a.Kind == b.Kind && a.Codec == b.Codec
	})
	m.tracks, m.sizes = slices.Clone(tracks), sizes
	if !same {
		m.ready = false
		m.dropHeld()
		m.routes = make([]route, len(tracks))
		for i := range m.routes {
			m.routes[i].to = -1
		}
		g.routeLocked()
		return nil // frames will show which it has
	}
	if len(g.tracks) == 0 || !m.ready {
		return nil
	}
	return m.bringLocked()
}

// bringLocked tells the show of the member's configurations.
func (m *Member) bringLocked() error {
	g := m.group
	for i, r := range m.routes {
		if r.to >= 0 {
			t, source := g.tracks[r.to], m.tracks[i]
			source.Name, source.Label = t.Name, t.Label
			t.Track = source
		}
	}
	return g.pub.SetTracks(g.listLocked())
}

// sound finds a track that can stand for one of the show's and goes nowhere yet: the same language, in the same
// configuration, and the track itself where that is the member's.
func (m *Member) sound(t *groupTrack) int {
	found := -1
	for i, have := range m.tracks {
		if have.Kind != media.Audio || have.Language != t.Language || have.Codec != t.Codec || have.Unit != t.Unit ||
			!bytes.Equal(have.Config, t.Config) || m.routes[i].to >= 0 {
			continue
		}
		if m.name == t.member && have.Name == t.source {
			return i
		}
		if found < 0 {
			found = i
		}
	}
	return found
}

// silent says that nothing came for so long that others are to go on without it.
func (m *Member) silent(now time.Time) bool { return now.Sub(m.heard) > leadSilence }

// height is the highest picture's.
func (m *Member) height() int { return slices.Max(append([]int{0}, m.sizes...)) }

// begins says that pictures can be shown from a frame on. It is asked as frames come.
func (m *Member) begins(f *media.Frame) bool {
	return m.tracks[f.Track].Kind == media.Video && (f.Sync || f.Recovery && m.heard.Sub(m.keyAt) >= refreshWait)
}

// main is the first track of video; below zero there is none.
func (m *Member) main() int {
	return slices.IndexFunc(m.tracks, func(t media.Track) bool { return t.Kind == media.Video })
}

// WriteFrame is Publication.WriteFrame.
func (m *Member) WriteFrame(frame *media.Frame) error {
	g := m.group
	if err := g.packager.confirm(g.path); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.gone != nil {
		return m.gone
	}
	f := *frame
	if f.Wall.IsZero() {
		f.Wall = time.Now()
	}
	switch {
	case f.Track < 0 || f.Track >= len(m.tracks):
		return fmt.Errorf("%w: frame of track %d of %d", media.ErrInvalid, f.Track, len(m.tracks))
	case len(f.Payload) == 0:
		return nil // CMF-18
	case len(f.Payload) > maxAccessUnit:
		return fmt.Errorf("access unit of %d bytes: %w", len(f.Payload), media.ErrTooLarge)
	}
	if err := g.pub.err(); err != nil {
		return err
	}
	if m.clock.see(&f) {
		m.ready, m.placed = false, false
		m.dropHeld()
		g.routeLocked()
	}
	now := time.Now()
	m.heard = now
	if m.keyAt.IsZero() || (f.Sync && f.Track == m.main()) {
		m.keyAt = now
	}
	if !m.ready {
		m.hold(&f)
		return m.prepareLocked(now)
	}
	if len(g.tracks) == 0 {
		m.hold(&f)
		return g.tryLocked(now)
	}
	again := false
	if f.Track == m.main() && m.begins(&f) {
		g.followDriftLocked(m)
	}
	if m.begins(&f) {
		var err error
		if again, err = g.turnLocked(m, f.Track, now); err != nil {
			return err
		}
	}
	if g.holdingLocked(now) {
		m.hold(&f)
	} else if m.held != nil && !again {
		m.dropHeld()
	}
	if err := m.forwardLocked(&f); err != nil || !again {
		return err
	}
	m.dropHeld()
	return g.playLocked(g.heldLocked(m, f.PTS+m.clock.offset))
}

// prepareLocked makes the member part of the group once it is known what it sends.
func (m *Member) prepareLocked(now time.Time) error {
	g := m.group
	if !m.clock.known(now) || (m.main() >= 0 && !m.synced) {
		return nil
	}
	m.ready = true
	if len(g.tracks) == 0 {
		if g.readyAt.IsZero() {
			g.readyAt = now
		}
		return g.tryLocked(now)
	}
	delete(g.left, m.name)
	g.placeLocked(m)
	g.routeLocked()
	g.reviewLocked(now)
	if !slices.ContainsFunc(m.routes, func(r route) bool { return r.to >= 0 }) {
		return nil
	}
	if err := m.bringLocked(); err != nil {
		return err
	}
	g.logger.Info("member is back in the group", "member", m.name)
	held := m.held
	m.held, m.heldBytes, m.synced = nil, 0, false
	for i := range held { // as if it came now: it may lead
		if err := m.replayLocked(&held[i], now); err != nil {
			return err
		}
	}
	return nil
}

// forwardLocked writes a frame to the show, on the group's clock.
func (m *Member) forwardLocked(f *media.Frame) error {
	g := m.group
	r := &m.routes[f.Track]
	if r.to < 0 {
		return nil
	}
	t := g.tracks[r.to]
	t.heard = time.Now()
	if t.absent {
		g.absenceLocked(t.heard)
	}
	moved := *f
	moved.Track = r.to
	moved.DTS, moved.PTS = f.DTS+m.clock.offset, f.PTS+m.clock.offset
	if t.Kind == media.Video {
		if r.to == g.leading {
			g.leadDTS = moved.DTS
		} else if g.leadDTS-moved.DTS > lateLimit {
			r.waits = true
			m.repairs.add(m.tracks[f.Track].Name, "late", 1)
			g.packager.metrics.repairs.WithLabelValues(string(media.Video), "late").Inc()
			return nil
		}
		if r.waits && !f.Sync && !f.Recovery {
			return nil
		}
		r.waits = false
	}
	return g.pub.WriteFrame(&moved)
}

// WriteMetadata is Publication.WriteMetadata. Members of one encoder tell the same: what the first of those that are
// there tells is taken.
func (m *Member) WriteMetadata(d *media.TimedMetadata) error {
	g := m.group
	if err := g.packager.confirm(g.path); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.gone != nil {
		return m.gone
	}
	if len(g.tracks) == 0 {
		if len(d.Payload) > media.MaxMetadata || !m.metadata.add(d) {
			g.packager.metrics.metadataDropped.Inc()
		}
		return nil
	}
	return m.tellLocked(d)
}

func (m *Member) tellLocked(d *media.TimedMetadata) error {
	g := m.group
	if d.Kind != media.Captions {
		first := slices.IndexFunc(g.tracks, func(t *groupTrack) bool { return t.from != nil })
		if first < 0 || g.tracks[first].from != m {
			return nil
		}
	}
	moved := *d
	moved.PTS += m.clock.offset
	return g.pub.WriteMetadata(&moved)
}

func (m *Member) releaseMetadataLocked() error {
	held := m.metadata.pieces
	m.metadata = heldMetadata{}
	for i := range held {
		if err := m.tellLocked(&held[i]); err != nil {
			return err
		}
	}
	return nil
}

// Close is Publication.Close. The show ends with its last member, or is interrupted if one of them was lost.
func (m *Member) Close(clean bool) error {
	g := m.group
	if err := g.packager.confirm(g.path); err != nil {
		clean = false // the show is gone by now, only the group is left to leave
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.gone != nil {
		return nil
	}
	m.gone = errClosed
	return g.leaveLocked(m, clean)
}

// Repairs is Publication.Repairs of the member's tracks, since they are the show's. "late" counts pictures that came
// too long after the leading ones.
func (m *Member) Repairs() map[string]map[string]int64 {
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[string]map[string]int64)
	shows := g.pub.Repairs()
	for i, r := range m.routes {
		counts := make(map[string]int64)
		for repair, n := range m.repairs[m.tracks[i].Name] {
			counts[repair] += n
		}
		if r.to >= 0 && r.to < len(g.tracks) {
			for repair, n := range shows[g.tracks[r.to].Name] {
				if n -= r.repaired[repair]; n > 0 {
					counts[repair] += n
				}
			}
		}
		if len(counts) > 0 {
			out[m.tracks[i].Name] = counts
		}
	}
	return out
}
