package packager

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// beginShowLocked begins a new recording; the stream's show, if there is one, ends, and the new one continues it.
// lanes is the format of each track of the publication.
func (s *stream) beginShowLocked(p *Publication, formats []*format, lanes []int, o *observer) error {
	before := p.continues
	p.continues = ""
	if s.show != nil {
		before = s.show.id
		s.endShowLocked()
	}
	seen := observed{}
	if formats[0].video() {
		seen = o.result()
	}
	for track, lane := range lanes {
		if lane >= 0 && formats[lane].video() {
			setFrameRate(formats[lane], o.frameTime(track))
		}
	}
	if i := slices.IndexFunc(formats, func(f *format) bool { return !f.video() }); i >= 0 {
		seen.unit, seen.rate = formats[i].unit, formats[i].track.Timescale
	}
	return s.createShowLocked(p, formats, newConstants(p.inForce(), seen), o.first().Wall, before)
}

func (s *stream) createShowLocked(
	p *Publication, formats []*format, c media.Constants, wall time.Time, before media.RecordingID,
) error {
	m := reclog.Manifest{
		Format: reclog.FormatVersion, ID: s.packager.newID(), Publisher: s.path.Publisher, Stream: s.path.Stream,
		State: media.Live, StartedAt: wall.UTC(), Settings: p.inForce(), Constants: c, Continues: before,
	}
	log, err := s.createLogLocked(m)
	if err != nil {
		s.packager.metrics.storageErrors.Inc()
		return fmt.Errorf("begin recording of %s: %w: %w", s.path, media.ErrUnavailable, err)
	}
	show := newShow(&m, log, s.packager.cfg.Memory, s.packager.logger, s.packager.metrics)
	tracks := make([]media.Track, len(formats))
	for i, f := range formats {
		tracks[i] = f.track
	}
	show.setTracks(tracks)
	s.show = show
	s.reindexLocked()
	s.packager.metrics.recordings.Inc()
	show.logger.Info("recording opened", "target_duration", c.TargetDuration, "segment", c.SegmentDuration,
		"part_target", c.PartTarget, "continues", string(before))
	return nil
}

// createLogLocked creates a recording on storage. It is waited for as long as beginPatience says; one that is created
// later is ended, and until then no other is tried.
func (s *stream) createLogLocked(m reclog.Manifest) (showLog, error) {
	if s.creating.Load() {
		return nil, errStalled
	}
	type result struct {
		log showLog
		err error
	}
	created, late := make(chan result), make(chan struct{})
	go func() {
		log, err := s.packager.create(m)
		select {
		case created <- result{log, err}:
			return
		case <-late:
		}
		if err == nil {
			err = log.Update(func(m *reclog.Manifest) { m.State, m.EndedAt = media.Ended, time.Now().UTC() })
		}
		s.packager.logger.Warn("recording was created too late", "publisher", m.Publisher, "stream", m.Stream,
			"recording", string(m.ID), "err", err)
		s.creating.Store(false)
	}()
	timer := time.NewTimer(beginPatience)
	defer timer.Stop()
	select {
	case r := <-created:
		return r.log, r.err
	case <-timer.C:
		s.creating.Store(true)
		close(late)
		return nil, errStalled
	}
}

// setFrameRate notes the measured rate where the parameter sets say none, or another (MV-5).
func setFrameRate(f *format, frame time.Duration) {
	if frame <= 0 {
		return
	}
	measured := float64(time.Second) / float64(frame)
	if said := f.track.FrameRate; said > measured*0.98 && said < measured*1.02 {
		return
	}
	f.track.FrameRate = measured
}

// beginTakeLocked begins the show's next take with a frame.
func (s *stream) beginTakeLocked(
	p *Publication, formats []*format, lead int, start *media.Frame, plan layout,
) error {
	s.bridgeLocked()
	base := s.baseLocked()
	broken, _ := s.show.recorder.needsTake()
	err := s.show.beginTake(formats, p.epoch, base, start.Wall)
	if errors.Is(err, media.ErrTooLarge) { // the recording has as many takes as one may have
		c, before := s.show.constants, s.show.id
		s.endShowLocked()
		if err = s.createShowLocked(p, formats, c, start.Wall, before); err == nil {
			base = 0
			err = s.show.beginTake(formats, p.epoch, base, start.Wall)
		}
	}
	if err != nil {
		return s.takeFailedLocked(err)
	}
	s.pauseRetryLocked(broken)
	s.show.repairs = p.repairs
	s.take = newTake(s.show, formats, lead, base, start, plan)
	var told []media.LogEvent
	if len(s.show.takes) == 1 || s.show.state != media.Live {
		s.show.setState(media.Live, time.Now(), nil)
		s.eventLocked(media.EventLive)
		told = append(told, s.logEvent(media.EventLive, time.Now(), nil))
	}
	s.saveLocked(told...)
	return nil
}

// takeFailedLocked gives a show up whose take could not begin. Storage that merely fails is no reason, once there is a
// take: the recorder goes on without it.
func (s *stream) takeFailedLocked(err error) error {
	s.packager.metrics.storageErrors.Inc()
	if errors.Is(err, media.ErrFenced) {
		s.loseLocked()
		return err
	}
	if errors.Is(err, media.ErrGone) { // deleted: it is not ours to end
		s.show.logger.Warn("recording is gone", "err", err)
		s.show.recorder.close()
		s.show.endedAt = time.Now().UTC()
		s.shown = append(s.shown, s.show)
		s.show = nil
		s.reindexLocked()
		return fmt.Errorf("%w: %w", media.ErrFenced, err)
	}
	s.endShowLocked()
	return fmt.Errorf("%w: %w", media.ErrUnavailable, err)
}
