package ingest

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Times between tries.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 30 * time.Second
	// goodPull is how long media must have come for the next failure to count as the first.
	goodPull = time.Minute
)

// pull follows one source. Its methods but run may be called by any goroutine.
type pull struct {
	puller *Puller
	source media.Source
	stop   context.CancelCauseFunc
	done   chan struct{} // closed when run has returned
	logger *slog.Logger
	demand chan struct{} // holds one token when somebody wants the stream
	ended  string        // the show that was played to its end; run's
	asked  atomic.Int64  // when somebody wanted it last, Unix ns; zero is never

	mu struct {
		sync.Mutex
		status media.SourceStatus
	}
}

// run tries the source again and again until ctx ends.
func (q *pull) run(ctx context.Context) {
	for ctx.Err() == nil {
		if !q.awaitDemand(ctx) {
			return
		}
		q.set(media.SourceConnecting, func(s *media.SourceStatus) { s.NextRetry = time.Time{} })
		good, err := q.attempt(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errUnwatched):
			q.logger.Info("source let go: nobody watches")
			q.set(media.SourceOff, func(s *media.SourceStatus) { s.LastError, s.Retries = "", 0 })
			continue
		}
		q.standBy(ctx, good, err)
	}
}

// standBy waits for the next try.
func (q *pull) standBy(ctx context.Context, good time.Duration, err error) {
	said := "the source ended the stream"
	if err != nil {
		said = withoutURL(err).Error()
	}
	var delay time.Duration
	level := slog.LevelWarn
	if errors.Is(err, errElsewhere) || errors.Is(err, errEnded) {
		level = slog.LevelInfo
	}
	if q.status().LastError == said {
		level = slog.LevelDebug // the same every half a minute
	}
	q.set(media.SourceWaiting, func(s *media.SourceStatus) {
		if good >= goodPull {
			s.Retries = 0
		}
		if errors.Is(err, errElsewhere) { // no fault of the source: who has the stream may be a node that is gone soon
			delay = jitter(elsewhereRetry)
			s.Retries = 0
		} else {
			delay = retryDelay(s.Retries)
			s.Retries++
		}
		s.LastError, s.NextRetry = said, time.Now().Add(delay)
	})
	q.puller.server.metrics.sourceRetries.Inc()
	q.logger.Log(ctx, level, "source lost", "retry_in", delay.Round(time.Millisecond),
		"retries", q.status().Retries, "err", said)
	pause(ctx, delay)
}

// retryDelay doubles from the first to the last, give or take a fifth, so that a thousand sources of one server do not
// all come back at once.
func retryDelay(retries int) time.Duration {
	delay := lastRetry
	if retries < 6 {
		delay = min(lastRetry, firstRetry<<retries)
	}
	return jitter(delay)
}

// elsewhereRetry is how long a source waits before it looks again whether its stream is still published by another.
const elsewhereRetry = 2 * time.Second

// jitter gives or takes a fifth.
func jitter(delay time.Duration) time.Duration {
	return time.Duration(float64(delay) * (0.8 + 0.4*rand.Float64()))
}

// awaitDemand waits until the source is wanted; it is false when ctx has ended.
func (q *pull) awaitDemand(ctx context.Context) bool {
	if q.source.Mode != media.SourceOnDemand || q.watched() {
		return true
	}
	q.set(media.SourceOff, func(s *media.SourceStatus) { s.NextRetry = time.Time{} })
	for !q.watched() {
		select {
		case <-q.demand:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// watched says whether somebody asked for the stream within the idle timeout.
func (q *pull) watched() bool {
	asked := q.asked.Load()
	return asked != 0 && time.Since(time.Unix(0, asked)) < q.source.IdleTimeout.D()
}

// wanted is Puller.Wanted. While it waits for its next try a source is not about to bring anything: viewers need not
// wait with it.
func (q *pull) wanted() bool {
	if q.source.Mode == media.SourceOnDemand {
		q.asked.Store(time.Now().UnixNano())
		select {
		case q.demand <- struct{}{}:
		default:
		}
		return q.status().State != media.SourceWaiting
	}
	state := q.status().State
	return state == media.SourceConnecting || state == media.SourceLive
}

// attempt connects and publishes until the end, and says for how long it was live. A nil error is the source's goodbye.
func (q *pull) attempt(ctx context.Context) (good time.Duration, err error) {
	p, path := q.puller, q.source.Path
	taken, err := p.taken(ctx, path)
	if err == nil && taken {
		err = errElsewhere
	}
	if err != nil {
		return 0, err
	}
	setup, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	from, err := p.connect(setup, q.source)
	if err != nil {
		return 0, err
	}
	defer from.close()
	if show := from.ended(); show != "" && show == q.ended {
		return 0, errEnded
	}
	stream, err := p.sources.Stream(setup, path)
	if err != nil {
		return 0, err
	}
	// Again: the source may have taken its time.
	if taken, err := p.taken(ctx, path); err != nil || taken {
		return 0, errors.Join(err, errElsewhere)
	}
	return q.publish(ctx, stream, from)
}

// publish is attempt, once the source was reached.
func (q *pull) publish(ctx context.Context, stream media.Stream, from feed) (good time.Duration, err error) {
	p := q.puller
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	u, _ := url.Parse(q.source.URL) // it did when it was dialled
	session, err := p.server.admit(ctx, stream, request{
		target: target{path: stream.Path}, protocol: "pull_" + u.Scheme, remote: u.Host, encoder: "source",
	}, stop)
	if err != nil {
		return 0, err
	}
	q.logger.Info("source connected")
	q.set(media.SourceLive, func(s *media.SourceStatus) { s.LastError = "" })
	unwatch := q.watch(ctx, stop)
	begun := time.Now()
	err = from.run(ctx, session)
	unwatch()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		q.ended = from.ended()
	}
	good = time.Since(begun)
	if session.frames == 0 {
		good = 0
	}
	cause := err
	if errors.Is(err, errUnwatched) || errors.Is(err, errSourceRemoved) {
		cause = nil // that is the stream's goodbye: EndOnUnpublish counts
	}
	session.close(ctx, cause)
	return good, err
}

// watch stops a source on demand that nobody watches any more. The func ends it.
func (q *pull) watch(ctx context.Context, stop context.CancelCauseFunc) (end func()) {
	if q.source.Mode != media.SourceOnDemand {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for ctx.Err() == nil {
			if !q.watched() {
				stop(errUnwatched)
				return
			}
			left := q.source.IdleTimeout.D() - time.Since(time.Unix(0, q.asked.Load()))
			pause(ctx, max(left, time.Millisecond))
		}
	})
	return func() {
		cancel()
		watcher.Wait()
	}
}

func (q *pull) status() media.SourceStatus {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.status
}

// set moves to a state.
func (q *pull) set(state media.SourceState, change func(*media.SourceStatus)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if was := q.mu.status.State; was != state {
		sources := q.puller.server.metrics.sources
		sources.WithLabelValues(string(was)).Dec()
		sources.WithLabelValues(string(state)).Inc()
		q.mu.status.State, q.mu.status.Since = state, time.Now()
	}
	change(&q.mu.status)
}
