package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// followSlice is how long one wait for events lasts at Redis, before the next begins.
	followSlice = time.Second
	// rereadAfter is when a reader looks for itself that was not woken: ids do not grow past where the follower stands
	// while the clock of a Redis that took over is behind.
	rereadAfter = 5 * time.Second
)

// eventPrelude begins every script on events. KEYS: the stream, the hash with the ids "last" and "lost", which mean
// what they mean in Memory. An event with the id n is the stream's entry n-0.
const eventPrelude = prelude + `
local log, state = KEYS[1], KEYS[2]
local function number(id) return tonumber(string.match(id, '^(%d+)')) end
local seen, run = redis.call('HMGET', state, 'last', 'lost', 'server'), server()
local last, lost = tonumber(seen[1] or nil), tonumber(seen[2] or nil)
local top = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)
top = top[1] and number(top[1][1])
-- What does not fit together is begun anew, above all ids that are known: what was read before is then lost. So it is
-- where another server has taken over, or this one started again: the newest events may not have come that far.
if not last or not lost or (top or lost) ~= last or seen[3] ~= run then
  redis.call('DEL', log)
  last = math.max(now, (last or 0) + 1, (top or 0) + 1)
  lost = last
  redis.call('HSET', state, 'last', whole(last), 'lost', whole(lost), 'server', run)
end
`

// The scripts on events.
var (
	// ARGV: shift, how many are kept, JSON.
	publishScript = redis.NewScript(eventPrelude + `
local id, keep = math.max(last + 1, now), tonumber(ARGV[2])
redis.call('XADD', log, whole(id) .. '-0', 'event', ARGV[3])
local drop = redis.call('XLEN', log) - keep
if drop > 0 then
  local gone = redis.call('XRANGE', log, '-', '+', 'COUNT', drop)
  lost = number(gone[#gone][1])
  redis.call('XTRIM', log, 'MAXLEN', keep)
end
redis.call('HSET', state, 'last', whole(id), 'lost', whole(lost))
return {whole(id)}
`)
	tailScript = redis.NewScript(eventPrelude + `
return {whole(last)}
`)
	// ARGV: shift, id, most. Gives "lost" and where to read on, or "events" and their ids and JSON.
	readScript = redis.NewScript(eventPrelude + `
local after = tonumber(ARGV[2])
if after < lost or after > last then return {'lost', whole(lost)} end
local answer = {'events'}
if after == last then return answer end
for _, entry in ipairs(redis.call('XRANGE', log, '(' .. whole(after) .. '-0', '+', 'COUNT', ARGV[3])) do
  answer[#answer + 1] = whole(number(entry[1]))
  answer[#answer + 1] = entry[2][2]
end
return answer
`)
)

func (r *Redis) eventCall(script *redis.Script, args ...any) call {
	return r.call(script, []string{r.eventLog(), r.prefix + ":{events}:state"}, args...)
}

func (r *Redis) eventLog() string { return r.prefix + ":{events}:log" }

// Publish implements Registry. An event whose answer was lost is published again, so that a reader may see it twice.
func (r *Redis) Publish(ctx context.Context, e media.Event) error {
	err := ctx.Err()
	if err == nil {
		err = r.publish(ctx, e)
	}
	if err != nil {
		return fmt.Errorf("publish event: %w", err)
	}
	return nil
}

func (r *Redis) publish(ctx context.Context, e media.Event) error {
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if len(text) > maxEntry {
		return fmt.Errorf("%w: %d bytes, want at most %d", media.ErrTooLarge, len(text), maxEntry)
	}
	_, err = r.texts(ctx, 1, r.eventCall(publishScript, r.cfg.Events, text))
	return err
}

