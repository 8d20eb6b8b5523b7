package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// feedRing is how many of the newest events a process remembers, for edges that come back to it.
	feedRing = 4096
	// feedBuffer is how many events one edge may be behind. One that is slower is cut, and resumes by id.
	feedBuffer = 512
	// feedRetry is the first wait after the registry did not answer, feedRetryMax the longest.
	feedRetry    = 250 * time.Millisecond
	feedRetryMax = 2 * time.Second
)

// EventLog is the registry's log of events, as registry.Registry has it.
type EventLog interface {
	// Tail gives the id of the newest event.
	Tail(ctx context.Context) (int64, error)
	// Read gives the events after an id, and waits while there are none. A media.ErrGone says that some are gone.
	Read(ctx context.Context, after int64) ([]media.Event, error)
}

// frame is one event of the stream as it is sent, made once for all edges.
type frame struct {
	id   int64 // zero for what tells of the stream itself
	text []byte
}

// frameOf writes an event of the stream. An id of zero is not told.
func frameOf(id int64, name string, data any) frame {
	text, err := json.Marshal(data)
	if err != nil {
		panic("BUG: event: " + err.Error())
	}
	head := ""
	if id > 0 {
		head = fmt.Sprintf("id: %d\n", id)
	}
	return frame{id: id, text: fmt.Appendf(nil, "%sevent: %s\ndata: %s\n\n", head, name, text)}
}

// feed hands the registry's events to all edges that follow this process. One reader, run, serves them all; its
// position is the id last. While the registry is away, or anything may have been missed, edges are told so.
type feed struct {
	log     EventLog
	logger  *slog.Logger
	metrics *metrics
	max     int
	// came, if it is set, is called after events came.
	came func()
	// told, if it is set, is called with every event.
	told func(e *media.Event)

	mu struct {
		sync.Mutex
		open bool // run runs
		sure bool // all events up to now came
		last int64
		// lost is the id from which on ring has all.
		lost int64
		ring []frame // oldest first
		subs map[*subscriber]struct{}
	}
}

// subscriber is one edge's stream.
type subscriber struct {
	frames chan frame
	cut    chan struct{} // closed when the feed ends it; why is set before
	why    string
}

func newFeed(log EventLog, most int, logger *slog.Logger, m *metrics) *feed {
	f := &feed{log: log, logger: logger, metrics: m, max: most}
	f.mu.subs = make(map[*subscriber]struct{})
	return f
}

// run reads events until ctx ends, which ends all streams.
func (f *feed) run(ctx context.Context) {
	f.mu.Lock()
	f.mu.open = true
	f.mu.Unlock()
	defer f.close()
	wait := feedRetry
	for ctx.Err() == nil {
		begun := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		f.unsure()
		if time.Since(begun) > feedRetryMax {
			wait = feedRetry
		}
		if errors.Is(err, media.ErrGone) { // it only fell behind
			continue
		}
		f.logger.DebugContext(ctx, "events can not be read", "err", err, "again_in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, feedRetryMax)
	}
}

// follow reads from the tail of the log on, until that fails. Whatever was published before may have been missed, so
// all edges begin anew.
func (f *feed) follow(ctx context.Context) error {
	tail, err := f.log.Tail(ctx)
	if err != nil {
		return err
	}
	f.restart(tail)
	for after := tail; ; {
		events, err := f.log.Read(ctx, after)
		if err != nil {
			return err
		}
		for i := range events {
			after = events[i].ID
			if f.told != nil {
				f.told(&events[i])
			}
			f.add(frameOf(after, eventName(&events[i]), &events[i]))
		}
		if f.came != nil {
			f.came()
		}
	}
}

// eventName is the event's type, as a field's value: what can't be one is of no known type.
func eventName(e *media.Event) string {
	if len(e.Type) > 64 || len(e.Type) == 0 {
		return "unknown"
	}
	for _, c := range []byte(e.Type) {
		if c <= ' ' || c > '~' {
			return "unknown"
		}
	}
	return e.Type
}

// restart has all edges forget what they know, and stand at the id.
func (f *feed) restart(id int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.sure, f.mu.last, f.mu.lost, f.mu.ring = true, id, id, nil
	f.sendLocked(reset(id))
}

func reset(id int64) frame { return frameOf(id, "reset", struct{}{}) }

// unsure tells the edges that events may be missing from now on, until the next reset.
func (f *feed) unsure() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.sure {
		f.mu.sure = false
		f.sendLocked(frameOf(0, "unsure", struct{}{}))
	}
}

func (f *feed) add(fr frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.last = fr.id
	if len(f.mu.ring) == feedRing { // half of it at once, so that the moves cost little
		half := feedRing / 2
		f.mu.lost = f.mu.ring[half-1].id
		f.mu.ring = append(make([]frame, 0, feedRing), f.mu.ring[half:]...)
	}
	f.mu.ring = append(f.mu.ring, fr)
	f.sendLocked(fr)
}

func (f *feed) sendLocked(fr frame) {
	for s := range f.mu.subs {
		select {
		case s.frames <- fr:
		default:
			f.metrics.streamsCut.Inc()
			f.endLocked(s, "too slow")
		}
	}
}

func (f *feed) endLocked(s *subscriber, why string) {
	delete(f.mu.subs, s)
	f.metrics.streams.Set(float64(len(f.mu.subs)))
	s.why = why
	close(s.cut)
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.open, f.mu.sure = false, false
	for s := range f.mu.subs {
		f.endLocked(s, "this process stops")
	}
}

// subscribe begins a stream behind an id; one that is negative begins now. What comes first says where the edge
// stands: a reset, unsure, or, behind all that it has missed, sure. A nil subscriber says that the id is older than
// what is remembered here: the events after it are to be read, and then it may be tried again.
func (f *feed) subscribe(after int64) (*subscriber, []frame, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !f.mu.open:
		return nil, nil, fmt.Errorf("event stream: %w", media.ErrUnavailable)
	case len(f.mu.subs) >= f.max:
		return nil, nil, fmt.Errorf("%w: %d edges follow the events here", media.ErrUnavailable, f.max)
	}
	var first []frame
	switch {
	case !f.mu.sure:
		first = append(first, frameOf(0, "unsure", struct{}{})) // a reset follows
	case after < 0:
		first = append(first, reset(f.mu.last))
	case after < f.mu.lost || after > f.mu.last:
		return nil, nil, nil
	default:
		for _, fr := range f.mu.ring {
			if fr.id > after {
				first = append(first, fr)
			}
		}
		first = append(first, frameOf(0, "sure", struct{}{}))
	}
	s := &subscriber{frames: make(chan frame, feedBuffer), cut: make(chan struct{})}
	f.mu.subs[s] = struct{}{}
	f.metrics.streams.Set(float64(len(f.mu.subs)))
	return s, first, nil
}

func (f *feed) unsubscribe(s *subscriber) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.mu.subs[s]; ok {
		f.endLocked(s, "the edge left")
	}
}

// missed gives some of the events after an id that this process does not remember, or media.ErrGone when that can't be
// known. It does not wait for events.
func (f *feed) missed(ctx context.Context, after int64) ([]frame, error) {
	tail, err := f.log.Tail(ctx)
	if err != nil {
		return nil, err
	}
	if after >= tail { // of another registry, or this process is a moment behind the one that told it
		return nil, media.ErrGone
	}
	events, err := f.log.Read(ctx, after)
	if err != nil {
		return nil, err
	}
	frames := make([]frame, 0, len(events))
	for i := range events {
		frames = append(frames, frameOf(events[i].ID, eventName(&events[i]), &events[i]))
	}
	return frames, nil
}
