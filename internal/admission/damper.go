package admission

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// damperAddresses bounds the addresses that are remembered.
	damperAddresses = 4096
	// freeGuesses of an address are answered at once, within guessMemory of each other.
	freeGuesses = 10
	guessMemory = time.Minute
	// firstDelay doubles with each wrong token, up to maxDelay: less than the patience of those who ask, who would else
	// take a node that refuses them for one that is away.
	firstDelay = 100 * time.Millisecond
	maxDelay   = 500 * time.Millisecond
	// heldEach and heldAll bound the answers that are held back at a time; those beyond are answered at once, for they
	// must not cost memory. It is the token's length that keeps guesses hopeless.
	heldEach = 16
	heldAll  = 256
	// lineEvery is how often an address's refusals are logged.
	lineEvery = time.Hour
)

// damper slows down who guesses tokens, and has no address fill the log.
type damper struct {
	mu   sync.Mutex
	from map[netip.Prefix]*offender
	held int
}

type offender struct {
	guesses, held int
	last          time.Time
	lines         map[string]*line // by message, of which there are three
}

type line struct {
	at       time.Time
	unlogged int
}

// offenderLocked gives an address's record. When there are too many, any other goes whose answers are not held back.
func (d *damper) offenderLocked(from netip.Prefix) *offender {
	if o := d.from[from]; o != nil {
		return o
	}
	if d.from == nil {
		d.from = make(map[netip.Prefix]*offender)
	}
	if len(d.from) >= damperAddresses {
		for other, o := range d.from { // anyone: who comes from many addresses shall not have them searched each time
			if o.held == 0 {
				delete(d.from, other)
				break
			}
		}
	}
	o := &offender{lines: make(map[string]*line)}
	d.from[from] = o
	return o
}

// guessed counts a wrong token, and says how long its answer is to be held back; done is called behind that.
func (d *damper) guessed(from netip.Prefix, now time.Time) (delay time.Duration, done func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.offenderLocked(from)
	if now.Sub(o.last) > guessMemory {
		o.guesses = 0
	}
	o.last = now
	o.guesses++
	excess := o.guesses - freeGuesses
	if excess <= 0 || o.held >= heldEach || d.held >= heldAll {
		return 0, nil
	}
	o.held++
	d.held++
	const doublings = 8 // more than enough to reach maxDelay
	return min(firstDelay<<min(excess-1, doublings), maxDelay), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		o.held--
		d.held--
	}
}

// line says whether a message about an address is due, and how many were not logged since the last.
func (d *damper) line(message string, from netip.Prefix, now time.Time) (unlogged int, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.offenderLocked(from)
	l := o.lines[message]
	if l == nil {
		l = &line{}
		o.lines[message] = l
	}
	if !l.at.IsZero() && now.Sub(l.at) < lineEvery {
		l.unlogged++
		return 0, false
	}
	unlogged, l.at, l.unlogged = l.unlogged, now, 0
	return unlogged, true
}
