package archiver

import (
	"cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// leastCost is what the smallest work counts as, in bytes: its requests take time whatever they carry.
const leastCost = 1 << 20

// fair divides work among publishers by its bytes, as weighted fair queueing does: each publisher has a virtual time
// that its work moves on, and the one that is least far goes next. Who comes, or comes back, begins at the time of what
// was begun last, so that nobody saves up turns while he has no work. It is not safe for concurrent use.
type fair struct {
	// clock is the virtual time at which the last work began.
	clock int64
	// ahead are the times that publishers are at, those beyond the clock.
	ahead map[string]int64
}

func (f *fair) at(publisher string) int64 { return max(f.clock, f.ahead[publisher]) }

// next chooses whose turn it is, by index: of those that are equally far, the one whose work has been due for longest.
// Due is not empty.
func (f *fair) next(due []media.DuePublisher) int {
	best := 0
	for i := 1; i < len(due); i++ {
		a, b := due[i], due[best]
		if cmp.Or(cmp.Compare(f.at(a.Publisher), f.at(b.Publisher)), a.Due.Compare(b.Due),
			cmp.Compare(a.Publisher, b.Publisher)) < 0 {
			best = i
		}
	}
	return best
}

// begin counts work of so many bytes that a publisher now has done.
func (f *fair) begin(publisher string, bytes int64) {
	f.clock = f.at(publisher)
	f.correct(publisher, bytes)
	for name, at := range f.ahead {
		if at <= f.clock {
			delete(f.ahead, name)
		}
	}
}

// correct adds to what a publisher's work was counted as, or takes from it.
func (f *fair) correct(publisher string, bytes int64) {
	if f.ahead == nil {
		f.ahead = make(map[string]int64)
	}
	f.ahead[publisher] = f.at(publisher) + bytes
}
