package ingest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
)

// errCrowded ends a connection that has not published, for a newer one.
var errCrowded = errors.New("too many connections that do not publish: this one had to go")

// door counts connections. Who has not published yet is a stranger: strangers have limits of their own, and when one of
// those, or room for all, is used up, a stranger goes: one that was refused, or else one that has not shaken hands, or
// else any. So connections that do nothing, or bring wrong keys, however many, keep no publisher out for long.
//
// Which one of its like goes is left to chance. Were it the oldest, then nobody behind the address of a flood would get
// in whose handshake takes longer than the flood needs to fill the limit; were newcomers refused while all are young,
// then who does nothing would hold the door with a few connections. By chance everybody gets in within some tries.
type door struct {
	limits doorLimits
	pick   func(n int) int // one of n; tests change it

	mu struct {
		sync.Mutex
		open      int
		from      map[netip.Prefix]*crowd
		strangers strangers // of all addresses
	}
}

// doorLimits bound connections: all of them and those of one address, and of either those that have not published.
type doorLimits struct {
	all, perIP, strangers, strangersPerIP int
}

// crowd is the connections of one address.
type crowd struct {
	open      int
	strangers strangers
}

// visit is one connection's place. A nil visit has none and needs none.
type visit struct {
	door     *door
	from     netip.Prefix
	drop     context.CancelCauseFunc
	hall     *hall // of its listener; set once, before it is served
	standing standing
	stranger bool // until it has published, or left
	gone     bool
	at       [2]int // where it stands among the strangers of all addresses and of its own
}

// standing orders strangers: who is lowest goes first.
type standing int

const (
	keyless standing = iota // its key was wrong
	unshaken
	shaken // hands: it answers
	standings
)

// strangers are those of all addresses or of one, in no order: which says where in visit.at each one's index is.
type strangers struct {
	which int
	of    [standings][]*visit
}

func (s *strangers) count() int { return len(s.of[keyless]) + len(s.of[unshaken]) + len(s.of[shaken]) }

func (s *strangers) add(v *visit) {
	list := &s.of[v.standing]
	v.at[s.which] = len(*list)
	*list = append(*list, v)
}

func (s *strangers) remove(v *visit) {
	list := &s.of[v.standing]
	last := len(*list) - 1
	moved := (*list)[last]
	(*list)[v.at[s.which]], moved.at[s.which] = moved, v.at[s.which]
	(*list)[last] = nil
	*list = (*list)[:last]
}

// next gives the one to go; there must be one.
func (s *strangers) next(pick func(int) int) *visit {
	for _, list := range s.of {
		if len(list) > 0 {
			return list[pick(len(list))]
		}
	}
	panic("BUG: nobody to send away")
}

// The two places of visit.at.
const (
	ofAll = iota
	ofAddress
)

func newDoor(limits doorLimits) *door {
	d := &door{limits: limits, pick: rand.IntN}
	d.mu.strangers.which = ofAll
	d.mu.from = make(map[netip.Prefix]*crowd)
	return d
}

// enter lets a connection in, or says which limit forbids it. drop is called, with errCrowded, when it must go for
// another before it has published.
func (d *door) enter(from netip.Prefix, drop context.CancelCauseFunc) (v *visit, reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.mu.from[from]
	if c == nil {
		c = &crowd{strangers: strangers{which: ofAddress}}
		d.mu.from[from] = c
	}
	if n := c.strangers.count(); n >= d.limits.strangersPerIP || c.open >= d.limits.perIP && n > 0 {
		c.strangers.next(d.pick).sendAwayLocked()
	}
	if n := d.mu.strangers.count(); n >= d.limits.strangers || d.mu.open >= d.limits.all && n > 0 {
		d.mu.strangers.next(d.pick).sendAwayLocked()
	}
	switch {
	case d.mu.open >= d.limits.all:
		reason = "too many connections"
	case c.open >= d.limits.perIP:
		reason = "too many connections of one address"
	}
	d.mu.from[from] = c // dropping the only other one of the address has taken it out
	if reason != "" {
		d.forgetLocked(from)
		return nil, reason
	}
	v = &visit{door: d, from: from, drop: drop, stranger: true, standing: unshaken}
	d.mu.strangers.add(v)
	c.strangers.add(v)
	d.mu.open++
	c.open++
	return v, ""
}

// sendAwayLocked makes the connection leave. It counts no more from here on.
func (v *visit) sendAwayLocked() {
	v.leaveLocked()
	v.drop(errCrowded)
}

// publishes says that the connection is a stranger no more. It is false when it was sent away before.
func (v *visit) publishes() bool {
	if v == nil {
		return true
	}
	v.door.mu.Lock()
	defer v.door.mu.Unlock()
	if v.gone {
		return false
	}
	v.knownLocked()
	return true
}

// shakes says that the connection has shaken hands.
func (v *visit) shakes() { v.move(shaken) }

// yield makes a stranger one of the next that give way: it has shown that it has no key.
func (v *visit) yield() { v.move(keyless) }

func (v *visit) move(to standing) {
	if v == nil {
		return
	}
	v.door.mu.Lock()
	defer v.door.mu.Unlock()
	if v.stranger {
		v.knownLocked()
		v.stranger, v.standing = true, to
		v.door.mu.strangers.add(v)
		v.door.mu.from[v.from].strangers.add(v)
	}
}

func (v *visit) knownLocked() {
	if v.stranger {
		v.door.mu.strangers.remove(v)
		v.door.mu.from[v.from].strangers.remove(v)
		v.stranger = false
	}
}

// leave gives the place up.
func (v *visit) leave() {
	v.door.mu.Lock()
	defer v.door.mu.Unlock()
	v.leaveLocked()
}

func (v *visit) leaveLocked() {
	if v.gone {
		return
	}
	v.gone = true
	v.knownLocked()
	v.door.mu.open--
	v.door.mu.from[v.from].open--
	v.door.forgetLocked(v.from)
}

func (d *door) forgetLocked(from netip.Prefix) {
	if d.mu.from[from].open == 0 {
		delete(d.mu.from, from)
	}
}