// Tail implements Registry.
func (r *Redis) Tail(ctx context.Context) (int64, error) {
	var last int64
	err := ctx.Err()
	if err == nil {
		var answer []string
		if answer, err = r.texts(ctx, 1, r.eventCall(tailScript)); err == nil {
			last, err = strconv.ParseInt(answer[0], 10, 64)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("tail of events: %w", err)
	}
	return last, nil
}

// Read implements Registry. All readers of a process wait with one connection.
func (r *Redis) Read(ctx context.Context, after int64) ([]media.Event, error) {
	for {
		events, err := r.readNow(ctx, after)
		if err == nil && len(events) == 0 {
			err = r.wait(ctx, after)
		}
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		if len(events) > 0 {
			return events, nil
		}
	}
}

func (r *Redis) readNow(ctx context.Context, after int64) ([]media.Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answer, err := r.texts(ctx, 1, r.eventCall(readScript, after, readBatch))
	if err != nil {
		return nil, err
	}
	if answer[0] == "lost" && len(answer) > 1 {
		first, err := strconv.ParseInt(answer[1], 10, 64)
		if err != nil {
			return nil, err
		}
		return nil, &LostError{After: after, First: first}
	}
	var events []media.Event
	for pair := range slices.Chunk(answer[1:], 2) {
		var e media.Event
		if err := json.Unmarshal([]byte(pair[1]), &e); err != nil {
			// As an event of no known type: readers pass over it, and go on behind it.
			r.logger.Warn("bad event in registry", "event", fmt.Sprintf("%.40q", pair[0]), "err", err)
			e = media.Event{}
		}
		if e.ID, err = strconv.ParseInt(pair[0], 10, 64); err != nil {
			return nil, fmt.Errorf("%w: event id %.40q", media.ErrCorrupt, pair[0])
		}
		events = append(events, e)
	}
	return events, nil
}

// follower waits at Redis for all readers of this process that wait for events. It runs while there are any.
type follower struct {
	readers int
	running bool
	// at is the id behind which it waits. There are newer events than those that a reader knows who stands before it.
	at int64
	// woken is for those who wait now; nil when nobody does.
	woken *wake
}

// wake tells readers to look again, or why they can't wait.
type wake struct {
	up  chan struct{}
	err error // set before up is closed
}

func (f *follower) wakeLocked(err error) {
	if f.woken != nil {
		f.woken.err = err
		close(f.woken.up)
	}
	f.woken = nil
}

// wait returns when there may be events after an id, which was that of the newest.
func (r *Redis) wait(ctx context.Context, after int64) error {
	r.mu.Lock()
	f := &r.mu.follow
	if r.mu.closed {
		r.mu.Unlock()
		return errClosed
	}
	if f.running && after < f.at {
		r.mu.Unlock()
		return nil
	}
	if f.woken == nil {
		f.woken = &wake{up: make(chan struct{})}
	}
	woken := f.woken
	f.readers++
	if !f.running {
		f.running, f.at = true, after
		r.running.Go(r.follow)
	}
	r.mu.Unlock()

	again := time.NewTimer(rereadAfter)
	defer again.Stop()
	var err error
	select {
	case <-woken.up:
		err = woken.err
	case <-again.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f.readers--
	return err
}

// follow waits for events until nobody else does, or until it can't: then the readers are told.
func (r *Redis) follow() {
	f := &r.mu.follow
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { f.running = false }()
	for f.readers > 0 && !r.mu.closed {
		at := f.at
		r.mu.Unlock()
		newest, err := r.next(at)
		r.mu.Lock()
		if newest > f.at {
			f.at = newest
			f.wakeLocked(nil)
		}
		if err != nil {
			f.wakeLocked(away(context.Background(), err))
			return
		}
	}
}

// next waits for events after an id and gives the id of the newest it has seen: the same if none came.
func (r *Redis) next(after int64) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), followSlice+netTimeout)
	defer cancel()
	streams, err := r.client.XRead(ctx, &redis.XReadArgs{
		Streams: []string{r.eventLog(), fmt.Sprintf("%d-0", after)}, Block: followSlice, Count: readBatch,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return after, nil
	}
	if err != nil {
		return after, err
	}
	for _, stream := range streams {
		for _, message := range stream.Messages {
			text, _, _ := strings.Cut(message.ID, "-")
			id, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return after, fmt.Errorf("event id %q: %w", message.ID, err)
			}
			after = max(after, id)
		}
	}
	return after, nil
}
