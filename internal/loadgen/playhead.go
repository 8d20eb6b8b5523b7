package loadgen

import "time"

// stallFloor is how short a halt may be that is none: a picture or two.
const stallFloor = 50 * time.Millisecond

// maxStalls bounds what is kept of a viewer's stalls one by one.
const maxStalls = 100

// playhead is where a player is in its media: it runs as the clock does while there is media, stands still where there
// is none, and goes on as soon as there is again.
type playhead struct {
	from     time.Time // when the viewer came
	at       time.Time // when position was right
	position time.Duration
	started  time.Duration // what start-up took, valid from the first play on
	halted   time.Time     // since when it stands; zero while it plays, and before the start
	playing  bool

	stalls           []PlayStall // the first maxStalls of them
	count            int
	stalled, longest time.Duration
	// starved says that it stood since CMCD last told so, and told that this halt is in it.
	starved, told bool
}

// run moves the head on to now, with media up to end.
func (h *playhead) run(now time.Time, end time.Duration) {
	if h.playing {
		passed, room := now.Sub(h.at), max(end-h.position, 0)
		if passed >= room {
			h.position += room
			h.halted, h.playing = h.at.Add(room), false
		} else {
			h.position += passed
		}
	}
	if !h.playing && h.begun() && !h.told && now.Sub(h.halted) >= stallFloor {
		h.starved, h.told = true, true
	}
	h.at = now
}

// feed says that there is media up to end now; run came before.
func (h *playhead) feed(now time.Time, end time.Duration) {
	if h.playing || end <= h.position {
		return
	}
	if h.halted.IsZero() {
		h.started = now.Sub(h.from)
	} else {
		h.book(now)
	}
	h.playing, h.halted = true, time.Time{}
}

// begun says that it has played.
func (h *playhead) begun() bool { return h.playing || !h.halted.IsZero() }

// book counts the halt that ends now.
func (h *playhead) book(now time.Time) {
	halt, told := now.Sub(h.halted), h.told
	h.told = false
	if halt < stallFloor {
		return
	}
	h.count++
	if len(h.stalls) < maxStalls {
		h.stalls = append(h.stalls, PlayStall{AtMS: h.halted.UnixMilli(), LengthMS: ms(halt)})
	}
	h.stalled += halt
	h.longest = max(h.longest, halt)
	h.starved = h.starved || !told
}

// stop ends it: a halt that lasts is counted, unless the show is over.
func (h *playhead) stop(now time.Time, end time.Duration, over bool) {
	h.run(now, end)
	if !h.playing && h.begun() && !over {
		h.book(now)
	}
}
