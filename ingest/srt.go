package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// srtAnswerTimeout is how long a client may wait for its answer: it gives up after 3 s.
	srtAnswerTimeout = 2500 * time.Millisecond
	// srtQueueLimit is what a connection may send while its packager is busy, in bytes.
	srtQueueLimit = 8 << 20
	// maxSRTLatency and maxSRTHeld bound what the library holds back for a client that asks for it.
	maxSRTLatency = 10 * time.Second
	maxSRTHeld    = 64 << 20
)

// ServeSRT accepts SRT publishers until ctx ends, which is no error: then the listener and all connections are closed,
// and all goroutines have left when it returns.
func (s *Server) ServeSRT(ctx context.Context, listener *SRTListener) error {
	const protocol = "srt"
	life, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	var handlers sync.WaitGroup
	defer handlers.Wait()
	defer stop(errClosing)
	var hall hall
	unhook := context.AfterFunc(ctx, func() {
		s.empty(&hall)   // who comes meanwhile is refused
		stop(errClosing) // before, so that connections know why they end
		_ = listener.Close()
	})
	defer unhook()
	count := func(what string) { s.metrics.srtPackets.WithLabelValues(what).Inc() }
	listener.events.count.Store(&count)
	connections := s.metrics.connections.WithLabelValues(protocol)
	accepted := s.metrics.accepted.WithLabelValues(protocol)
	for {
		req, err := listener.accept()
		switch {
		case ctx.Err() != nil:
			if err != nil {
				return nil
			}
			req.reject(refuse(errDraining).srt)
			continue
		case err != nil:
			return fmt.Errorf("accept %s: %w", protocol, err)
		}
		own, drop := context.WithCancelCause(life)
		place, reason := s.door.enter(origin(req.remote), drop)
		if reason != "" {
			drop(nil)
			s.logCrowd(req.remote, protocol, reason)
			req.reject(srtOverload)
			continue
		}
		place.hall = &hall
		accepted.Inc()
		connections.Inc()
		handlers.Go(func() {
			defer drop(nil)
			defer connections.Dec()
			defer place.leave()
			s.serveSRT(own, req, place)
		})
	}
}

// serveSRT answers one request and publishes what it sends. The key is checked before the answer, and before the
// passphrase, which is the stream's.
func (s *Server) serveSRT(ctx context.Context, req *srtRequest, place *visit) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	logger := s.logger.With("remote", req.remote, "protocol", "srt")
	asked, err := parseStreamID(req.streamID)
	var session *session
	if err == nil {
		session, err = s.openSRT(ctx, request{
			target: asked, protocol: "srt", remote: req.remote, place: place, consent: req.decrypt,
		}, stop)
	}
	if err != nil {
		r := refuse(err)
		req.reject(r.srt)
		s.logRefusal(logger.With("code", r.srt), req.remote, r, asked)
		return
	}
	socket, err := req.accept()
	if err != nil {
		session.close(ctx, err)
		return
	}
	p := &srtPublisher{
		session: session, socket: socket, queue: newSRTQueue(srtQueueLimit), metrics: s.metrics,
		demuxer: newTSDemuxer(session, s.cfg.MaxFrame, asked.program), idle: s.cfg.IdleTimeout,
		bytes: s.metrics.bytes.WithLabelValues("srt"),
	}
	err = p.run(ctx)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	p.poll()
	session.figures = p.attrs()
	session.close(ctx, err)
	if isRefusal(err) {
		s.logRefusal(logger, req.remote, refuse(err), asked)
	}
}

func (s *Server) openSRT(ctx context.Context, req request, stop context.CancelCauseFunc) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, srtAnswerTimeout)
	defer cancel()
	return s.open(ctx, req, stop)
}

// srtPublisher is one accepted SRT connection: a goroutine that drains the library, and one that demuxes.
type srtPublisher struct {
	session *session
	socket  *srtSocket
	queue   *srtQueue
	demuxer *tsDemuxer
	metrics *metrics
	bytes   prometheus.Counter
	idle    time.Duration

	batch     srtBatch   // the one that is looked at
	counted   srtFigures // what the metrics have
	overflow  int64      // datagrams that the queue dropped, counted likewise
	lastData  time.Time
	lastMedia time.Time
}

// run publishes until the end, and says why it ended: nil after a goodbye. The connection is closed then.
func (p *srtPublisher) run(ctx context.Context) error {
	var reader sync.WaitGroup
	defer reader.Wait()
	defer p.socket.close()
	reader.Go(func() {
		p.queue.close(orEOF(p.socket.receive(func(data []byte, gap bool) { p.queue.put(data, gap, time.Now()) })))
	})
	tick := time.NewTicker(min(time.Second, p.idle/4))
	defer tick.Stop()
	p.lastData, p.lastMedia = time.Now(), time.Now()
	p.session.quality.transport = p.transport
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.queue.ready:
			if err := p.takeBatch(); errors.Is(err, io.EOF) {
				return p.demuxer.flush() // the last picture is whole
			} else if err != nil {
				return err
			}
		case <-tick.C:
			if err := p.watch(); err != nil {
				return err
			}
		}
	}
}

