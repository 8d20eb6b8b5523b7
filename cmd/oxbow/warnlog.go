package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// maxWarnings is how many warnings wait while the catalog is away; the oldest are dropped.
	maxWarnings = 4096
	// warningBatch is how many go in one transaction.
	warningBatch = 100
	// warningCall bounds one, and warningFlush the last at a stop.
	warningCall  = 10 * time.Second
	warningFlush = 2 * time.Second
	// warningRetry and warningRetryMax are the first and the longest wait while the catalog is away.
	warningRetry    = 250 * time.Millisecond
	warningRetryMax = 10 * time.Second
)

// warningLog brings ingest's warnings to the log of events: warned never waits, Run does the work.
type warningLog struct {
	node, cluster string
	// current gives the recording of a stream that is live.
	current func(media.StreamPath) (media.RecordingID, bool)
	add     func(ctx context.Context, events ...media.LogEvent) error
	logger  *slog.Logger
	dropped prometheus.Counter
	wake    chan struct{}

	mu      sync.Mutex
	waiting []media.LogEvent
}

func newWarningLog(
	n *node, current func(media.StreamPath) (media.RecordingID, bool),
) *warningLog {
	l := &warningLog{
		node: n.self.ID, cluster: n.Cluster, current: current, add: n.catalog.AddEvents, logger: n.logger,
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "oxbow_ingest_log_warnings_dropped_total",
			Help: "Warnings that are not in the log of events because too many waited for the catalog.",
		}),
		wake: make(chan struct{}, 1),
	}
	n.metrics.MustRegister(l.dropped)
	return l
}

// warned takes what ingest tells. The key makes a save that is repeated count once.
func (l *warningLog) warned(path media.StreamPath, w media.IngestWarning, state string) {
	id, _ := l.current(path)
	e := media.LogEvent{
		Type: media.EventIngestWarning, Time: time.Now().UTC(), Publisher: path.Publisher, Stream: path.Stream,
		Recording: id, Cluster: l.cluster,
		Key: fmt.Sprintf("%s:%s:%s:%d:%s", l.node, path, w.Code, w.Since.UnixMilli(), state),
		Data: media.MarshalEventData(media.WarningData{
			Code: w.Code, Severity: w.Severity, Text: w.Text, State: state, Node: l.node, Since: w.Since.UTC(),
		}),
	}
	l.mu.Lock()
	if len(l.waiting) >= maxWarnings {
		l.waiting = l.waiting[1:]
		l.dropped.Inc()
	}
	l.waiting = append(l.waiting, e)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run saves what comes until ctx ends, and then what is left, for a moment.
func (l *warningLog) Run(ctx context.Context) error {
	wait, away := warningRetry, false
	for {
		err := l.drain(ctx)
		if (err != nil) != away && ctx.Err() == nil {
			away = err != nil
			l.logger.Info("warnings are logged as events", "works", !away, "err", err)
		}
		var again <-chan time.Time
		if err != nil {
			again = time.After(wait)
			wait = min(2*wait, warningRetryMax)
		} else {
			wait = warningRetry
		}
		wake := l.wake
		if err != nil {
			wake = nil
		}
		select {
		case <-wake:
		case <-again:
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), warningFlush)
			defer cancel()
			if err := l.drain(ctx); err != nil {
				l.logger.Warn("some warnings are not logged as events", "err", err)
			}
			return nil
		}
	}
}

// drain saves all that waits, in order.
func (l *warningLog) drain(ctx context.Context) error {
	for {
		l.mu.Lock()
		batch := append([]media.LogEvent(nil), l.waiting[:min(len(l.waiting), warningBatch)]...)
		l.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		call, cancel := context.WithTimeout(ctx, warningCall)
		err := l.add(call, batch...)
		cancel()
		if errors.Is(err, media.ErrInvalid) { // it would be for ever, and keep all others
			l.logger.Error("the catalog refuses warnings", "count", len(batch), "err", err)
			l.dropped.Add(float64(len(batch)))
			err = nil
		}
		if err != nil {
			return err
		}
		l.saved(batch)
	}
}

// saved forgets a batch, of which the oldest may have been dropped meanwhile.
func (l *warningLog) saved(batch []media.LogEvent) {
	last := batch[len(batch)-1].Key
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.waiting[:min(len(l.waiting), len(batch))] {
		if l.waiting[i].Key == last {
			l.waiting = l.waiting[i+1:]
			return
		}
	}
}
