package packager

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const (
	// retryStorage is how long broken files are left before another take is tried for them.
	retryStorage = 10 * time.Second
	// saveEvery is how often a live recording's row is refreshed.
	saveEvery = 10 * time.Second
	// lastMSN is where a recording is left for the next, well before the log's limit.
	lastMSN = reclog.MaxMSN - 1024
)

// stream is everything of one stream in this process. mu guards it, its publication, its show (but for what Show says
// may be called from anywhere) and its take. No other lock but leaves is taken with it held.
type stream struct {
	packager *Packager
	path     media.StreamPath

	mu    turn
	epoch uint64
	pub   *Publication // the one that may write; nil if none
	show  *Show        // the one that grows; nil if none
	take  *take        // nil while nothing comes
	// shown are shows that ended but stay for players that are behind (LIF-3).
	shown []*Show
	// index is show and shown as readers see them, who must not wait for a lock that is held while storage works.
	index atomic.Pointer[showIndex]

	deadline   time.Time // when an interrupted show ends
	gapAt      time.Time // when the next filler is due
	savedAt    time.Time
	retryAt    time.Time // when another take may be tried for broken files
	retryPause time.Duration
	dead       bool // the packager forgot it
	// creating: a recording that was given up is still being created. ticking: a tick waits for the lock or for storage.
	creating, ticking atomic.Bool
}

// showIndex is what readers see of a stream.
type showIndex struct {
	current *Show // nil if none grows
	all     []*Show
}

// reindexLocked follows every change of show and shown.
func (s *stream) reindexLocked() {
	x := &showIndex{current: s.show, all: slices.Clone(s.shown)}
	if s.show != nil {
		x.all = append(x.all, s.show)
	}
	s.index.Store(x)
}

// publishLocked installs a publication; the one before is fenced.
func (s *stream) publishLocked(p *Publication) error {
	if p.epoch < s.epoch {
		return fmt.Errorf("publish %s with epoch %d, seen %d: %w", s.path, p.epoch, s.epoch, media.ErrFenced)
	}
	s.epoch = p.epoch
	if old := s.pub; old != nil {
		old.gone = media.ErrTakenOver
		if err := s.leaveLocked(old, false); err != nil {
			s.packager.logger.Error("end of the publication that is taken over", "publisher", s.path.Publisher,
				"stream", s.path.Stream, "err", err)
		}
	}
	s.pub = p
	return nil
}

// leaveLocked ends a publication's take. The show waits for the publisher's return, or ends if it need not.
func (s *stream) leaveLocked(p *Publication, clean bool) error {
	if s.pub != p {
		return nil
	}
	var err error
	if p.observer != nil && len(p.observer.frames) > 0 {
		err = p.beginLocked(time.Now(), true) // a short show is a show too
	}
	s.pub = nil
	s.closeTakeLocked()
	p.observer = nil
	if s.show == nil {
		return err
	}
	if (clean && p.settings.EndOnUnpublish) || s.show.settings.ReconnectWindow <= 0 {
		s.endShowLocked()
		return err
	}
	s.interruptLocked()
	return err
}

// interruptLocked marks the show as waiting for its publisher.
func (s *stream) interruptLocked() {
	if s.show.state == media.Interrupted {
		return
	}
	now := time.Now()
	s.show.setState(media.Interrupted, now, nil)
	s.waitLocked(now)
	s.show.logger.Info("publisher left, waiting for its return", "window", s.show.settings.ReconnectWindow.D())
	s.saveLocked()
	s.eventLocked(media.EventInterrupted)
}

// waitLocked begins the reconnect window and the time to the first filler.
func (s *stream) waitLocked(now time.Time) {
	s.deadline = now.Add(s.show.settings.ReconnectWindow.D())
	s.gapAt = s.show.listedAt.Add(s.patience())
}

// patience is how long players are left without a new segment: 1.5 target durations (SEQ-6), less what a tick may be
// late.
func (s *stream) patience() time.Duration {
	return s.show.constants.TargetDuration*3/2 - 2*s.packager.cfg.Tick
}

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
	return s.createShowLocked(p, formats, newConstants(p.settings, seen), o.first().Wall, before)
}

