package packager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Catalog keeps the recordings' rows.
type Catalog interface {
	// SaveRecording creates or updates a row, and logs the events that go with it, all or nothing. It may fail; the newest
	// row is tried again, with the events so far.
	SaveRecording(ctx context.Context, r media.Recording, events ...media.LogEvent) error
}

// Events tells others what happened.
type Events interface {
	Publish(ctx context.Context, e media.Event) error
}

const (
	// maxEvents and maxRows bound what waits while a database is away. Rows can be made again from storage.
	maxEvents = 4096
	maxRows   = 65536
	// maxRowEvents and maxTold bound the log's events that wait with one row, and with all. Of those that are dropped
	// storage tells most again, when the recording is next resumed.
	maxRowEvents = 256
	maxTold      = 65536
	// saveTimeout bounds one call.
	saveTimeout = 10 * time.Second
	backoffLow  = 100 * time.Millisecond
	backoffHigh = 10 * time.Second
)

// queue carries rows and events from the live path to services that may be slow or away. Of a recording's rows only the
// newest is kept, with all events that the rows came with: they are logged when it is saved. Putting never blocks and
// never fails.
type queue struct {
	cluster string // of every row
	catalog Catalog
	events  Events
	logger  *slog.Logger
	metrics *metrics
	wake    chan struct{}

	mu      sync.Mutex
	rows    map[media.RecordingID]entry
	order   []media.RecordingID
	told    int // events in rows
	waiting []media.Event
	// saving is the recording whose row is being saved; void says that it is not to be tried again.
	saving media.RecordingID
	void   bool
	// step is closed and replaced when a row was saved.
	step chan struct{}

	// failing is what could not be handed on last, for the log: it tells of changes only. It is drain's.
	failing string
}

// entry is a recording's row and what is to be told with it, oldest first.
type entry struct {
	row    media.Recording
	events []media.LogEvent
}

func newQueue(cluster string, catalog Catalog, events Events, logger *slog.Logger, m *metrics) *queue {
	return &queue{
		cluster: cluster, catalog: catalog, events: events, logger: logger, metrics: m,
		wake: make(chan struct{}, 1), rows: make(map[media.RecordingID]entry), step: make(chan struct{}),
	}
}

// save takes a recording's newest row, and what happened that it tells of.
func (q *queue) save(r media.Recording, events ...media.LogEvent) {
	r.Cluster = q.cluster
	q.mu.Lock()
	have, ok := q.rows[r.ID]
	if !ok {
		q.order = append(q.order, r.ID)
	}
	q.putLocked(entry{row: r, events: append(have.events, events...)}, len(events))
	if len(q.order) > maxRows {
		q.told -= len(q.rows[q.order[0]].events)
		delete(q.rows, q.order[0])
		q.order = q.order[1:]
		q.metrics.saveErrors.Inc()
	}
	q.mu.Unlock()
	q.signal()
}

// putLocked puts an entry with some more events than there were, and drops the oldest of too many.
func (q *queue) putLocked(e entry, more int) {
	q.told += more
	drop := max(len(e.events)-maxRowEvents, 0)
	drop = min(max(drop, q.told-maxTold), len(e.events))
	if drop > 0 {
		e.events = slices.Clone(e.events[drop:])
		q.told -= drop
		q.metrics.logDropped.Add(float64(drop))
	}
	q.rows[e.row.ID] = e
}

