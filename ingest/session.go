package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Authorizer checks a publish before it is accepted. Its errors are media.ErrDenied for a wrong key and
// media.ErrUnavailable when it cannot tell.
type Authorizer interface {
	// AuthorizeKey finds the stream of a secret key.
	AuthorizeKey(ctx context.Context, key string) (media.Stream, error)
	// AuthorizePath checks a key against a named stream.
	AuthorizePath(ctx context.Context, path media.StreamPath, key string) (media.Stream, error)
}

// Leases gives ownership of streams.
type Leases interface {
	// Acquire takes it for a feed, media.FeedPrimary or media.FeedBackup, from any other holder, under an epoch that only
	// grows. What this node holds already it is given even when other nodes can't be asked; else that is an
	// media.ErrUnavailable.
	Acquire(ctx context.Context, path media.StreamPath, feed string) (epoch uint64, err error)
	// Release gives it back. Of an epoch that is no longer the newest it does nothing.
	Release(ctx context.Context, path media.StreamPath, epoch uint64) error
	// Owner gives the lease that another node holds; ok is false if none does, or this one. It fails when nobody can tell.
	Owner(ctx context.Context, path media.StreamPath) (lease media.Lease, ok bool, err error)
}

// Packager takes the media of accepted publishers.
type Packager interface {
	Publish(ctx context.Context, stream media.Stream, epoch uint64) (Publication, error)
}

// Publication is one publishing connection on the packager's side. It is used by one goroutine.
type Publication interface {
	// SetTracks says what the connection carries, before the first frame and again when tracks or their configurations
	// change: video first, each kind in the protocol's order. Name, Kind, Codec, Config and Unit are set, and Language,
	// Label, Width and Height where they are known. media.ErrLimit refuses a picture that the publisher may not send.
	SetTracks(tracks []media.Track) error
	// WriteFrame takes a frame, whose payload it may use until it returns. It may block: that holds the publisher back.
	// An error ends the connection.
	WriteFrame(frame *media.Frame) error
	// WriteMetadata takes a piece of timed metadata, whose payload it may use until it returns. Before the first frame it
	// is kept for the begin of the show.
	WriteMetadata(m *media.TimedMetadata) error
	// Leave has the publication end with the segment that grows: the WriteFrame whose frame would begin the next one is
	// media.ErrUnavailable. Until then all goes on.
	Leave()
	// Close ends the publication; clean says that the publisher said goodbye. Calls after the first do nothing.
	Close(clean bool) error
}

// request is what a client of any protocol asks for.
type request struct {
	target   target
	protocol string
	remote   string
	encoder  string // what the client says it is
	place    *visit // of its connection; nil where it came by no listener
	// consent, if set, is asked before the stream's former publisher is sent away.
	consent func(media.Stream) error
}

// session is one accepted publisher. It is used by its connection's goroutine.
type session struct {
	lineup
	server  *Server
	path    media.StreamPath
	epoch   uint64 // zero of a standby, as seat is nil
	seat    *seat
	pulse   *pulse
	logger  *slog.Logger
	opened  time.Time
	figures []any // what its protocol adds to the last log line
	bitrate bitrate
	leaves  bool // it was asked to leave, and has told the publication
	key     *keyholder
}

// open accepts a publisher: it checks the key, and admits it.
func (s *Server) open(ctx context.Context, req request, stop context.CancelCauseFunc) (*session, error) {
	stream, err := s.authorize(ctx, req.target)
	if err != nil {
		s.damp(ctx, req, err)
		return nil, blame(fmt.Errorf("authorise: %w", err),
			"the server cannot check this stream key, for its catalog is away: try again in a moment")
	}
	return s.admit(ctx, stream, req, stop)
}