func (s *stream) createShowLocked(
	p *Publication, formats []*format, c media.Constants, wall time.Time, before media.RecordingID,
) error {
	m := reclog.Manifest{
		Format: reclog.FormatVersion, ID: s.packager.newID(), Publisher: s.path.Publisher, Stream: s.path.Stream,
		State: media.Live, StartedAt: wall.UTC(), Settings: p.settings, Constants: c, Continues: before,
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
	if len(s.show.takes) == 1 || s.show.state != media.Live {
		s.show.setState(media.Live, time.Now(), nil)
		s.eventLocked(media.EventLive)
	}
	s.saveLocked()
	return nil
}

// takeFailedLocked gives a show up whose take could not begin. Storage that merely fails is no reason, once there is a
// take: the recorder goes on without it.
func (s *stream) takeFailedLocked(err error) error {
	s.packager.metrics.storageErrors.Inc()
	if errors.Is(err, media.ErrFenced) || errors.Is(err, media.ErrGone) {
		// Another node has the recording, or it was deleted: it is not ours to end.
		s.show.logger.Warn("recording lost to another writer", "err", err)
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

// baseLocked is the next take's media time: right behind everything listed, fillers too, so that tfdt runs on over
// takes (LIF-1) and says the same as the playlists' durations added up. A hole between the two, as a clock that ran on
// through the absence would leave, makes hls.js 1.7 hang now and then: it may append a take's first audio before it has
// the take's timestamp offset, and waits for ever for what then lies in the wrong place. The wall clock's jump is told
// by the dates alone. Whole milliseconds are exact in every usual timescale.
func (s *stream) baseLocked() time.Duration {
	if len(s.show.takes) == 0 {
		return 0
	}
	return (s.show.end() + time.Millisecond - 1).Truncate(time.Millisecond)
}

// bridgeLocked lists the rest of an absence as a gap, if the next take's first segment would come too late for players
// otherwise (SEQ-6): that segment is listed whole, so nothing of it shows before its end.
func (s *stream) bridgeLocked() {
	show := s.show
	if len(show.takes) == 0 || show.settings.Interruption == media.InterruptionHold ||
		time.Since(show.listedAt)+show.constants.SegmentDuration < s.patience() {
		return
	}
	hole := min(time.Since(show.listedAt), show.constants.TargetDuration)
	if hole < show.constants.TargetDuration/4 {
		return
	}
	s.gapLocked(hole)
}

// gapLocked lists a filler.
func (s *stream) gapLocked(d time.Duration) {
	if err := s.show.addGaps(d); err != nil {
		s.packager.metrics.storageErrors.Inc()
		s.show.logger.Error("write gap", "err", err)
	}
}

// closeTakeLocked ends the running take, if there is one: everything that came is listed.
func (s *stream) closeTakeLocked() {
	if s.take == nil {
		return
	}
	s.take.close()
	if s.take.video != nil {
		s.show.plan = s.take.leader.meter.layout
	}
	s.take = nil
	s.show.endTake()
	s.waitLocked(time.Now())
}

// retryStorageLocked says that the take's files are beyond use and that it is time to try others.
func (s *stream) retryStorageLocked() bool {
	broken, answers := s.show.recorder.needsTake()
	return broken && answers && !time.Now().Before(s.retryAt)
}

// pauseRetryLocked notes that a take began, or could not, because of broken files. Each try is a discontinuity, so they
// become rare.
func (s *stream) pauseRetryLocked(broken bool) {
	if still, _ := s.show.recorder.needsTake(); !broken && !still {
		s.retryPause, s.retryAt = 0, time.Time{}
		return
	}
	s.retryPause = min(max(retryStorage, 2*s.retryPause), 30*retryStorage)
	s.retryAt = time.Now().Add(s.retryPause)
}

// endShowLocked ends the recording for good; players have it a while longer.
func (s *stream) endShowLocked() {
	s.closeTakeLocked()
	show, q := s.show, s.packager.queue
	ended, length := time.Now(), show.length()
	event := s.event(media.EventEnded)
	row := show.row()
	row.State, row.EndedAt = media.Ended, ended.UTC()
	// Storage before the catalog: who acts on the row finds the recording whole, and nobody writing it.
	show.setState(media.Ended, ended, func() {
		row.Bytes = show.recorder.bytes.Load()
		show.logger.Info("recording ended", "dur", length, "bytes", row.Bytes)
		q.save(row)
		q.publish(event)
	})
	show.recorder.close()
	s.shown = append(s.shown, s.show)
	s.show = nil
	s.reindexLocked()
}

// saveLocked queues the recording's row.
func (s *stream) saveLocked() {
	s.savedAt = time.Now()
	s.packager.queue.save(s.show.row())
}

func (s *stream) eventLocked(kind string) {
	s.packager.queue.publish(s.event(kind))
}

func (s *stream) event(kind string) media.Event {
	return media.Event{
		Type: kind, Time: time.Now().UTC(), Publisher: s.path.Publisher, Stream: s.path.Stream, Recording: s.show.id,
	}
}

// state is the growing show's, as players see it.
func (s *stream) state() (media.State, bool) {
	x := s.index.Load()
	if x == nil || x.current == nil {
		return "", false
	}
	if snap, _ := x.current.Snapshot(); snap != nil {
		return snap.State, snap.State.Growing()
	}
	return media.Live, true
}

// stop leaves the stream as the next process can resume it. It gives the shows that may still be written.
func (s *stream) stop() []*Show {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = true
	if p := s.pub; p != nil {
		p.gone = media.ErrUnavailable
		p.observer = nil
		s.pub = nil
	}
	s.closeTakeLocked()
	shows := slices.Clone(s.shown)
	if s.show != nil {
		s.interruptLocked()
		s.show.recorder.close()
		shows = append(shows, s.show)
	}
	return shows
}

// row is the recording as the catalog has it.
func (s *Show) row() media.Recording {
	return media.Recording{
		ID: s.id, Path: s.path, State: s.state, StartedAt: s.startedAt, EndedAt: s.endedAt, Duration: s.length(),
		Bytes: s.recorder.bytes.Load(), Local: true, Continues: s.continues,
	}
}

// length is the recording's media time without fillers.
func (s *Show) length() time.Duration { return s.rate.Duration() }
