package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	maxEventData  = 16 << 10 // bytes
	maxEventNames = 256      // bytes of each name and of a key
)

// logEvents adds events to the log, in the transaction of what they tell of, and gives them their ids. It is the last
// thing that a transaction does: it locks the counter, in whose order events become visible. One whose key the log has
// is passed over; its id stays unused.
func (db *DB) logEvents(ctx context.Context, tx *sql.Tx, events ...media.LogEvent) error {
	for _, e := range events {
		if e.Time.IsZero() {
			e.Time = db.clock()
		}
		if e.Data == nil {
			e.Data = json.RawMessage("{}")
		}
		err := tx.QueryRowContext(ctx, `UPDATE event_counter SET last = last + 1 WHERE name = 'events' RETURNING last`).
			Scan(&e.ID)
		if err != nil {
			return err
		}
		n, err := changed(ctx, tx, `
			INSERT INTO events (id, type, at, publisher, stream, recording, cluster, data, key)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
			e.ID, e.Type, e.Time.UnixMilli(), e.Publisher, e.Stream, string(e.Recording), e.Cluster, string(e.Data), e.Key,
		)
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		if err := db.enqueueDeliveries(ctx, tx, e); err != nil {
			return err
		}
	}
	return nil
}

// AddEvents logs events that go with nothing else in the catalog: all or none.
func (db *DB) AddEvents(ctx context.Context, events ...media.LogEvent) error {
	err := checkEvents(events)
	if err == nil && len(events) > 0 {
		err = db.write(ctx, func(tx *sql.Tx) error { return db.logEvents(ctx, tx, events...) })
	}
	if err != nil {
		return db.failed("log events", err)
	}
	return nil
}

func checkEvents(events []media.LogEvent) error {
	for i := range events {
		e := &events[i]
		longest := 0
		for _, name := range []string{e.Publisher, e.Stream, string(e.Recording), e.Cluster, e.Key} {
			longest = max(longest, len(name))
		}
		switch {
		case !slices.Contains(media.LogEventTypes(), e.Type):
			return fmt.Errorf("%w: event type %.40q", media.ErrInvalid, e.Type)
		case longest > maxEventNames:
			return fmt.Errorf("%w: %s with a name of %d bytes", media.ErrInvalid, e.Type, longest)
		case len(e.Data) > maxEventData:
			return fmt.Errorf("%w: %s with %d bytes of data: at most %d", media.ErrInvalid, e.Type, len(e.Data), maxEventData)
		case e.Data != nil && (!json.Valid(e.Data) || e.Data[0] != '{'):
			return fmt.Errorf("%w: %s with data that is no JSON object", media.ErrInvalid, e.Type)
		}
	}
	return nil
}

const eventColumns = `id, type, at, publisher, stream, recording, cluster, data`

func scanEvent(row scanner) (media.LogEvent, error) {
	var e media.LogEvent
	var data string
	err := row.Scan(&e.ID, &e.Type, at{&e.Time}, &e.Publisher, &e.Stream, &e.Recording, &e.Cluster, &data)
	e.Data = json.RawMessage(data)
	return e, err
}

// Events gives a part of the log. Who reads it from the oldest on, each time after the last id that came, misses none
// but what was pruned: ids are in the order in which events become visible.
func (db *DB) Events(ctx context.Context, f media.LogFilter, p media.LogPage) ([]media.LogEvent, error) {
	limit, err := pageLimit(p.Limit)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	query, args := eventsQuery(f, p, limit)
	events, err := all(ctx, db.reads, scanEvent, query, args...)
	if err != nil {
		return nil, db.failed("events", err)
	}
	return events, nil
}

func eventsQuery(f media.LogFilter, p media.LogPage, limit int) (string, []any) {
	var where conditions
	where.add(`id > ` + where.arg(p.After))
	if p.Before > 0 {
		where.add(`id < ` + where.arg(p.Before))
	}
	for _, c := range []struct{ column, value string }{
		{"publisher", f.Publisher}, {"stream", f.Stream}, {"recording", string(f.Recording)}, {"cluster", f.Cluster},
	} {
		if c.value != "" {
			where.add(c.column + ` = ` + where.arg(c.value))
		}
	}
	if f.Recording != "" {
		where.add(`recording <> ''`) // the index's condition
	}
	if len(f.Types) > 0 {
		types := make([]string, 0, len(f.Types))
		for _, t := range f.Types {
			types = append(types, where.arg(t))
		}
		where.add(`type IN (` + strings.Join(types, ", ") + `)`)
	}
	if !f.Since.IsZero() {
		where.add(`at >= ` + where.arg(f.Since.UnixMilli()))
	}
	if !f.Until.IsZero() {
		where.add(`at < ` + where.arg(f.Until.UnixMilli()))
	}
	order := ` ORDER BY id`
	if p.Newest {
		order += ` DESC`
	}
	return `SELECT ` + eventColumns + ` FROM events WHERE ` + strings.Join(where.terms, " AND ") + order +
		` LIMIT ` + strconv.Itoa(limit), where.args
}

// LastEvent gives the newest event that a filter selects. media.ErrNotFound.
func (db *DB) LastEvent(ctx context.Context, f media.LogFilter) (media.LogEvent, error) {
	events, err := db.Events(ctx, f, media.LogPage{Newest: true, Limit: 1})
	if err == nil && len(events) == 0 {
		err = fmt.Errorf("last event: %w", media.ErrNotFound)
	}
	if err != nil {
		return media.LogEvent{}, err
	}
	return events[0], nil
}

// RecordingEvents gives what was told of a recording, oldest first: the newest thousand.
func (db *DB) RecordingEvents(ctx context.Context, id media.RecordingID) ([]media.LogEvent, error) {
	events, err := db.Events(ctx, media.LogFilter{Recording: id}, media.LogPage{Newest: true, Limit: 1000})
	slices.Reverse(events)
	return events, err
}

// EventEnds says where the log is.
func (db *DB) EventEnds(ctx context.Context) (media.LogEnds, error) {
	var ends media.LogEnds
	// One statement, so that both are of one time.
	err := db.reads.QueryRowContext(ctx, `SELECT
		COALESCE((SELECT last FROM event_counter WHERE name = 'pruned'), 0),
		COALESCE((SELECT last FROM event_counter WHERE name = 'events'), 0)`).Scan(&ends.Pruned, &ends.Last)
	if err != nil {
		return ends, db.failed("ends of the event log", err)
	}
	return ends, nil
}

// prunable says of events which may go, beside their age: what no delivery waits with.
const prunable = `NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event = events.id AND d.state = 'waiting')`

// PruneEvents removes the oldest events of those before a time, limit of them at most, and gives their number. They go
// in the order of their ids: one that is told late, of an old time, waits until all before it are gone.
func (db *DB) PruneEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	var n int64
	err := db.write(ctx, func(tx *sql.Tx) error {
		oldest, err := all(ctx, tx, scanEvent, `SELECT `+eventColumns+` FROM events WHERE `+prunable+
			` ORDER BY id LIMIT `+strconv.Itoa(limit))
		if err != nil {
			return err
		}
		keep := slices.IndexFunc(oldest, func(e media.LogEvent) bool { return !e.Time.Before(before) })
		if keep >= 0 {
			oldest = oldest[:keep]
		}
		if len(oldest) == 0 {
			return nil
		}
		last := oldest[len(oldest)-1].ID
		if n, err = changed(ctx, tx, `DELETE FROM events WHERE id <= $1 AND `+prunable, last); err != nil {
			return err
		}
		_, err = changed(ctx, tx, `UPDATE event_counter SET last = $1 WHERE name = 'pruned' AND last < $1`, last)
		return err
	})
	if err != nil {
		return 0, db.failed("prune events", err)
	}
	return int(n), nil
}

// eventOf makes an event of a recording.
func eventOf(r media.Recording, kind string, at time.Time, data any) media.LogEvent {
	return media.LogEvent{
		Type: kind, Time: at, Publisher: r.Path.Publisher, Stream: r.Path.Stream, Recording: r.ID, Cluster: clusterOf(r),
		Data: media.MarshalEventData(data),
	}
}

// endedEvent tells that a recording ended. Its key is of the end, so that an ending that is saved again is told once,
// and one that corrects it is told as well.
func endedEvent(r media.Recording, problem string) media.LogEvent {
	e := eventOf(r, media.EventEnded, r.EndedAt, media.EndedData{
		StartedAt: r.StartedAt, EndedAt: r.EndedAt, DurationMS: r.Duration.Milliseconds(), Bytes: r.Bytes,
		Continues: r.Continues, ClipOf: r.ClipOf, Name: r.Name, Error: problem,
	})
	e.Key = fmt.Sprintf("%s:%s:%d", r.ID, e.Type, r.EndedAt.UnixMilli())
	if problem != "" {
		e.Key += ":lost"
	}
	return e
}

// lostEvent tells that a recording, or a part of the work on it, will not be had.
func lostEvent(r media.Recording, action media.Action, problem string) media.LogEvent {
	return eventOf(r, media.EventFailed, time.Time{}, media.FailedData{
		Action: action, Error: problem, Attempts: r.Attempts + 1,
	})
}

func archivedEvent(r media.Recording, notice string) media.LogEvent {
	return eventOf(r, media.EventArchived, time.Time{}, media.ArchivedData{
		DurationMS: r.Duration.Milliseconds(), Bytes: r.Bytes, Archive: r.Archive, Mirror: r.Mirror, ClipOf: r.ClipOf,
		Notice: notice,
	})
}

// settleTold is settle, and logs what it means.
func (db *DB) settleTold(
	ctx context.Context, act string, c media.Claim, events []media.LogEvent, set string, args ...any,
) error {
	err := db.write(ctx, func(tx *sql.Tx) error {
		n, err := changed(ctx, tx, settleQuery(set), append([]any{c.Recording.ID, c.Epoch}, args...)...)
		if err == nil && n == 0 {
			err = media.ErrFenced
		}
		if err != nil {
			return err
		}
		return db.logEvents(ctx, tx, events...)
	})
	if err != nil {
		return db.failed(fmt.Sprintf("%s claim to %s recording %s", act, c.Action, c.Recording.ID), err)
	}
	return nil
}

// failureEvery is how often the failures of one recording are told while they go on: the first at once.
const failureEvery = time.Hour

// failTold is FailClaim's: it tells recording.failed of the first of a row of failures, and again every failureEvery.
// A stop is no failure.
func (db *DB) failTold(
	ctx context.Context, c media.Claim, cause error, retryAt time.Time, set string, args ...any,
) error {
	now := db.clock()
	return db.write(ctx, func(tx *sql.Tx) error {
		var attempts int
		var told time.Time
		err := tx.QueryRowContext(ctx, settleQuery(set)+` RETURNING attempts, failure_told`,
			append([]any{c.Recording.ID, c.Epoch}, args...)...).Scan(&attempts, at{&told})
		if errors.Is(err, sql.ErrNoRows) {
			err = media.ErrFenced
		}
		if err != nil || errors.Is(cause, media.ErrStopped) || (!told.IsZero() && now.Sub(told) < failureEvery) {
			return err
		}
		_, err = changed(ctx, tx, `UPDATE recordings SET failure_told = $1 WHERE id = $2`, now.UnixMilli(), c.Recording.ID)
		if err != nil {
			return err
		}
		retry := retryAt.UTC()
		return db.logEvents(ctx, tx, eventOf(c.Recording, media.EventFailed, now, media.FailedData{
			Action: c.Action, Error: shortened(cause.Error()), Attempts: attempts, RetryAt: &retry,
		}))
	})
}
