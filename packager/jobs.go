package packager

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// jobKind is a kind of storage work.
type jobKind uint8

const (
	jobNone     jobKind = iota // only to be waited for
	jobStart                   // begin a take
	jobPart                    // append a part
	jobFinish                  // a segment's index line
	jobGap                     // a filler's index line
	jobPiece                   // a piece of timed metadata
	jobSeal                    // end the take
	jobAbandon                 // end the take, of which work was given up
	jobState                   // write the manifest
	jobCaptions                // write the captions, or the settings, into the manifest
)

// job is a piece of storage work.
type job struct {
	kind   jobKind
	track  int
	ticket uint64
	at     time.Time
	data   []byte
	seg    media.Segment
	piece  *media.Metadata
	do     func() error
}

// answer is what came of a job. An offset of -1 says that storage does not have it.
type answer struct {
	offset int64
	err    error
}

var noAnswer = answer{offset: -1}

// jobs is a queue. It reuses its array, and gives one up that an outage made large.
type jobs struct {
	list  []job
	head  int
	bytes int64 // of parts, until done takes them off
}

func (q *jobs) len() int { return len(q.list) - q.head }

func (q *jobs) push(j *job) {
	if q.head > 0 && len(q.list) == cap(q.list) {
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	q.list = append(q.list, *j)
	q.bytes += int64(len(j.data))
}

func (q *jobs) pop() (j job, ok bool) {
	if q.head == len(q.list) {
		return job{}, false
	}
	j = q.list[q.head]
	q.list[q.head] = job{}
	q.head++
	if q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
		if cap(q.list) > 256 {
			q.list = nil
		}
	}
	return j, true
}

// done takes a job's bytes off, which count until they are written.
func (q *jobs) done(j *job) { q.bytes -= int64(len(j.data)) }

// unwritten gives the number of segments in the queue that have parts there. One of which only the index line waits is
// found by its parts.
func (q *jobs) unwritten() (segments int) {
	parts := make(map[int]bool)
	for i := range q.list[q.head:] {
		switch j := &q.list[q.head+i]; j.kind {
		case jobPart:
			parts[j.track] = true
		case jobFinish:
			if parts[j.track] {
				segments++
			}
			parts[j.track] = false
		}
	}
	return segments
}

// purge empties the queue. It gives the numbers of segments and of pieces of metadata in it, and the newest state to be
// written.
func (q *jobs) purge() (segments, pieces int, state []job) {
	for j, ok := q.pop(); ok; j, ok = q.pop() {
		q.done(&j)
		switch j.kind {
		case jobFinish:
			segments++
		case jobPiece:
			pieces++
		case jobState:
			state = append(state[:0], j)
		}
	}
	return segments, pieces, state
}
