package blocks

// queue is a list of blocks, in at the head and out at the tail.
type queue struct {
	head, tail *block
	bytes      int64
}

func (q *queue) push(b *block) {
	b.queue, b.prev, b.next = q, nil, q.head
	if q.head != nil {
		q.head.prev = b
	} else {
		q.tail = b
	}
	q.head = b
	q.bytes += int64(b.size)
}

func (q *queue) remove(b *block) {
	if b.prev != nil {
		b.prev.next = b.next
	} else {
		q.head = b.next
	}
	if b.next != nil {
		b.next.prev = b.prev
	} else {
		q.tail = b.prev
	}
	b.queue, b.prev, b.next = nil, nil, nil
	q.bytes -= int64(b.size)
}

// ghosts remembers the hashes of what was dropped lately.
type ghosts struct {
	at    map[uint64]uint64
	drops uint64
}

// add remembers; keep is for how many drops.
func (g *ghosts) add(hash, keep uint64) {
	g.drops++
	g.at[hash] = g.drops
	if uint64(len(g.at)) < 2*keep {
		return
	}
	for h, at := range g.at {
		if at+keep < g.drops {
			delete(g.at, h)
		}
	}
}

// take forgets, and says whether it was remembered, and whether not more than recent drops ago.
func (g *ghosts) take(hash, recent uint64) (known, lately bool) {
	at, known := g.at[hash]
	delete(g.at, hash)
	return known, known && at+recent >= g.drops
}
