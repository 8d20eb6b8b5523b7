package diskcache

// place is where an entry is: a slot of a segment.
type place struct{ serial, slot uint32 }

// segment is a file of entries. File never changes; the other fields are the index's.
type segment struct {
	serial uint32
	path   string
	file   file
	bytes  int64 // that it takes of the bound
	slots  []slot
}

// groupState counts a group's slots, live or not.
type groupState struct {
	slots int
	epoch uint32 // the greatest of them, now or before
}

// index is what the store knows of its files. Store.mu guards it.
type index struct {
	entries  map[uint64]place
	segments map[uint32]*segment
	order    []*segment // oldest first
	bytes    int64
	slots    int // of all segments, with those that entries has no more
	groups   map[uint32]groupState
	drops    map[uint32]uint32
	epoch    uint32
}

func newIndex() index {
	return index{
		entries: make(map[uint64]place), segments: make(map[uint32]*segment),
		groups: make(map[uint32]groupState), drops: make(map[uint32]uint32),
	}
}

// addSegment adds a segment, whose serial is greater than the others'.
func (x *index) addSegment(seg *segment) {
	x.segments[seg.serial] = seg
	x.order = append(x.order, seg)
	x.bytes += seg.bytes
	slots := seg.slots
	seg.slots = nil
	for _, l := range slots {
		x.add(seg, l)
	}
}

// resize notes what the segment takes now.
func (x *index) resize(seg *segment, bytes int64) {
	if x.segments[seg.serial] == seg {
		x.bytes += bytes - seg.bytes
		seg.bytes = bytes
	}
}

// add adds a segment's next slot. It becomes the key's entry unless there is a later one, or its group was dropped.
func (x *index) add(seg *segment, l slot) {
	at := place{serial: seg.serial, slot: uint32(len(seg.slots))}
	seg.slots = append(seg.slots, l)
	x.slots++
	g := x.groups[l.group]
	x.groups[l.group] = groupState{slots: g.slots + 1, epoch: max(g.epoch, l.epoch)}
	x.epoch = max(x.epoch, l.epoch)
	if old, ok := x.entries[l.hash]; ok && (old.serial > at.serial || old.serial == at.serial && old.slot > at.slot) {
		return
	}
	if x.dropped(l.group, l.epoch) {
		delete(x.entries, l.hash) // what is older is dropped too
		return
	}
	x.entries[l.hash] = at
}

// find gives the entry of a key.
func (x *index) find(hash uint64) (*segment, *slot, place, bool) {
	at, ok := x.entries[hash]
	if !ok {
		return nil, nil, at, false
	}
	seg := x.segments[at.serial]
	l := &seg.slots[at.slot]
	if x.dropped(l.group, l.epoch) {
		delete(x.entries, hash)
		return nil, nil, at, false
	}
	return seg, l, at, true
}

// live says whether a slot is its key's entry.
func (x *index) live(seg *segment, i int) bool {
	_, _, at, ok := x.find(seg.slots[i].hash)
	return ok && at == place{serial: seg.serial, slot: uint32(i)}
}

// remove takes an entry out, if it is still there.
func (x *index) remove(hash uint64, at place) {
	if x.entries[hash] == at {
		delete(x.entries, hash)
	}
}

// removeSegment forgets a segment and gives how many entries that costs.
func (x *index) removeSegment(seg *segment) int {
	n := 0
	for i, l := range seg.slots {
		if x.entries[l.hash] == (place{serial: seg.serial, slot: uint32(i)}) {
			delete(x.entries, l.hash)
			n++
		}
		g := x.groups[l.group]
		if g.slots--; g.slots == 0 {
			delete(x.groups, l.group)
			continue
		}
		x.groups[l.group] = g
	}
	x.slots -= len(seg.slots)
	x.bytes -= seg.bytes
	delete(x.segments, seg.serial)
	for i, other := range x.order {
		if other == seg {
			x.order = append(x.order[:i:i], x.order[i+1:]...)
			break
		}
	}
	return n
}

// holds says whether there may be entries of the group that are not dropped.
func (x *index) holds(group uint32) bool {
	g := x.groups[group]
	return g.slots > 0 && !x.dropped(group, g.epoch)
}

// drop drops all entries of a group that are there, or were accepted, until now.
func (x *index) drop(group uint32) drop {
	x.epoch++
	x.drops[group] = x.epoch
	return drop{group: group, epoch: x.epoch}
}

func (x *index) dropped(group, epoch uint32) bool {
	until, ok := x.drops[group]
	return ok && epoch < until
}

// forget takes out the drops that no entry is left of, in files or of at least that epoch, and gives the others.
func (x *index) forget(floor uint32) []drop {
	for _, seg := range x.order {
		for _, l := range seg.slots {
			floor = min(floor, l.epoch)
		}
	}
	var drops []drop
	for group, epoch := range x.drops {
		if epoch <= floor {
			delete(x.drops, group)
			continue
		}
		drops = append(drops, drop{group: group, epoch: epoch})
	}
	return drops
}
