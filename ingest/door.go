package ingest

import (
	"container/list"
	"context"
	"errors"
	"net/netip"
	"sync"
)

// errCrowded ends a connection that has not published, for a newer one.
var errCrowded = errors.New("too many connections that do not publish: this one was among the oldest")

// door counts connections. Who has not published yet is a stranger: strangers have limits of their own, and when one of
// those, or room for all, is used up, the stranger that came first goes. So connections that do nothing, however many,
// keep no publisher out.
type door struct {
	limits doorLimits

	mu struct {
		sync.Mutex
		open      int
		from      map[netip.Prefix]*crowd
		strangers list.List // of *visit, by age, behind those that yield
	}
}

// doorLimits bound connections: all of them and those of one address, and of either those that have not published.
type doorLimits struct {
	all, perIP, strangers, strangersPerIP int
}

// crowd counts the connections of one address.
type crowd struct{ open, strangers int }

// visit is one connection's place. A nil visit has none and needs none.
type visit struct {
	door     *door
	from     netip.Prefix
	drop     context.CancelCauseFunc
	stranger *list.Element // nil once it has published, or left
	gone     bool
}

func newDoor(limits doorLimits) *door {
	d := &door{limits: limits}
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
		c = &crowd{}
		d.mu.from[from] = c
	}
	if c.strangers >= d.limits.strangersPerIP || c.open >= d.limits.perIP && c.strangers > 0 {
		d.dropOldestLocked(func(v *visit) bool { return v.from == from })
	}
	if strangers := d.mu.strangers.Len(); strangers >= d.limits.strangers || d.mu.open >= d.limits.all && strangers > 0 {
		d.dropOldestLocked(func(*visit) bool { return true })
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
	v = &visit{door: d, from: from, drop: drop}
	v.stranger = d.mu.strangers.PushBack(v)
	d.mu.open++
	c.open++
	c.strangers++
	return v, ""
}

// dropOldestLocked sends the oldest stranger away for which ok is true. It counts no more from here on.
func (d *door) dropOldestLocked(ok func(*visit) bool) {
	for e := d.mu.strangers.Front(); e != nil; e = e.Next() {
		if v, _ := e.Value.(*visit); ok(v) {
			v.leaveLocked()
			v.drop(errCrowded)
			return
		}
	}
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

// yield makes a stranger the next that gives way: it has shown that it has no key.
func (v *visit) yield() {
	if v == nil {
		return
	}
	v.door.mu.Lock()
	defer v.door.mu.Unlock()
	if v.stranger != nil {
		v.door.mu.strangers.MoveToFront(v.stranger)
	}
}

func (v *visit) knownLocked() {
	if v.stranger != nil {
		v.door.mu.strangers.Remove(v.stranger)
		v.door.mu.from[v.from].strangers--
		v.stranger = nil
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
