package packager

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// settingsPatience is how long a change of settings waits for a stream that is busy, or that storage holds up.
const settingsPatience = 100 * time.Millisecond

// Streams lists what is published here, or has a show here.
func (p *Packager) Streams() []media.StreamPath {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.mu.streams))
}

// Settings says what settings of a stream are in force now. Those that a show may change under its players hold for the
// one that grows at once, where it was not acted on them yet; all hold for the publication's next show. It may be
// called again and again: what did not change costs next to nothing. A stream that has nothing here is left alone, and
// so is one that is held up, for the next time.
func (p *Packager) Settings(path media.StreamPath, settings media.Settings) {
	s, err := p.lookup(path, false)
	if err != nil || s == nil {
		return
	}
	if !s.mu.lockWithin(settingsPatience) {
		return
	}
	defer s.mu.Unlock()
	if s.dead || s.leaving {
		return
	}
	if pub := s.pub; pub != nil {
		next := settings
		next.MaxResolution = pub.settings.MaxResolution // what the connection was let in with; a group has none
		if pub.inForce() != next {
			pub.latest.Store(&next)
		}
	}
	if s.show != nil && !s.show.lost.Load() && !s.show.recorder.fenced.Load() {
		s.changeLocked(midShow(s.show.settings, settings))
	}
}

// inForce gives the settings that the catalog told of last. It may be called from anywhere.
func (p *Publication) inForce() media.Settings {
	if latest := p.latest.Load(); latest != nil {
		return *latest
	}
	return p.settings
}

// midShow gives a growing show's settings after a change: what its segments, its playlists' form and its text tracks
// were begun with stays, since players rely on it.
func midShow(was, next media.Settings) media.Settings {
	next.Latency, next.PartDuration, next.SegmentDuration = was.Latency, was.PartDuration, was.SegmentDuration
	next.Interruption, next.WholeAfterDiscontinuity = was.Interruption, was.WholeAfterDiscontinuity
	next.Subtitles, next.Captions, next.Group = was.Subtitles, was.Captions, was.Group
	next.MaxResolution = was.MaxResolution
	return next
}

// changeLocked gives the show other settings. A reconnect window that runs gets its new length, counted from when it
// began. A sliding playlist that becomes longer grows from where it begins: segments that left it do not come back.
func (s *stream) changeLocked(next media.Settings) {
	show := s.show
	was := show.settings
	if next == was {
		return
	}
	if next.DVRWindow > was.DVRWindow {
		if snap, _ := show.Snapshot(); snap != nil {
			show.windowFrom = max(show.windowFrom, snap.SlidingFirst())
		}
	}
	show.settings = next
	if s.take == nil {
		s.deadline = s.deadline.Add(next.ReconnectWindow.D() - was.ReconnectWindow.D())
	}
	show.recorder.keepSettings(next, show.windowFrom)
	if next.DVRWindow != was.DVRWindow {
		show.publish()
	}
	show.logger.Info("settings of the live show changed", "reconnect_window", next.ReconnectWindow.D(),
		"dvr_window", next.DVRWindow.D(), "end_on_unpublish", next.EndOnUnpublish, "record", next.Record,
		"archive_mode", next.ArchiveMode)
}

// keepSettings writes the settings into the manifest, where recovery and origin find them. What is given up of such
// work comes with the next state.
func (r *recorder) keepSettings(settings media.Settings, from media.MSN) {
	r.soft(job{kind: jobCaptions, do: func() error {
		err := r.log.Update(func(m *reclog.Manifest) { m.Settings, m.WindowFrom = settings, from })
		if err != nil && !errors.Is(err, media.ErrFenced) {
			r.show.metrics.storageErrors.Inc()
			r.show.logger.Error("write manifest", "what", "settings", "err", err)
		}
		r.noteFenced(err)
		return nil
	}})
}