// publish takes an event.
func (q *queue) publish(e media.Event) {
	q.mu.Lock()
	if len(q.waiting) >= maxEvents {
		q.waiting = q.waiting[1:]
		q.metrics.eventsDropped.Inc()
	}
	q.waiting = append(q.waiting, e)
	q.mu.Unlock()
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run works until ctx ends.
func (q *queue) run(ctx context.Context) {
	backoff := backoffLow
	for {
		if q.drain(ctx) {
			backoff = backoffLow
			select {
			case <-ctx.Done():
				return
			case <-q.wake:
			}
			continue
		}
		timer := time.NewTimer(backoff)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		backoff = min(2*backoff, backoffHigh)
	}
}

// drain hands on what waits, rows before events, since whoever hears of a recording may look it up. It says whether
// nothing is left.
func (q *queue) drain(ctx context.Context) bool {
	for {
		e, ok := q.nextRow()
		if !ok {
			break
		}
		err := q.call(ctx, func(ctx context.Context) error { return q.catalog.SaveRecording(ctx, e.row, e.events...) })
		if err != nil {
			if errors.Is(err, media.ErrConflict) || errors.Is(err, media.ErrInvalid) || errors.Is(err, media.ErrBadName) {
				q.logger.Error("the catalog refuses a recording's row", "recording", string(e.row.ID),
					"events", len(e.events), "err", err)
				q.stepped() // it would for ever, and keep all others
				continue
			}
			q.putBack(e)
			q.tell("save rows of recordings", err)
			return false
		}
		q.stepped()
		q.tell("save rows of recordings", nil)
	}
	for {
		e, ok := q.firstEvent()
		if !ok {
			return true
		}
		if err := q.call(ctx, func(ctx context.Context) error { return q.events.Publish(ctx, e) }); err != nil {
			q.tell("publish events", err)
			return false
		}
		q.dropEvent(e)
		q.tell("publish events", nil)
	}
}

// tell logs when an act begins to fail, and when it works again.
func (q *queue) tell(act string, err error) {
	if (err != nil) == (q.failing == act) {
		return
	}
	q.mu.Lock()
	rows, events := len(q.order), len(q.waiting)
	q.mu.Unlock()
	if err == nil {
		q.failing = ""
		q.logger.Info("works again", "after", act, "rows", rows, "events", events)
		return
	}
	q.failing = act
	q.logger.Warn("failed, and is tried again until it works", "act", act, "rows", rows, "events", events, "err", err)
}

func (q *queue) call(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	err := f(ctx)
	if err != nil {
		q.metrics.saveErrors.Inc()
	}
	return err
}

func (q *queue) nextRow() (entry, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.order) == 0 {
		return entry{}, false
	}
	id := q.order[0]
	q.order = q.order[1:]
	e := q.rows[id]
	delete(q.rows, id)
	q.told -= len(e.events)
	q.saving, q.void = id, false
	return e, true
}

// stepped tells that a row was saved.
func (q *queue) stepped() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.saving = ""
	close(q.step)
	q.step = make(chan struct{})
}

// saved waits until nothing of a recording waits to be saved.
func (q *queue) saved(ctx context.Context, id media.RecordingID) error {
	for {
		q.mu.Lock()
		_, waits := q.rows[id]
		waits = waits || q.saving == id
		step := q.step
		q.mu.Unlock()
		if !waits {
			return nil
		}
		select {
		case <-step:
		case <-ctx.Done():
			return fmt.Errorf("row of recording %s is not saved: %w", id, ctx.Err())
		}
	}
}

// forget drops what waits to be told of a recording: another node tells of it.
func (q *queue) forget(id media.RecordingID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e, ok := q.rows[id]; ok {
		q.told -= len(e.events)
		delete(q.rows, id)
		q.order = slices.DeleteFunc(q.order, func(other media.RecordingID) bool { return other == id })
	}
	q.void = q.void || q.saving == id
	q.waiting = slices.DeleteFunc(q.waiting, func(e media.Event) bool { return e.Recording == id })
}

// putBack returns a row that could not be saved: its events alone, before the others, if a newer one has come.
func (q *queue) putBack(e entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	void := q.void
	q.saving, q.void = "", false
	if void {
		return
	}
	more := len(e.events)
	if newer, ok := q.rows[e.row.ID]; ok {
		e.row, e.events = newer.row, slices.Concat(e.events, newer.events)
	} else {
		q.order = append(q.order, e.row.ID)
	}
	q.putLocked(e, more)
}

func (q *queue) firstEvent() (media.Event, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return media.Event{}, false
	}
	return q.waiting[0], true
}

// dropEvent removes the first event if it is still the one that was told.
func (q *queue) dropEvent(e media.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 && q.waiting[0] == e {
		q.waiting = q.waiting[1:]
	}
}
