package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// standbyPoll is how often a standby looks whether it is needed, and asks who owns its stream.
	standbyPoll = 500 * time.Millisecond
	// ownerTimeout bounds the question who owns a stream.
	ownerTimeout = time.Second
	// switchPatience is how long a switch that was asked for may wait for the standby's next frame.
	switchPatience = 5 * time.Second
	// switchRetry is how long a standby that could not get the lease waits before it tries again.
	switchRetry = time.Second
	// defaultBackupAfter holds where the settings have none.
	defaultBackupAfter = 3 * time.Second
)

// Causes of a switch, as logs and metrics name them.
const (
	causeSilence = "silence"
	causeGone    = "gone"
	causeRequest = "request"
)

// standby is a publish that is kept ready beside the live feed of its stream. It is what its session's frames are
// written to until it takes over, and keeps those since the last random access point.
//
// Whether it is due is found out by a goroutine of its own, watch, which may wait for the registry. It takes over on
// its session's goroutine, with the next frame that it brings: one that brings none is no better than who is live.
type standby struct {
	feedOf
	server *Server
	stream media.Stream
	after  atomic.Int64 // the setting backup_after, in nanoseconds
	stop   context.CancelCauseFunc
	// seize acquires the lease, and occupy then takes the seat and asks the packager.
	seize  func() (epoch uint64, err error)
	occupy func(held *seat) (Publication, error)
	place  *visit
	logger *slog.Logger

	// Of the session's goroutine.
	kept  gop
	retry time.Time // before which it does not try again
	told  bool      // it was logged as ready

	pulse *pulse
	ready atomic.Bool // there is what it may begin with
	due   atomic.Pointer[switchover]
	asked atomic.Int64  // when SwitchFeed asked for it, Unix ns; zero is never
	wake  chan struct{} // has it look at once
	done  chan struct{} // closed when watch has returned
	end   context.CancelFunc
	// settled gives the stream's place among the publisher's back.
	settled func()

	here *seat // of watch: who was live on this node last, and nobody elsewhere since
}

// switchover is why a standby is to take over.
type switchover struct {
	cause  string
	silent time.Duration
	from   *pulse // the live feed's, if it is or was this node's
}

// SetTracks implements Publication.
func (b *standby) SetTracks(tracks []media.Track) error {
	if check := b.server.cfg.CheckTracks; check != nil {
		if err := check(b.stream.Settings, tracks); err != nil {
			return err
		}
	}
	b.kept.setTracks(tracks)
	b.ready.Store(b.kept.begun)
	return nil
}

// WriteFrame implements Publication.
func (b *standby) WriteFrame(frame *media.Frame) error {
	b.kept.add(frame)
	b.ready.Store(b.kept.begun)
	if b.kept.begun && !b.told {
		b.told = true
		b.logger.Info("standby is ready", "feed", b.feed)
	}
	return nil
}

// WriteMetadata implements Publication.
func (b *standby) WriteMetadata(m *media.TimedMetadata) error {
	b.kept.addMetadata(m)
	return nil
}

// Leave implements Publication: a standby that must go is stopped.
func (b *standby) Leave() {}

// Close implements Publication.
func (b *standby) Close(bool) error {
	b.server.seats.standDown(b)
	b.end()
	<-b.done
	b.settled()
	b.server.metrics.standbys.Dec()
	return nil
}

// watch looks again and again whether the standby is due, until ctx ends.
func (b *standby) watch(ctx context.Context) {
	defer close(b.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var left <-chan struct{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		case <-left:
		case <-timer.C:
		}
		due, next, leaves := b.look(ctx)
		b.due.Store(due)
		left = leaves
		timer.Reset(next)
	}
}

// look judges once: why the standby is to take over, or nil, when to look again, and what is closed when the live feed
// of this node has left.
func (b *standby) look(ctx context.Context) (due *switchover, next time.Duration, left <-chan struct{}) {
	asked := b.asked.Load()
	wanted := asked != 0 && time.Since(time.Unix(0, asked)) < switchPatience
	if live := b.server.seats.live(b.path); live != nil {
		b.here = live
		silent := live.pulse.silent()
		next = min(max(b.patience()-silent, time.Millisecond), standbyPoll)
		return b.judge(wanted, silent, live.pulse), next, live.left
	}
	if b.server.seats.awaits(b.other()) {
		return nil, standbyPoll / 10, nil
	}
	lease, owned, err := b.server.owner(ctx, b.path)
	if owned {
		b.here = nil
	}
	due = &switchover{cause: causeGone}
	if b.here != nil {
		due.from, due.silent = b.here.pulse, b.here.pulse.silent()
	}
	switch {
	case owned && lease.Feed != media.FeedNone:
		due = b.judge(wanted, lease.Silent.D(), nil)
	case err != nil && (b.here == nil || b.here.lost.Load()):
		due = nil // nobody switches across nodes while the registry is away
	}
	return due, standbyPoll, nil
}

