package api

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// logRing is how many of the newest events a process remembers for followers that come back.
	logRing = 2048
	// logBuffer is how many events a follower may be behind. One that is slower is cut, and resumes by id.
	logBuffer = 256
	// logBatch is how many events are read at a time.
	logBatch = 500
	// logPoll is how often the log is read while somebody follows it, logIdle while nobody does.
	logPoll = time.Second
	logIdle = 5 * time.Second
	// logRead bounds one read.
	logRead = 5 * time.Second
	// logCatchUps bounds the followers that are brought up from the log at a time.
	logCatchUps = 4
)

// logFeed hands the catalog's log to all who follow it here. One reader, run, serves them all: it reads on after the
// last id, which misses nothing. While the catalog is away followers only wait.
type logFeed struct {
	log    Log
	logger *slog.Logger
	max    int
	wake   chan struct{}
	// catchUps has room for those who read the log by themselves.
	catchUps chan struct{}

	events    *prometheus.CounterVec // by type
	followers prometheus.Gauge
	cut       prometheus.Counter
	failures  prometheus.Counter
	last      prometheus.Gauge
	pruned    prometheus.Counter

	mu struct {
		sync.Mutex
		open bool // run knows where the log is
		last int64
		// from is the id behind which ring has all.
		from int64
		ring []logItem // oldest first
		subs map[*logFollower]struct{}
	}
}

// logItem is an event and how it is sent.
type logItem struct {
	event media.LogEvent
	text  []byte
}

func newLogItem(e media.LogEvent) logItem {
	return logItem{event: e, text: frameOf(e.ID, e.Type, e).text}
}

// logFollower is one stream.
type logFollower struct {
	filter media.LogFilter
	// owner is the publisher whose token it came with; empty is one for all.
	owner string
	after int64 // it has all up to this id
	items chan logItem
	done  chan struct{} // closed when the feed ends it; why is set before
	why   string
}

func newLogFeed(log Log, most int, logger *slog.Logger, registerer prometheus.Registerer) *logFeed {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "oxbow_api_log_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "oxbow_api_log_" + name, Help: help})
	}
	f := &logFeed{
		log: log, logger: logger, max: most, wake: make(chan struct{}, 1), catchUps: make(chan struct{}, logCatchUps),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oxbow_api_log_events_total", Help: "Events that came to the log since this process began, by type.",
		}, []string{"type"}),
		followers: gauge("followers", "Clients that follow the log of events here."),
		cut:       counter("followers_cut_total", "Followers of the log that were cut because they were too slow."),
		failures:  counter("read_failures_total", "Reads of the log that failed."),
		last:      gauge("last_id", "Id of the newest event that this process has read."),
		pruned:    counter("pruned_events_total", "Events that this process removed from the log."),
	}
	f.mu.subs = make(map[*logFollower]struct{})
	registerer.MustRegister(f.events, f.followers, f.cut, f.failures, f.last, f.pruned)
	for _, t := range media.LogEventTypes() {
		f.events.WithLabelValues(t)
	}
	return f
}

// look has the log read at once.
func (f *logFeed) look() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run reads the log until ctx ends, which ends all streams.
func (f *logFeed) run(ctx context.Context) {
	defer f.close()
	failing := false
	for ctx.Err() == nil {
		more, err := f.step(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			f.failures.Inc()
		}
		if (err != nil) != failing {
			failing = err != nil
			f.logger.InfoContext(ctx, "event log is read", "works", !failing, "err", err)
		}
		if more {
			continue
		}
		timer := time.NewTimer(f.pause())
		select {
		case <-f.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (f *logFeed) pause() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.mu.subs) == 0 && f.mu.open {
		return logIdle
	}
	return logPoll
}

// step reads what came, and says whether there may be more. The first one finds the log's end.
func (f *logFeed) step(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, logRead)
	defer cancel()
	f.mu.Lock()
	known, after := f.mu.open, f.mu.last
	f.mu.Unlock()
	if !known {
		ends, err := f.log.EventEnds(ctx)
		if err == nil {
			f.begin(ends.Last)
		}
		return false, err
	}
	events, err := f.log.Events(ctx, media.LogFilter{}, media.LogPage{After: after, Limit: logBatch})
	for i := range events {
		f.add(newLogItem(events[i]))
	}
	return len(events) == logBatch, err
}

