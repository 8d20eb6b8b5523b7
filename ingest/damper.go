package ingest

import (
	"container/list"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// damperMemory is how long an address must behave to be forgotten.
	damperMemory = time.Minute
	// damperAddresses bounds the addresses remembered; the one that was quiet for longest goes first.
	damperAddresses = 4096
	// freeGuesses is how many wrong keys of an address are answered at once, and freeLines how many of its faults are
	// logged, within damperMemory.
	freeGuesses = 10
	freeLines   = 10
	// firstDelay doubles with each wrong key, up to maxDelay.
	firstDelay = 250 * time.Millisecond
	maxDelay   = 5 * time.Second
)

// damper slows down who guesses keys, and has one address not fill the log. Only wrong keys are delayed, after they
// were checked: who shares an address with a guesser notices nothing.
type damper struct {
	// report is called for an address that is forgotten, if faults of it were not logged.
	report func(from netip.Prefix, unlogged int)

	mu struct {
		sync.Mutex
		from  map[netip.Prefix]*list.Element
		order list.List // of *offender, those quiet for longest first
	}
}

// offender is an address with refusals or broken connections.
type offender struct {
	from     netip.Prefix
	guesses  tally
	lines    tally
	lastLine time.Time
	unlogged int
}

// tally counts what comes within damperMemory of the first. Past its free number it goes on until nothing came for as
// long.
type tally struct {
	first, last time.Time
	n           int
}

func (t *tally) add(now time.Time, free int) int {
	if now.Sub(t.last) >= damperMemory || t.n <= free && now.Sub(t.first) >= damperMemory {
		*t = tally{first: now}
	}
	t.last = now
	t.n++
	return t.n
}

// offenderLocked gives an address's record, and makes it the last to be forgotten.
func (d *damper) offenderLocked(from netip.Prefix) *offender {
	if e := d.mu.from[from]; e != nil {
		d.mu.order.MoveToBack(e)
		o, _ := e.Value.(*offender)
		return o
	}
	if d.mu.from == nil {
		d.mu.from = make(map[netip.Prefix]*list.Element)
	}
	if d.mu.order.Len() >= damperAddresses {
		d.dropLocked(d.mu.order.Front())
	}
	o := &offender{from: from}
	d.mu.from[from] = d.mu.order.PushBack(o)
	return o
}

// forgetLocked drops those that have been quiet for long enough.
func (d *damper) forgetLocked(now time.Time) {
	for e := d.mu.order.Front(); e != nil; e = d.mu.order.Front() {
		o, _ := e.Value.(*offender)
		if now.Sub(o.guesses.last) < damperMemory || now.Sub(o.lines.last) < damperMemory {
			return
		}
		d.dropLocked(e)
	}
}

func (d *damper) dropLocked(e *list.Element) {
	o, _ := d.mu.order.Remove(e).(*offender)
	delete(d.mu.from, o.from)
	if o.unlogged > 0 && d.report != nil {
		d.report(o.from, o.unlogged)
	}
}

// guessed counts a wrong key, and says how long its answer must wait.
func (d *damper) guessed(from netip.Prefix, now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forgetLocked(now)
	excess := d.offenderLocked(from).guesses.add(now, freeGuesses) - freeGuesses
	if excess <= 0 {
		return 0
	}
	const doublings = 10 // more than enough to reach maxDelay
	return min(firstDelay<<min(excess-1, doublings), maxDelay)
}

// line says whether a fault of an address may be logged, and how many were not since the last one that was.
func (d *damper) line(from netip.Prefix, now time.Time) (unlogged int, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forgetLocked(now)
	o := d.offenderLocked(from)
	if o.lines.add(now, freeLines) > freeLines && now.Sub(o.lastLine) < damperMemory {
		o.unlogged++
		return 0, false
	}
	unlogged, o.unlogged, o.lastLine = o.unlogged, 0, now
	return unlogged, true
}

// damp delays the answer to a wrong key. The connection keeps its place, and so counts, while it waits; an SRT client,
// which waits for 3 s only, has its answer in time since ctx ends sooner.
func (s *Server) damp(ctx context.Context, req request, err error) {
	if !errors.Is(err, media.ErrDenied) {
		return
	}
	req.place.yield()
	if delay := s.damper.guessed(origin(req.remote), time.Now()); delay > 0 {
		s.metrics.delayed.Inc()
		pause(ctx, delay)
	}
}

// complain logs what a client did wrong, unless its address has too many lines already: they are counted then.
func (s *Server) complain(logger *slog.Logger, level slog.Level, remote, message string, attrs ...any) {
	unlogged, ok := s.damper.line(origin(remote), time.Now())
	if !ok {
		return
	}
	if unlogged > 0 {
		attrs = append(attrs, "unlogged", unlogged)
	}
	logger.Log(context.Background(), level, message, attrs...)
}
