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

// Leases gives ownership of streams. Acquire takes it from any other holder, under an epoch that only grows; Release of
// an epoch that is no longer the newest does nothing.
type Leases interface {
	Acquire(ctx context.Context, path media.StreamPath) (epoch uint64, err error)
	Release(ctx context.Context, path media.StreamPath, epoch uint64) error
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
	epoch   uint64
	seat    *seat
	logger  *slog.Logger
	opened  time.Time
	figures []any // what its protocol adds to the last log line
	bitrate bitrate
}

// open accepts a publisher: it checks the key, and admits it.
func (s *Server) open(ctx context.Context, req request, stop context.CancelCauseFunc) (*session, error) {
	stream, err := s.authorize(ctx, req.target)
	if err != nil {
		s.damp(ctx, req, err)
		return nil, fmt.Errorf("authorise: %w", err)
	}
	return s.admit(ctx, stream, req, stop)
}

// admit begins a session for who may publish the stream: it takes the lease, sends the stream's former publisher away
// and asks the packager. stop is called, with the cause, when this publisher must go in its turn.
func (s *Server) admit(
	ctx context.Context, stream media.Stream, req request, stop context.CancelCauseFunc,
) (*session, error) {
	path := stream.Path
	if req.consent != nil {
		if err := req.consent(stream); err != nil {
			return nil, fmt.Errorf("publish %s: %w", path, err)
		}
	}
	if err := s.refused(ctx, stream); err != nil {
		return nil, fmt.Errorf("publish %s: %w", path, err)
	}
	if err := s.overruns.check(stream, time.Now()); err != nil {
		return nil, fmt.Errorf("publish %s: %w", path, err)
	}
	settled, err := s.countIn(stream)
	if err != nil {
		return nil, fmt.Errorf("publish %s: %w", path, err)
	}
	defer settled()
	if !req.place.publishes() {
		return nil, errCrowded
	}
	leaseCtx, cancel := context.WithTimeout(ctx, s.cfg.ServiceTimeout)
	defer cancel()
	// Before the takeover: while leases cannot be had, who is live stays live.
	epoch, err := s.leases.Acquire(leaseCtx, path)
	if err != nil {
		return nil, fmt.Errorf("acquire %s: %w", path, err)
	}
	taken, err := s.seats.take(ctx, path, epoch, s.cfg.TakeoverTimeout, stop)
	if err != nil {
		s.release(ctx, path, epoch)
		return nil, err
	}
	publishCtx, cancelPublish := context.WithTimeout(ctx, s.cfg.ServiceTimeout)
	defer cancelPublish()
	publication, err := s.packager.Publish(publishCtx, stream, epoch)
	if err != nil {
		s.release(ctx, path, epoch)
		s.seats.leave(path, taken)
		return nil, fmt.Errorf("publish %s: %w", path, err)
	}
	logger := s.logger.With("publisher", path.Publisher, "stream", path.Stream, "remote", req.remote,
		"protocol", req.protocol)
	logger.Info("publisher came", "encoder", req.encoder, "epoch", epoch)
	s.metrics.published.WithLabelValues(req.protocol).Inc()
	s.metrics.publishers.Inc()
	accepted := &session{
		lineup: newLineup(s.cfg, publication, s.metrics),
		server: s, path: path, epoch: epoch, seat: taken, logger: logger, opened: time.Now(),
		bitrate: bitrate{limit: stream.Settings.MaxBitrate},
	}
	accepted.quality.begin(media.IngestReport{
		Publisher: path.Publisher, Stream: path.Stream, Protocol: req.protocol, Remote: req.remote, Encoder: req.encoder,
		Group: stream.Settings.Group, Epoch: epoch, StartedAt: accepted.opened.UTC().Truncate(time.Millisecond),
	}, stream.Settings.MaxBitrate, logger)
	s.sessions.enter(accepted.quality)
	return accepted, nil
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

// countIn holds the publisher's limit of streams against those that are live on this node, and counts this one among
// them until settled is called: by then it has its seat, or it failed. It is the one place that knows where "live" is
// looked up.
func (s *Server) countIn(stream media.Stream) (settled func(), err error) {
	live, settled := s.seats.reserve(stream.Path)
	if most := stream.Settings.MaxStreams; most > 0 && live >= most {
		settled()
		return nil, fmt.Errorf("%w: %s has %d streams live and may have %d at once: stop another one first",
			media.ErrLimit, stream.Path.Publisher, live, most)
	}
	return settled, nil
}

// write shadows the lineup's, to hold what comes against the publisher's limit.
func (s *session) write(id trackID, frame *media.Frame) error {
	if err := s.bitrate.add(len(frame.Payload), frame.Wall); err != nil {
		return err
	}
	return s.lineup.write(id, frame)
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
	if clean || isLoss(cause) || errors.Is(cause, os.ErrDeadlineExceeded) { // else the packager wants no more
		failed = s.flush()
	}
	if s.bitrate.exceeded {
		s.server.overruns.add(s.path, s.bitrate.limit, time.Now())
	}
	s.server.sessions.leave(s.quality)
	failed = errors.Join(failed, s.out.Close(clean))
	s.server.release(ctx, s.path, s.epoch)
	s.server.seats.leave(s.path, s.seat)

	how := leftHow(cause)
	s.metrics.publishers.Dec()
	s.metrics.left.WithLabelValues(strings.ReplaceAll(how, " ", "_")).Inc()
	attrs := []any{"how", how, "dur", time.Since(s.opened).Round(time.Millisecond), "frames", s.frames,
		"bytes", s.bytes}
	attrs = append(attrs, s.quality.end()...)
	attrs = append(attrs, s.figures...)
	if cause != nil {
		attrs = append(attrs, "err", cause)
	}
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
