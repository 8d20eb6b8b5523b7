package packager

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// tick does what is due by the clock alone. It says whether the stream still has anything.
func (s *stream) tick(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead || s.leaving {
		return true
	}
	if s.show != nil && s.show.recorder.fenced.Load() {
		s.loseLocked()
	}
	stood := s.stoodLocked(now)
	if p := s.pub; p != nil && s.take == nil && p.observer != nil && len(p.observer.frames) > 0 {
		// An error reaches the publisher with its next frame, which tries again.
		if err := p.beginLocked(now, false); err != nil {
			s.packager.logger.Error("begin", "publisher", s.path.Publisher, "stream", s.path.Stream, "err", err)
		}
	}
	if s.take != nil && !stood {
		s.silenceLocked(now)
	}
	if s.show != nil && s.take == nil && !stood {
		s.absenceLocked(now)
	}
	if s.show != nil {
		s.upkeepLocked(now)
	}
	keep := s.shown[:0]
	for _, show := range s.shown {
		show.settle()
		if now.Before(show.endedAt.Add(show.linger())) || !show.recorder.left() {
			keep = append(keep, show)
		}
	}
	if len(keep) < len(s.shown) {
		clear(s.shown[len(keep):])
		s.shown = keep
		s.reindexLocked()
	}
	return s.pub != nil || s.show != nil || len(s.shown) > 0 || s.creating.Load()
}

// stoodLocked says that this process stood still, as on a machine that is paused or overloaded: what the publisher sent
// meanwhile is still to be read, and it is not silent before that was. Never twice in a row, or a machine that is
// always late would let players wait.
func (s *stream) stoodLocked(now time.Time) bool {
	late := !s.tickedAt.IsZero() && now.Sub(s.tickedAt) > 4*s.packager.cfg.Tick
	s.tickedAt = now
	s.excused = late && !s.excused
	return s.excused
}

// silenceLocked acts on a connected publisher that sends nothing. Players must see a new segment within 1.5 target
// durations (SEQ-6): first what there is of the open segment is listed, and the take goes on if media comes; at the
// next time there is nothing to list, so the take ends and fillers run (LIF-4), unless the setting is to hold.
func (s *stream) silenceLocked(now time.Time) {
	if now.Before(s.show.listedAt.Add(s.patience())) {
		return
	}
	if s.take.split() {
		return
	}
	if s.show.settings.Interruption == media.InterruptionHold {
		return
	}
	s.show.logger.Warn("publisher is silent")
	s.closeTakeLocked()
	s.pub.observer = s.pub.newObserver(now)
	clear(s.pub.stale)
}

// absenceLocked keeps a show moving that gets no media, and ends it when the reconnect window closes.
func (s *stream) absenceLocked(now time.Time) {
	if !now.Before(s.deadline) {
		if s.pub != nil { // connected, but without what a take needs
			s.pub.continues = s.show.id
		}
		s.endShowLocked()
		return
	}
	if s.show.settings.Interruption == media.InterruptionHold || now.Before(s.gapAt) || len(s.show.takes) == 0 {
		return
	}
	s.gapAt = s.gapAt.Add(s.show.constants.TargetDuration)
	s.gapLocked(s.show.constants.TargetDuration)
}

// upkeepLocked refreshes the row and leaves a recording that is full.
func (s *stream) upkeepLocked(now time.Time) {
	s.show.settle()
	if now.Sub(s.savedAt) >= saveEvery && s.show.state == media.Live {
		s.saveLocked()
	}
	if s.show.renditions[0].last() < lastMSN {
		return
	}
	before := s.show
	s.endShowLocked()
	if p := s.pub; p != nil {
		p.observer = p.newObserver(now)
		clear(p.stale)
		p.continues = before.id
	}
}

// linger is how long an ended show stays: players that are behind still reload it (LIF-3).
func (s *Show) linger() time.Duration {
	return max(s.settings.DVRWindow.D(), 3*s.constants.TargetDuration) + s.constants.TargetDuration
}
