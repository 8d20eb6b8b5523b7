package viewing

import "slices"

const (
	crowdObjects = 32 // objects of which is known how often they were asked for: some seconds of two tracks' parts
	crowdCounts  = 8  // of those before
)

// crowd tells how many viewers are behind one address by how often each object is asked for.
type crowd struct {
	next    int
	objects [crowdObjects]uint32 // hashes
	asked   [crowdObjects]uint16
	// counts are those of the objects that have gone out of objects.
	counts [crowdCounts]uint16
	at     int
	gone   int
}

// ask is told of each. It says whether it is time to ask for the size, which changes little from object to object.
func (c *crowd) ask(object uint64) bool {
	hash := uint32(object>>32) | 1 // 0 is an empty place
	for i := range c.objects {
		if c.objects[i] == hash {
			if c.asked[i] < 1<<16-1 {
				c.asked[i]++
			}
			return false
		}
	}
	if c.objects[c.next] != 0 {
		c.counts[c.at] = c.asked[c.next]
		c.at = (c.at + 1) % crowdCounts
		c.gone = min(c.gone+1, crowdCounts)
	}
	c.objects[c.next], c.asked[c.next] = hash, 1
	c.next = (c.next + 1) % crowdObjects
	return c.next%4 == 0
}

// size is how many there are, 0 as long as that is not known: what three of four objects were not asked for more often
// than. Those that were are asked for again by the same viewer, after a failure or to see it again. The lesser half may
// be variants, which some fetch, beside a rendition of sound, which all do.
func (c *crowd) size() int64 {
	var room [crowdCounts + crowdObjects/2]uint16
	counts := append(room[:0], c.counts[:c.gone]...)
	if c.gone < crowdCounts { // it has begun: look at the older half of what is under way
		known := crowdObjects
		if c.objects[crowdObjects-1] == 0 {
			known = c.next
		}
		for i := range known / 2 {
			counts = append(counts, c.asked[(c.next+i)%known])
		}
	}
	if len(counts) < 5 { // so that the greatest never decides
		return 0
	}
	slices.Sort(counts)
	return max(1, int64(counts[len(counts)*3/4]))
}
