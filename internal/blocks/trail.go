package blocks

// maxTrails is how many sequential readers of an object are told apart.
const maxTrails = 8

// trail is a reader that goes on where it came to: playback, segment after segment, or a download.
type trail struct {
	next   int64 // where it came to
	streak int   // how often it went on
	window int64 // blocks to read ahead of it
	turn   uint64
}

// follow gives the trail of a reading from from to end, a new one if it goes on nowhere. A trail may skip up to slack
// bytes: boxes that a download leaves out.
func (o *object) follow(from, end, slack int64) *trail {
	o.turn++
	oldest := &o.trails[0]
	for i := range o.trails {
		t := &o.trails[i]
		if t.turn > 0 && from >= t.next && from-t.next <= slack {
			t.streak++
			t.next, t.turn = end, o.turn
			if t.streak > 0 && t.window == 0 {
				t.window = 1
			}
			return t
		}
		if t.turn < oldest.turn {
			oldest = t
		}
	}
	*oldest = trail{next: end, turn: o.turn}
	return oldest
}

// used tells that a block that was read ahead was wanted.
func (t *trail) used(most int64) { t.window = min(max(1, 2*t.window), most) }

// proof is how often a reader whose blocks were read for nothing must go on before that is tried again.
const proof = 8

func (t *trail) wasted() { t.streak, t.window = -proof, 0 }

// reach gives how many blocks to read ahead.
func (t *trail) reach() int64 {
	if t.streak <= 0 {
		return 0
	}
	return t.window
}