// orEOF makes a goodbye an end.
func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// takeBatch demuxes what has come. io.EOF is a goodbye, after the last byte.
func (p *srtPublisher) takeBatch() error {
	var end error
	p.batch, end = p.queue.take(p.batch)
	data, before := p.batch.data, p.demuxer.emitted
	p.bytes.Add(float64(len(data)))
	for _, piece := range p.batch.pieces {
		if piece.gap {
			p.session.repaired(repairSRTGap)
			p.demuxer.gap()
		}
		if err := p.demuxer.feed(data[:piece.size], piece.wall); err != nil {
			return err
		}
		data = data[piece.size:]
	}
	now := time.Now() // not the pieces' time: the packager may have held us back
	if len(p.batch.pieces) > 0 {
		p.lastData = now
	}
	if p.demuxer.emitted > before {
		p.lastMedia = now
	}
	return end
}

// watch ends a connection that brings nothing, or too much at once: the library's deadlines do nothing.
func (p *srtPublisher) watch() error {
	p.poll()
	now := time.Now()
	p.session.tick(now)
	switch f := p.counted; {
	case f.latency > maxSRTLatency:
		return fmt.Errorf("%w: a latency of %v: set the encoder's to %v at most", media.ErrTooLarge, f.latency, maxSRTLatency)
	case f.held > maxSRTHeld:
		return fmt.Errorf("%w: %d bytes within the latency of %v: set the encoder's lower",
			media.ErrTooLarge, f.held, f.latency)
	case now.Sub(p.lastData) > p.idle:
		return fmt.Errorf("no packet for %v: %w", p.idle, os.ErrDeadlineExceeded)
	case now.Sub(p.lastMedia) <= p.idle:
		return nil
	case p.demuxer.emitted == 0 && len(p.demuxer.skipped) > 0:
		return fmt.Errorf("%w: nothing but %s came: set the encoder to H.264 or HEVC with AAC", media.ErrUnsupported,
			strings.Join(p.demuxer.skipped, ", "))
	case p.demuxer.emitted == 0 && !p.demuxer.synced:
		return fmt.Errorf("%w: what came is no MPEG transport stream: set the encoder's format to mpegts",
			media.ErrUnsupported)
	}
	return errSilent
}

// poll brings the metrics up to the connection's counts.
func (p *srtPublisher) poll() {
	f, overflow := p.socket.figures(), p.queue.drops()
	for _, c := range []struct {
		what     string
		now, was int64
	}{
		{"received", f.received, p.counted.received},
		{"lost", f.lost, p.counted.lost},
		{"retransmitted", f.retransmitted, p.counted.retransmitted},
		{"discarded", f.discarded, p.counted.discarded},
		{"undecrypted", f.undecrypted, p.counted.undecrypted},
		{"missing", f.missing, p.counted.missing},
		{"overflow", overflow, p.overflow},
	} {
		if c.now > c.was {
			p.metrics.srtPackets.WithLabelValues(c.what).Add(float64(c.now - c.was))
		}
	}
	p.counted, p.overflow = f, overflow
}

// transport tells of the connection below the session, as of the last poll.
func (p *srtPublisher) transport() media.IngestTransport {
	f := p.counted
	return media.IngestTransport{
		ReceivedBytes: f.bytes, NotTaken: slices.Clone(p.demuxer.skipped),
		SRT: &media.SRTReport{
			RTTMS: round(float64(f.roundTrip)/float64(time.Millisecond), 10), LatencyMS: f.latency.Milliseconds(),
			BufferBytes: f.held, BufferMS: f.heldFor.Milliseconds(), Received: f.received, Lost: f.lost,
			Retransmitted: f.retransmitted, Discarded: f.discarded, Undecrypted: f.undecrypted, Missing: f.missing,
			Overflow: p.overflow,
		},
	}
}

// attrs is what the log says of the connection at its end.
func (p *srtPublisher) attrs() []any {
	f := p.counted
	attrs := []any{slog.Group("srt_packets", "received", f.received, "lost", f.lost, "retransmitted", f.retransmitted,
		"missing", f.missing, "overflow", p.overflow), "latency", f.latency}
	if len(p.demuxer.skipped) > 0 {
		attrs = append(attrs, "not_taken", strings.Join(p.demuxer.skipped, ", "))
	}
	return attrs
}