// admit begins a session for who may publish the stream: a standby's while the other feed is live, else one that takes
// the lease, sends the stream's former publisher away and asks the packager. stop is called, with the cause, when this
// publisher must go in its turn.
func (s *Server) admit(
	ctx context.Context, stream media.Stream, req request, stop context.CancelCauseFunc,
) (*session, error) {
	path := stream.Path
	if err := s.vet(ctx, stream, req); err != nil {
		return nil, fmt.Errorf("publish %s: %w", path, err)
	}
	settled, err := s.countIn(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("publish %s: %w", path, err)
	}
	if !req.place.publishes() {
		settled()
		return nil, errCrowded
	}
	mine := feedOf{path, req.target.feed()}
	arrived, ok := s.goesLive(ctx, mine)
	if !ok {
		return s.park(ctx, stream, req, stop, settled)
	}
	defer settled()
	defer arrived()
	// Before the takeover: while leases cannot be had, who is live stays live.
	epoch, err := s.acquire(ctx, mine)
	if err != nil {
		return nil, err
	}
	held := &seat{epoch: epoch, feed: mine.feed, stop: stop, pulse: newPulse(), place: req.place}
	publication, err := s.occupy(ctx, stream, held)
	if err != nil {
		return nil, err
	}
	if old := s.seats.standby(mine); old != nil { // it waited for what has come without it
		old.stop(fmt.Errorf("stand by for %s: %w", path, media.ErrTakenOver))
	}
	accepted := s.newSession(stream, req, publication, held.pulse)
	accepted.epoch, accepted.seat = epoch, held
	s.metrics.publishers.Inc()
	accepted.logger.Info("publisher came", "encoder", req.encoder, "epoch", epoch, "feed", mine.feed)
	accepted.enter(stream, req)
	accepted.key = s.keyholders.enter(path, stream.Key, stop)
	return accepted, nil
}

// vet asks all who have a say in who publishes.
func (s *Server) vet(ctx context.Context, stream media.Stream, req request) error {
	if s.draining.Load() || req.place.closing() {
		return errDraining
	}
	if req.consent != nil {
		if err := req.consent(stream); err != nil {
			return err
		}
	}
	if err := s.refused(ctx, stream); err != nil {
		return err
	}
	return s.overruns.check(stream, time.Now())
}

// acquire takes a stream's lease.
func (s *Server) acquire(ctx context.Context, mine feedOf) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ServiceTimeout)
	defer cancel()
	epoch, err := s.leases.Acquire(ctx, mine.path, mine.feed)
	if err != nil {
		return 0, blame(fmt.Errorf("acquire %s: %w", mine.path, err),
			"the servers cannot tell who has the stream, for their registry is away: try again in a moment")
	}
	return epoch, nil
}

// occupy takes a seat under a lease, and asks the packager. If it fails the lease is given back.
func (s *Server) occupy(ctx context.Context, stream media.Stream, held *seat) (Publication, error) {
	path := stream.Path
	if err := s.seats.take(ctx, path, held, s.cfg.TakeoverTimeout); err != nil {
		s.release(ctx, path, held.epoch)
		return nil, err
	}
	publishCtx, cancel := context.WithTimeout(ctx, s.cfg.ServiceTimeout)
	defer cancel()
	var publication Publication
	err := errDraining // it may have begun since it was asked for first: it does not wait for who comes now
	if !s.draining.Load() {
		publication, err = s.packager.Publish(publishCtx, stream, held.epoch)
	}
	if err != nil {
		s.release(ctx, path, held.epoch)
		s.seats.leave(path, held)
		return nil, fmt.Errorf("publish %s: %w", path, err)
	}
	return publication, nil
}

// newSession makes the session of an accepted publish.
func (s *Server) newSession(stream media.Stream, req request, out Publication, pulse *pulse) *session {
	path := stream.Path
	s.metrics.published.WithLabelValues(req.protocol).Inc()
	return &session{
		lineup: newLineup(s.cfg, out, s.metrics), server: s, path: path, pulse: pulse, opened: time.Now(),
		logger: s.logger.With("publisher", path.Publisher, "stream", path.Stream, "remote", req.remote,
			"protocol", req.protocol),
		bitrate: bitrate{limit: stream.Settings.MaxBitrate},
	}
}

// enter has the session told of by Sessions.
func (s *session) enter(stream media.Stream, req request) {
	s.quality.begin(media.IngestReport{
		Publisher: s.path.Publisher, Stream: s.path.Stream, Protocol: req.protocol, Remote: req.remote,
		Encoder: req.encoder, Group: stream.Settings.Group, Epoch: s.epoch, Feed: req.target.feed(),
		Standby: s.standby != nil, KeyID: stream.Key.ID, StartedAt: s.opened.UTC().Truncate(time.Millisecond),
	}, stream.Settings.MaxBitrate, s.logger)
	s.server.sessions.enter(s.quality)
}

// refused asks whoever else has a say.
func (s *Server) refused(ctx context.Context, stream media.Stream) error {
	if s.cfg.Refuse == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ServiceTimeout)
	defer cancel()
	return s.cfg.Refuse(ctx, stream)
}

