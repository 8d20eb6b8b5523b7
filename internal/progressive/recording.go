package progressive

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Recording is what a file is made of.
type Recording struct {
	Path      media.StreamPath
	ID        media.RecordingID
	StartedAt time.Time
	// Takes are oldest first, all with the same tracks by name and order.
	Takes []media.Take
	// Source is whose media it is made of, if that is not its own: a clip's.
	Source media.RecordingID
	// Segments are each track's, all takes in order, MSNs consecutive from 1; from a later one for a clip.
	Segments [][]media.Segment
	// Inits are the init sections, by take and track; of takes that the cut does not touch they may be nil.
	Inits [][][]byte
	// Tables have at least the segments that Span names, by take and track.
	Tables [][]*Table
}

// Cut says what of a recording a file has. The zero value is all.
type Cut struct {
	// From and To are the first and last segment; zero is the recording's.
	From, To media.MSN
	// Start and End are exact times in From and To, on the recording's timeline, as decode times are. They count where
	// HasStart and HasEnd say so.
	Start, End       time.Duration
	HasStart, HasEnd bool
}

const (
	// preroll is the audio in front of a cut's start that a decoder wants to be right there: Opus' 80 ms, the longest.
	preroll = 80 * time.Millisecond
	// maxBack is how many segments in front of a cut's start are looked at for a random access point.
	maxBack = 64
	// maxHole is the longest gap that keeps its time in the file: players count its length in 31 bits of ticks.
	maxHole = time.Hour
)

// Span gives the segments that a cut's file may take samples of: some more than From to To, for a picture begins to
// decode at the random access point before it, and sound a little earlier.
func (r *Recording) Span(c Cut) (first, last media.MSN) {
	n := media.MSN(r.length())
	if n == 0 {
		return 1, 0
	}
	begin, end := r.begin(), r.begin()+n-1
	first, last = max(c.From, begin), end
	if c.To > 0 {
		last = min(c.To+1, end)
	}
	if !c.HasStart || first > end {
		return first, last
	}
	take := r.segment(0, first).Take
	back := 1
	for first > begin && back <= maxBack && r.segment(0, first-1).Take == take {
		first--
		if synced := r.syncs(first); synced {
			break
		}
		back++
	}
	return first, last
}

// syncs says that each track's segment begins with a random access point.
func (r *Recording) syncs(msn media.MSN) bool {
	for t := range r.Segments {
		if seg := r.segment(t, msn); !seg.Sync || seg.Gap {
			return false
		}
	}
	return true
}

// begin is the MSN of the first segment.
func (r *Recording) begin() media.MSN {
	if len(r.Segments) == 0 || len(r.Segments[0]) == 0 {
		return 1
	}
	return r.Segments[0][0].MSN
}

func (r *Recording) segment(track int, msn media.MSN) *media.Segment {
	return &r.Segments[track][msn-r.begin()]
}

// media is whose track files it is made of.
func (r *Recording) media() media.RecordingID {
	if r.Source != "" {
		return r.Source
	}
	return r.ID
}

// length is the number of segments that all tracks have.
func (r *Recording) length() int {
	if len(r.Segments) == 0 {
		return 0
	}
	n := len(r.Segments[0])
	for _, segments := range r.Segments {
		n = min(n, len(segments))
	}
	return n
}

// take gives the place of a take by its number.
func (r *Recording) take(number int) (int, bool) {
	for i := range r.Takes {
		if r.Takes[i].Number == number {
			return i, true
		}
	}
	return 0, false
}