// judge says whether the standby is to take over from who is live.
func (b *standby) judge(wanted bool, silent time.Duration, from *pulse) *switchover {
	switch {
	case wanted:
		return &switchover{cause: causeRequest, silent: silent, from: from}
	case silent >= b.patience():
		return &switchover{cause: causeSilence, silent: silent, from: from}
	}
	return nil
}

// holds says whether a cause that was found a while ago still holds, as far as this node knows.
func (b *standby) holds(due *switchover) bool {
	live := b.server.seats.live(b.path)
	switch {
	case b.server.draining.Load():
		return false
	case due.cause == causeRequest:
		return true
	case live != nil:
		return due.cause == causeSilence && live.pulse.silent() >= b.patience()
	}
	return !b.server.seats.awaits(b.other())
}

// rouse has the watch look at once.
func (b *standby) rouse() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// owner asks which other node owns a stream.
func (s *Server) owner(ctx context.Context, path media.StreamPath) (media.Lease, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, ownerTimeout)
	defer cancel()
	return s.leases.Owner(ctx, path)
}

// goesLive decides for a publish: it goes live, until settled is called as the one that is about to, unless the other
// feed is live, here or on another node. While nobody can tell it goes live, or fails for the lease.
func (s *Server) goesLive(ctx context.Context, mine feedOf) (settled func(), ok bool) {
	settled, ok = s.seats.claim(mine)
	if live := s.seats.live(mine.path); !ok || live != nil && !live.lost.Load() {
		return settled, ok
	}
	lease, owned, err := s.owner(ctx, mine.path)
	if err == nil && owned && lease.Feed == mine.other().feed {
		settled()
		return nil, false
	}
	return settled, true
}

// park begins the session of a standby. Its life does not end with ctx, which may last until the publish is answered
// only, but with stop, and its session.
func (s *Server) park(
	ctx context.Context, stream media.Stream, req request, stop context.CancelCauseFunc, settled func(),
) (*session, error) {
	life, die := context.WithCancelCause(context.WithoutCancel(ctx))
	b := &standby{
		feedOf: feedOf{stream.Path, req.target.feed()}, server: s, stream: stream, place: req.place,
		stop: func(cause error) {
			die(cause)
			stop(cause)
		},
		pulse: newPulse(), wake: make(chan struct{}, 1), done: make(chan struct{}), settled: settled,
	}
	b.setAfter(stream.Settings)
	b.end = func() { die(nil) }
	b.seize = func() (uint64, error) { return s.acquire(life, b.feedOf) }
	b.occupy = func(held *seat) (Publication, error) { return s.occupy(life, stream, held) }
	parked := s.newSession(stream, req, b, b.pulse)
	parked.standby, b.logger = b, parked.logger
	s.metrics.standbys.Inc()
	parked.logger.Info("publisher came", "encoder", req.encoder, "feed", b.feed, "standby", true)
	if replaced := s.seats.standBy(b); replaced != nil {
		replaced.stop(fmt.Errorf("stand by for %s: %w", b.path, media.ErrTakenOver))
	}
	parked.enter(stream, req)
	parked.key = s.keyholders.enter(b.path, stream.Key, b.stop)
	go b.watch(life)
	if s.draining.Load() { // since it was vetted: nobody else would send it away
		b.stop(errDraining)
	}
	return parked, nil
}

// leaveStandby is close of a session that stands by.
func (s *session) leaveStandby(ctx context.Context, cause error) {
	if s.bitrate.exceeded {
		s.server.overruns.add(s.path, s.bitrate.limit, time.Now())
	}
	s.server.sessions.leave(s.quality)
	_ = s.out.Close(cause == nil) // it can't fail
	_, attrs := s.summary(cause)
	s.logger.Log(ctx, slog.LevelInfo, "publisher left", append(attrs, "standby", true)...)
}

