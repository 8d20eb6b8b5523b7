package packager

import (
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
	tickedAt   time.Time // its last tick
	excused    bool      // which came late, so that silence was not decided on
	// waitsFrom is when Step first saw it interrupted, in Unix nanoseconds; 0: it is not.
	waitsFrom atomic.Int64
	dead      bool // the packager forgot it
	leaving   bool // its show is being handed over: nothing more happens to it
	confirmed confirmation
	// creating: a recording that was given up is still being created. ticking: a tick waits for the lock or for storage.
	creating, ticking atomic.Bool
}

// showIndex is what readers see of a stream.
type showIndex struct {
	current *Show // nil if none grows
	all     []*Show
	epoch   uint64
}

// reindexLocked follows every change of show and shown.
func (s *stream) reindexLocked() {
	x := &showIndex{all: slices.Clone(s.shown), epoch: s.epoch}
	if s.show != nil && !s.show.lost.Load() {
		x.current = s.show
		x.all = append(x.all, s.show)
	}
	s.index.Store(x)
}

// publishLocked installs a publication; the one before is fenced.
func (s *stream) publishLocked(p *Publication) error {
	if p.epoch < s.epoch {
		return fmt.Errorf("publish %s with epoch %d, seen %d: %w", s.path, p.epoch, s.epoch, media.ErrFenced)
	}
	if s.leaving {
		return fmt.Errorf("publish %s: %w: its recording is being handed over", s.path, media.ErrUnavailable)
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
	s.reindexLocked()
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
	if (clean && p.inForce().EndOnUnpublish) || s.show.settings.ReconnectWindow <= 0 {
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
	s.packager.metrics.interruptions.Inc()
	s.waitLocked(now)
	s.show.logger.Info("publisher left, waiting for its return", "window", s.show.settings.ReconnectWindow.D())
	until := s.deadline.UTC()
	s.saveLocked(s.logEvent(media.EventInterrupted, now, &until))
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

// saveLocked queues the recording's row, with what happened.
func (s *stream) saveLocked(events ...media.LogEvent) {
	s.savedAt = time.Now()
	s.packager.queue.save(s.show.row(), events...)
}

// logEvent tells of the show's newest take: that it began, or was cut off and waits until a time.
func (s *stream) logEvent(kind string, at time.Time, until *time.Time) media.LogEvent {
	cfg := &s.packager.cfg
	data := media.LiveData{Take: len(s.show.takes), Node: cfg.Node, Until: until}
	if until == nil {
		data.Continues = s.show.continues
	}
	return media.LiveEvent(kind, s.path, s.show.id, cfg.Cluster, at, data)
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

// waited is for how long Step has seen the show wait for its publisher.
func (s *stream) waited(state media.State, now time.Time) time.Duration {
	switch {
	case state != media.Interrupted:
		s.waitsFrom.Store(0)
		return 0
	case s.waitsFrom.CompareAndSwap(0, now.UnixNano()):
		return 0
	}
	return now.Sub(time.Unix(0, s.waitsFrom.Load()))
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
	row := media.Recording{
		ID: s.id, Path: s.path, State: s.state, StartedAt: s.startedAt, EndedAt: s.endedAt, Duration: s.length(),
		Bytes: s.recorder.bytes.Load(), Local: true, Continues: s.continues,
	}
	row.Follow(s.settings)
	return row
}

// length is the recording's media time without fillers.
func (s *Show) length() time.Duration { return s.rate.Duration() }
