package hls

import (
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Decision is what to do with a playlist request.
type Decision uint8

// The decisions.
const (
	Serve  Decision = iota // answer from this snapshot
	Wait                   // hold it until a later snapshot decides otherwise, three target durations at most (BLK-10)
	Refuse                 // 400: too far ahead
)

// String names the decision.
func (d Decision) String() string {
	switch d {
	case Serve:
		return "serve"
	case Wait:
		return "wait"
	case Refuse:
		return "refuse"
	}
	return fmt.Sprintf("Decision(%d)", uint8(d))
}

// Decide judges a request for a playlist by the snapshot alone (d§6.2.5.2). The numbers of a request are those of that
// playlist: of entries of I-frames in theirs. A cache spares the counting of those.
func Decide(s *Snapshot, p Playlist, d Directives, c *Cache) Decision {
	if !d.Blocking || !s.growing(p) { // BLK-9
		return Serve
	}
	last := s.Last(p, c)
	switch {
	case d.MSN < last: // BLK-7
		return Serve
	case d.MSN > last+2: // BLK-4
		return Refuse
	case d.Part < 0 || p.Form != Media: // BLK-1, and a listed entry has all its parts
		if d.MSN == last {
			return Serve
		}
		return Wait
	}
	return decidePart(s, &s.Renditions[p.Rendition], d.MSN, d.Part)
}

// decidePart judges a request for a part of the last finished segment or of one of the two behind it (BLK-2).
func decidePart(s *Snapshot, r *Rendition, msn media.MSN, part int) Decision {
	last, open := r.Last(), len(s.openParts(r))
	switch msn {
	case last:
		parts := len(r.SegmentParts(last))
		if parts == 0 || part < parts {
			return Serve // a segment listed whole has all its parts
		}
		// A part behind the last one of a finished segment is part 0 of the next, and never refused (BLK-6).
		if open > 0 {
			return Serve
		}
		return Wait
	case last + 1:
		if part < open {
			return Serve
		}
		return aheadBy(&s.Constants, part-(open-1))
	default:
		return aheadBy(&s.Constants, part+1)
	}
}

// aheadBy refuses a part that is more than the advance part limit behind the last one listed of its segment (BLK-5).
// The limit is never less than a segment has parts: hls.js, when not in low-latency mode, asks for the last part of
// the next segment by the count of the one before, which is no attack.
func aheadBy(c *media.Constants, ahead int) Decision {
	if c.PartTarget <= 0 {
		return Wait
	}
	limit := 3
	if c.PartTarget < time.Second {
		limit = ceilDiv(3*time.Second, c.PartTarget)
	}
	if ahead > max(limit, ceilDiv(c.TargetDuration, c.PartTarget)) {
		return Refuse
	}
	return Wait
}

func ceilDiv(a, b time.Duration) int { return int((a + b - 1) / b) }
