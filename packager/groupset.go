package packager

import (
	"slices"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// composeLocked gives the tracks of a show of the members that are ready: their pictures, then their sounds but for
// those that one before has too.
func (g *group) composeLocked() []*groupTrack {
	var tracks []*groupTrack
	members := g.inOrderLocked()
	for _, kind := range []media.Kind{media.Video, media.Audio} {
		count := 0
		for _, m := range members {
			for _, t := range m.tracks {
				if t.Kind != kind || count == maxTracks || (kind == media.Audio && hasSound(tracks, m, t)) {
					continue
				}
				added := &groupTrack{Track: t, member: m.name, source: t.Name}
				if added.Name = string(kind); count > 0 {
					added.Name += strconv.Itoa(count + 1)
				}
				if added.Label == "" && kind == media.Video {
					added.Label = m.name
				}
				tracks = append(tracks, added)
				count++
			}
		}
	}
	return tracks
}

// hasSound says that one of the tracks is another member's same sound: of that language and codec. What one member
// sends twice, like a commentary, is not the same.
func hasSound(tracks []*groupTrack, m *Member, t media.Track) bool {
	return slices.ContainsFunc(tracks, func(have *groupTrack) bool {
		return have.Kind == media.Audio && have.member != m.name && have.Language == t.Language && have.Codec == t.Codec
	})
}

// hasTrackLocked says that a member's track is the show's, whoever sends it now.
func (g *group) hasTrackLocked(m *Member, t media.Track) bool {
	return slices.ContainsFunc(g.tracks, func(have *groupTrack) bool {
		return have.member == m.name && have.source == t.Name && have.Kind == t.Kind && have.Codec == t.Codec
	})
}

// setLocked makes tracks the show's.
func (g *group) setLocked(tracks []*groupTrack) error {
	g.tracks, g.leading, g.changeAt = tracks, 0, time.Time{}
	clear(g.left)
	if err := g.pub.SetTracks(g.listLocked()); err != nil {
		return err
	}
	g.routeLocked()
	for _, m := range g.inOrderLocked() {
		for i, t := range m.tracks {
			if m.routes[i].to < 0 && t.Kind == media.Audio {
				g.packager.metrics.soundLeftOut.Inc()
				g.logger.Info("sound of a member is left out: another member has it",
					"member", m.name, "track", t.Name, "language", t.Language, "codec", string(t.Codec))
			}
		}
	}
	return nil
}

func (g *group) listLocked() []media.Track {
	list := make([]media.Track, len(g.tracks))
	for i, t := range g.tracks {
		list[i] = t.Track
	}
	return list
}

// routeLocked says which track of which member goes where. A sound whose member is away comes from another that has
// the same, and goes on coming from there.
func (g *group) routeLocked() {
	if len(g.tracks) == 0 {
		return
	}
	now := time.Now()
	members := g.inOrderLocked()
	old := make(map[*Member][]route, len(members))
	for _, m := range members {
		old[m] = m.routes
		m.routes = make([]route, len(m.tracks))
		for i := range m.routes {
			m.routes[i].to = -1
		}
	}
	for to, t := range g.tracks {
		from, at := g.feederLocked(t, members, now)
		if t.from = from; from == nil {
			continue
		}
		r := route{to: to, waits: t.Kind == media.Video}
		if before := old[from]; at < len(before) && before[at].to == to {
			r = before[at]
		} else {
			r.repaired = g.pub.Repairs()[t.Name]
			t.heard = now
		}
		from.routes[at] = r
	}
	g.tellAbsentLocked(now)
}

// tellAbsentLocked has the publication not wait for tracks of which nothing comes.
func (g *group) tellAbsentLocked(now time.Time) {
	changed := false
	absent := make([]bool, len(g.tracks))
	for i, t := range g.tracks {
		absent[i] = t.from == nil || t.from.silent(now)
		changed = changed || absent[i] != t.absent
		t.absent = absent[i]
	}
	if changed {
		g.pub.setAbsent(absent)
	}
}

// absenceLocked follows members that fall silent: another's sound may stand in.
func (g *group) absenceLocked(now time.Time) {
	for _, t := range g.tracks {
		if t.from != nil && t.absent != t.from.silent(now) {
			g.routeLocked()
			return
		}
	}
}

// feederLocked finds who sends a track now: its member, or one with the same sound, which goes on until it falls
// silent.
func (g *group) feederLocked(t *groupTrack, members []*Member, now time.Time) (*Member, int) {
	if t.Kind == media.Audio {
		first := slices.Clone(members)
		slices.SortStableFunc(first, func(a, b *Member) int { return t.weight(a) - t.weight(b) })
		for _, m := range first {
			if at := m.sound(t); at >= 0 && !m.silent(now) {
				return m, at
			}
		}
	}
	for _, m := range members {
		if m.name == t.member {
			at := slices.IndexFunc(m.tracks, func(have media.Track) bool {
				return have.Name == t.source && have.Kind == t.Kind && have.Codec == t.Codec
			})
			if at >= 0 {
				return m, at
			}
		}
	}
	return nil, -1
}

// weight orders members by how little they are wanted for a sound: least who sends it now, then whose it is.
func (t *groupTrack) weight(m *Member) int {
	switch {
	case m == t.from:
		return 0
	case m.name == t.member:
		return 1
	}
	return 2
}

// reviewLocked looks whether the set of tracks has to change, and when.
func (g *group) reviewLocked(now time.Time) {
	switch changed := g.changedLocked(now); {
	case len(g.tracks) == 0, !changed:
		g.changeAt = time.Time{}
	case g.changeAt.IsZero():
		g.changeAt = now.Add(settleWait)
	}
}

func (g *group) changeDue(now time.Time) bool { return !g.changeAt.IsZero() && !now.Before(g.changeAt) }

// changedLocked says that a member brings what is not in the set, or that of one that is there nobody will.
func (g *group) changedLocked(now time.Time) bool {
	for _, m := range g.joined {
		if !m.ready {
			continue
		}
		for i, t := range m.tracks {
			if m.routes[i].to < 0 && (t.Kind == media.Video || !g.hasTrackLocked(m, t) && !hasSound(g.tracks, m, t)) {
				return true
			}
		}
	}
	window := g.pub.inForce().ReconnectWindow.D()
	for _, t := range g.tracks {
		if t.from != nil {
			continue
		}
		if m := g.joined[t.member]; m != nil {
			if m.ready {
				return true // it is there without
			}
			continue
		}
		if d, ok := g.left[t.member]; ok && now.Sub(d.at) >= window {
			return true
		}
	}
	return false
}

// changeLocked has the next recording begin, with other tracks.
func (g *group) changeLocked(next []*groupTrack) error {
	g.packager.metrics.groupChanges.WithLabelValues("tracks").Inc()
	g.logger.Info("group has other tracks", "members", g.namesLocked(), "tracks", len(next))
	return g.setLocked(next)
}

// leadsLocked says that the track that leads comes.
func (g *group) leadsLocked(now time.Time) bool {
	if len(g.tracks) == 0 {
		return false
	}
	t := g.tracks[g.leading]
	return t.from != nil && now.Sub(t.heard) <= leadSilence
}

// nextLeadLocked is the first track of video that comes; below zero there is none.
func (g *group) nextLeadLocked(now time.Time) int {
	return slices.IndexFunc(g.tracks, func(t *groupTrack) bool {
		return t.Kind == media.Video && t.from != nil && now.Sub(t.heard) <= leadSilence
	})
}

// holdingLocked says that a change may come at a key frame, for which members' newest frames are kept.
func (g *group) holdingLocked(now time.Time) bool {
	return len(g.tracks) == 0 || !g.changeAt.IsZero() || !g.leadsLocked(now)
}

// turnLocked does what is to be done at a member's key frame, in front of it: other tracks, or another that leads. It
// says whether others' frames from there on must be played again.
func (g *group) turnLocked(m *Member, track int, now time.Time) (again bool, err error) {
	if g.changeDue(now) {
		next := g.composeLocked()
		if next[0].member == m.name && next[0].source == m.tracks[track].Name {
			return true, g.changeLocked(next)
		}
	}
	to := m.routes[track].to
	if to < 0 || to == g.leading || g.leadsLocked(now) {
		return false, nil
	}
	g.tracks[to].heard = now
	if g.nextLeadLocked(now) != to {
		return false, nil
	}
	g.logger.Info("another member leads", "member", m.name, "before", g.tracks[g.leading].member)
	g.packager.metrics.groupChanges.WithLabelValues("lead").Inc()
	g.leading = to
	g.pub.setLead(to)
	g.absenceLocked(now)
	return true, nil
}
