package packager

import (
	"bytes"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// replayLocked takes a frame that was held while the member was not ready.
func (m *Member) replayLocked(f *media.Frame, now time.Time) error {
	g := m.group
	if !m.begins(f) {
		return m.forwardLocked(f)
	}
	again, err := g.turnLocked(m, f.Track, now)
	if err != nil {
		return err
	}
	if err := m.forwardLocked(f); err != nil || !again {
		return err
	}
	return g.playLocked(g.heldLocked(m, f.PTS+m.clock.offset))
}

// hold copies a frame for a change to come. What is held begins with the newest key frame, but before the show begins
// with the first.
func (m *Member) hold(f *media.Frame) {
	main := m.main()
	first := f.Track == main && m.begins(f) && (!m.synced || len(m.group.tracks) > 0)
	switch {
	case m.heldBytes+len(f.Payload) > maxMemberHeld:
		m.dropHeld()
		if !first {
			return
		}
	case first:
		m.held = slices.DeleteFunc(m.held, func(h media.Frame) bool {
			return m.tracks[h.Track].Kind == media.Video || h.PTS < f.PTS
		})
		m.heldBytes = 0
		for i := range m.held {
			m.heldBytes += len(m.held[i].Payload)
		}
	case main >= 0 && !m.synced && m.tracks[f.Track].Kind == media.Video:
		return
	}
	m.synced = m.synced || first
	copied := *f
	copied.Payload = bytes.Clone(f.Payload)
	m.held = append(m.held, copied)
	m.heldBytes += len(copied.Payload)
}

func (m *Member) dropHeld() { m.held, m.heldBytes, m.synced = nil, 0, false }

// heldFrame is a frame that its member held.
type heldFrame struct {
	member *Member
	frame  media.Frame
}

// heldLocked takes what members hold from a time of the group's clock on, but for one of them, in the order of times;
// pictures may be a little before.
func (g *group) heldLocked(but *Member, from time.Duration) []heldFrame {
	var list []heldFrame
	early := media.Duration(alignEarly, videoTimescale)
	for _, m := range g.inOrderLocked() {
		if m == but {
			continue
		}
		begun := but == nil
		for i := range m.held {
			f := &m.held[i]
			if !begun {
				video := m.tracks[f.Track].Kind == media.Video
				if at := f.PTS + m.clock.offset; (video && (!m.begins(f) || at < from-early)) || (!video && at < from) {
					continue
				}
				begun = video
			}
			list = append(list, heldFrame{m, *f})
		}
		m.dropHeld()
	}
	slices.SortStableFunc(list, func(a, b heldFrame) int {
		return int(a.frame.DTS + a.member.clock.offset - b.frame.DTS - b.member.clock.offset)
	})
	return list
}

func (g *group) playLocked(frames []heldFrame) error {
	for i := range frames {
		if err := frames[i].member.forwardLocked(&frames[i].frame); err != nil {
			return err
		}
	}
	return nil
}