func (f *logFeed) begin(last int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.open, f.mu.last, f.mu.from = true, last, last
	f.last.Set(float64(last))
}

func (f *logFeed) add(item logItem) {
	f.events.WithLabelValues(item.event.Type).Inc()
	f.last.Set(float64(item.event.ID))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.last = item.event.ID
	if len(f.mu.ring) == logRing { // half of it at once, so that the moves cost little
		half := logRing / 2
		f.mu.from = f.mu.ring[half-1].event.ID
		f.mu.ring = append(make([]logItem, 0, logRing), f.mu.ring[half:]...)
	}
	f.mu.ring = append(f.mu.ring, item)
	for s := range f.mu.subs {
		if item.event.ID <= s.after || !selects(s.filter, &item.event) {
			continue
		}
		select {
		case s.items <- item:
		default:
			f.cut.Inc()
			f.endLocked(s, "too slow")
		}
	}
}

// selects says whether a filter of a follower, which has no times, selects an event.
func selects(f media.LogFilter, e *media.LogEvent) bool {
	return (f.Publisher == "" || f.Publisher == e.Publisher) && (f.Stream == "" || f.Stream == e.Stream) &&
		(f.Recording == "" || f.Recording == e.Recording) && (len(f.Types) == 0 || slices.Contains(f.Types, e.Type))
}

func (f *logFeed) endLocked(s *logFollower, why string) {
	delete(f.mu.subs, s)
	f.followers.Set(float64(len(f.mu.subs)))
	s.why = why
	close(s.done)
}

func (f *logFeed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.open = false
	for s := range f.mu.subs {
		f.endLocked(s, "this process stops")
	}
}

// subscribe begins a stream behind an id, less than zero is now, with what is remembered since. A nil follower says
// that the id is older than that: the events are to be read, and then it may be tried again.
func (f *logFeed) subscribe(filter media.LogFilter, owner string, after int64) (*logFollower, []logItem, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.mu.open {
		return nil, nil, fmt.Errorf("event log: %w", media.ErrUnavailable)
	}
	own := 0
	for s := range f.mu.subs {
		if s.owner == owner {
			own++
		}
	}
	if len(f.mu.subs) >= f.max || owner != "" && own >= max(1, f.max/8) {
		return nil, nil, fmt.Errorf("%w: as many follow the log as may", errTooMany)
	}
	if after < 0 {
		after = f.mu.last
	}
	if after < f.mu.from {
		return nil, nil, nil
	}
	var first []logItem
	for _, item := range f.mu.ring {
		if item.event.ID > after && selects(filter, &item.event) {
			first = append(first, item)
		}
	}
	s := &logFollower{
		filter: filter, owner: owner, after: max(after, f.mu.last), items: make(chan logItem, logBuffer),
		done: make(chan struct{}),
	}
	f.mu.subs[s] = struct{}{}
	f.followers.Set(float64(len(f.mu.subs)))
	f.look()
	return s, first, nil
}

func (f *logFeed) unsubscribe(s *logFollower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.mu.subs[s]; ok {
		f.endLocked(s, "the client left")
	}
}

// position is the id up to which a follower has all, if it has taken all that was handed to it.
func (f *logFeed) position(s *logFollower) (int64, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, there := f.mu.subs[s]
	return max(f.mu.last, s.after), there && len(s.items) == 0
}

// read gives the next events behind an id that the feed does not remember, and the id to go on from. Few may at a time.
func (f *logFeed) read(ctx context.Context, filter media.LogFilter, after int64) ([]logItem, int64, error) {
	select {
	case f.catchUps <- struct{}{}:
		defer func() { <-f.catchUps }()
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, logRead)
	defer cancel()
	f.mu.Lock()
	last := f.mu.last // all up to it are there to be read
	f.mu.Unlock()
	events, err := f.log.Events(ctx, filter, media.LogPage{After: after, Limit: logBatch})
	if err != nil {
		return nil, 0, err
	}
	items := make([]logItem, 0, len(events))
	for i := range events {
		items = append(items, newLogItem(events[i]))
	}
	if len(items) == logBatch {
		return items, items[len(items)-1].event.ID, nil
	}
	if len(items) > 0 {
		last = max(last, items[len(items)-1].event.ID)
	}
	return items, max(last, after), nil
}