// takeOver makes a standby's session live, if its cause still holds. While the lease can't be had it stays what it is;
// another error ends the connection.
func (s *session) takeOver(due *switchover) error {
	b := s.standby
	if time.Now().Before(b.retry) || !b.holds(due) {
		return nil
	}
	b.asked.Store(0)
	arrives := s.server.seats.arrive(b.feedOf)
	defer arrives()
	epoch, err := b.seize()
	if err != nil {
		b.retry = time.Now().Add(switchRetry)
		s.logger.Warn("standby can't take over", "cause", due.cause, "silent", due.silent, "err", err)
		return nil
	}
	held := &seat{epoch: epoch, feed: b.feed, stop: b.stop, pulse: b.pulse, place: b.place}
	publication, err := b.occupy(held)
	if err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	s.standby, s.epoch, s.seat, s.out = nil, epoch, held, publication
	return s.begin(b, due)
}

// begin replays what a standby has kept to its publication. The arrivals are moved, so that no time of the recording
// comes before the last of who was live.
func (s *session) begin(b *standby, due *switchover) error {
	_ = b.Close(false) // it is none any more, and can't fail
	s.quality.promote(s.out, s.epoch, s.slots)
	s.server.metrics.publishers.Inc()
	s.metrics.switches.WithLabelValues(due.cause).Inc()
	var shift time.Duration
	if due.from != nil {
		shift = max(due.from.last().Sub(b.kept.first), 0)
	}
	frames, size := len(b.kept.events), len(b.kept.data)
	s.logger.Info("standby takes over", "feed", b.feed, "cause", due.cause, "silent", due.silent.Round(time.Millisecond),
		"epoch", s.epoch, "kept", time.Since(b.kept.first).Round(time.Millisecond), "kept_events", frames, "kept_bytes", size)
	var first time.Duration
	begun := false
	err := b.kept.replay(s.out, shift, func(kind media.Kind, frame *media.Frame) {
		if !begun {
			first, begun = frame.PTS, true
		}
		counters := s.metrics.kind(kind)
		counters.frames.Inc()
		counters.bytes.Add(float64(len(frame.Payload)))
	})
	if err != nil {
		return fmt.Errorf("write what was kept: %w", err)
	}
	if len(s.captions.Seen()) > 0 {
		return s.tellCaptions(first, time.Time{})
	}
	return nil
}

// SwitchFeed has a stream's standby on this node take over: feed is media.FeedPrimary or media.FeedBackup. It takes
// over with its next frame. media.ErrNotFound says that nobody publishes the stream here, media.ErrConflict that the
// feed is live already, not connected, or not ready, and media.ErrInvalid that there is no such feed.
func (s *Server) SwitchFeed(path media.StreamPath, feed string) error {
	if feed != media.FeedPrimary && feed != media.FeedBackup {
		return fmt.Errorf("%w: %.20q is no feed: use %s or %s", media.ErrInvalid, feed, media.FeedPrimary, media.FeedBackup)
	}
	mine := feedOf{path, feed}
	live, b := s.seats.live(path), s.seats.standby(mine)
	switch {
	case live != nil && live.feed == feed:
		return fmt.Errorf("%w: the %s feed of %s is live already", media.ErrConflict, feed, path)
	case b == nil && live == nil && s.seats.standby(mine.other()) == nil:
		return fmt.Errorf("%w: nobody publishes %s to this server", media.ErrNotFound, path)
	case b == nil:
		return fmt.Errorf("%w: the %s feed of %s is not connected to this server", media.ErrConflict, feed, path)
	case !b.ready.Load():
		return fmt.Errorf("%w: the %s feed of %s has sent no key frame yet: try again", media.ErrConflict, feed, path)
	case b.pulse.silent() >= b.patience():
		return fmt.Errorf("%w: the %s feed of %s is silent", media.ErrConflict, feed, path)
	}
	b.asked.Store(time.Now().UnixNano())
	b.rouse()
	return nil
}

// Feed says which feed of a stream is live on this node, and for how long it has been silent; ok is false if none is.
func (s *Server) Feed(path media.StreamPath) (feed string, silent time.Duration, ok bool) {
	live := s.seats.live(path)
	if live == nil {
		return media.FeedNone, 0, false
	}
	return live.feed, live.pulse.silent(), true
}

// Lose ends the connection that publishes the stream on this node, whose lease is another's, and says whether there was
// one. Its encoder may come back at once. A standby stays.
func (s *Server) Lose(path media.StreamPath) bool {
	live := s.seats.live(path)
	if live == nil {
		return false
	}
	live.lost.Store(true)
	live.stop(fmt.Errorf("publish %s: %w", path, media.ErrFenced))
	return true
}