// countIn holds the publisher's limit of streams against those that are live, and counts this one among them until
// settled is called: by then it has its seat, or it failed, or stands by no more. It is the one place that knows where
// "live" is looked up: on this node, and on the others if they can be asked.
func (s *Server) countIn(ctx context.Context, stream media.Stream) (settled func(), err error) {
	others, settled := s.seats.reserve(stream.Path)
	most := stream.Settings.MaxStreams
	if most > 0 && len(others) < most && s.cfg.LiveElsewhere != nil {
		askCtx, cancel := context.WithTimeout(ctx, s.cfg.ServiceTimeout)
		defer cancel()
		elsewhere, err := s.cfg.LiveElsewhere(askCtx, stream.Path.Publisher)
		if err != nil {
			s.logger.Warn("max_streams counts this node only", "publisher", stream.Path.Publisher, "err", err)
		}
		for _, path := range elsewhere {
			if path != stream.Path {
				others[path] = true
			}
		}
	}
	if live := len(others); most > 0 && live >= most {
		settled()
		return nil, fmt.Errorf("%w: %s has %d streams live and may have %d at once: stop another one first",
			media.ErrLimit, stream.Path.Publisher, live, most)
	}
	return settled, nil
}

// write shadows the lineup's, to hold what comes against the publisher's limit, to leave when it is asked to, and to
// take over.
func (s *session) write(id trackID, frame *media.Frame) error {
	s.pulse.begin()
	defer s.pulse.end()
	if err := s.bitrate.add(len(frame.Payload), frame.Wall); err != nil {
		return err
	}
	if s.seat != nil && !s.leaves && s.seat.leaving.Load() {
		s.leaves = true
		s.out.Leave()
	}
	err := s.lineup.write(id, frame)
	if err != nil && s.leaves && errors.Is(err, media.ErrUnavailable) {
		return errDraining // at a segment's end, as it was asked to
	}
	if err != nil || s.standby == nil {
		return err
	}
	if due := s.standby.due.Load(); due != nil && s.standby.kept.begun {
		return s.takeOver(due)
	}
	return nil
}

func (s *Server) authorize(ctx context.Context, t target) (media.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ServiceTimeout)
	defer cancel()
	if t.path == (media.StreamPath{}) {
		return s.auth.AuthorizeKey(ctx, t.key)
	}
	return s.auth.AuthorizePath(ctx, t.path, t.key)
}

// release gives a lease back, even when the connection's context is done.
func (s *Server) release(ctx context.Context, path media.StreamPath, epoch uint64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ServiceTimeout)
	defer cancel()
	if err := s.leases.Release(ctx, path, epoch); err != nil {
		s.logger.Warn("lease not released: it runs out", "publisher", path.Publisher, "stream", path.Stream, "err", err)
	}
}

// close ends the session: cause is nil when the publisher said goodbye.
func (s *session) close(ctx context.Context, cause error) {
	clean := cause == nil
	var failed error
	s.server.keyholders.leave(s.key)
	if s.standby != nil {
		s.leaveStandby(ctx, cause)
		return
	}
	if clean || isLoss(cause) || errors.Is(cause, os.ErrDeadlineExceeded) { // else the packager wants no more
		failed = s.flush()
	}
	if s.bitrate.exceeded {
		s.server.overruns.add(s.path, s.bitrate.limit, time.Now())
	}
	s.server.sessions.leave(s.quality)
	// While the other feed stands by, a goodbye is not the show's.
	mine := feedOf{s.path, s.seat.feed}
	failed = errors.Join(failed, s.out.Close(clean && s.server.seats.standby(mine.other()) == nil))
	s.server.release(ctx, s.path, s.epoch)
	s.server.seats.leave(s.path, s.seat)

	s.metrics.publishers.Dec()
	how, attrs := s.summary(cause)
	if failed != nil {
		s.logger.Warn("publisher left, end of publication failed", append(attrs, "close_err", failed)...)
		return
	}
	level := slog.LevelInfo
	if how == reasonInternal || errors.Is(cause, media.ErrUnavailable) { // our fault, not the publisher's
		level = slog.LevelWarn
	}
	s.logger.Log(ctx, level, "publisher left", attrs...)
}

// summary counts the end of the session, and says what the log tells of it.
func (s *session) summary(cause error) (how string, attrs []any) {
	how = leftHow(cause)
	s.metrics.left.WithLabelValues(strings.ReplaceAll(how, " ", "_")).Inc()
	attrs = []any{"how", how, "dur", time.Since(s.opened).Round(time.Millisecond), "frames", s.frames,
		"bytes", s.bytes}
	attrs = append(attrs, s.quality.end()...)
	attrs = append(attrs, s.figures...)
	if cause != nil {
		attrs = append(attrs, "err", cause)
	}
	return how, attrs
}

// leftHow names the end of a session in a few words.
func leftHow(cause error) string {
	switch {
	case cause == nil:
		return "clean"
	case isLoss(cause):
		return "lost"
	default:
		return refuse(cause).reason
	}
}
