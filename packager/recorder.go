package packager

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const (
	// storagePatience is how long the live path waits for a piece of storage work: less than a part, so that players
	// miss nothing, and longer than a healthy volume ever takes.
	storagePatience = 200 * time.Millisecond
	// beginPatience is how long a new recording's first files are waited for: nothing can be live from memory alone.
	beginPatience = 5 * time.Second
	// maxJobs bounds what waits for the volume besides bytes (queueShare). Parts may use half of it.
	maxJobs = 8192
	// queueShare is the part of a show's memory that bytes on their way to storage may take: one in four.
	queueShare = 4
)

var (
	errStalled  = errors.New("the recording volume does not answer")
	errOverflow = errors.New("too much waits for the recording volume")
)

// recorder stands between a show and its recording log. All storage work of a show is done by one goroutine, in the
// order in which it was handed over, so that a volume that stalls holds up nothing but that goroutine: a system call
// can't be taken back. The caller, who has the stream's lock, waits for an answer as long as storagePatience says; then
// the show is stalled, and nothing waits until the queue is empty and the volume has kept its time for a while. What
// could not be written, or not even be queued, is marked as a gap in the recording and counted. An outage, of errors or
// of stalls, is logged once.
type recorder struct {
	show  *Show
	log   showLog // nil: nothing is recorded
	limit int64   // bytes of parts that may wait
	// bytes is what was written.
	bytes atomic.Int64
	// fenced: storage says that another process has the recording.
	fenced atomic.Bool
	tape   tape // the goroutine's

	wake   chan struct{} // there is a job, or the end
	done   chan struct{} // a job that is waited for may be done
	exited chan struct{} // closed when the goroutine has left
	timer  *time.Timer   // the caller's

	// mu is a leaf; nothing is waited for with it held.
	mu struct {
		sync.Mutex
		queue            jobs
		handed, finished uint64 // tickets
		// given is the newest ticket that the caller did not wait for, or no longer.
		given uint64
		// shown is given when the fence was met: nothing is announced after.
		shown  uint64
		answer answer // of finished

		running, closing, waiting bool
		// stalled: nothing waits for the volume. lateAt is when it was last seen late.
		stalled bool
		lateAt  time.Time
		// broken: the take's files can't be appended to, another take is needed.
		broken bool
		outage outage
		// settled are segments that were announced without an offset and are on storage by now.
		settled []settled
	}
}

// settled tells where a segment is.
type settled struct {
	track  int
	take   int
	msn    media.MSN
	offset int64
}

// newRecorder makes a recorder; its goroutine begins with the first job. log may be nil: then nothing is recorded.
func newRecorder(show *Show, log showLog, limit int64) *recorder {
	r := &recorder{
		show: show, log: log, limit: limit,
		wake: make(chan struct{}, 1), done: make(chan struct{}, 1), exited: make(chan struct{}),
		timer: time.NewTimer(time.Hour),
	}
	r.timer.Stop()
	return r
}

// startTake opens the take's files. Storage that fails is an error for a recording's first take only; if it is merely
// late with a later one, the take's parts wait behind it.
func (r *recorder) startTake(take media.Take, inits [][]byte) error {
	first, patience := len(r.show.takes) == 0, storagePatience
	if first {
		patience = beginPatience
	}
	j := job{kind: jobStart, do: func() error { return r.start(take, inits, first) }}
	if !first && r.behind() {
		r.post(j)
		return nil
	}
	a, ok := r.call(j, patience)
	if ok || !first {
		return a.err
	}
	r.stall()
	r.post(job{kind: jobSeal}) // it may yet begin
	return errStalled
}

// appendPart hands a part over and gives its offset: -1 if storage does not have it yet, or never will. data is kept
// until it is written. A part that is announced only with its segment is not waited for. Once a part could not be
// queued the rest of its segment is not tried: the recording has a gap there anyway.
func (r *recorder) appendPart(track int, o *openSegment, data []byte, listed bool) int64 {
	if o.dropped {
		return -1
	}
	if !r.room(len(data)) {
		// A source that is faster than the volume waits for it here; a volume that stalls is not waited for.
		if !r.isStalled() {
			r.hard(job{kind: jobNone})
		}
		if !r.room(len(data)) {
			o.dropped = true
			r.begin(errOverflow)
			return -1
		}
	}
	j := job{kind: jobPart, track: track, data: data}
	if !listed {
		r.post(j)
		return -1
	}
	return r.hard(j).offset
}

// room says whether the queue takes a part.
func (r *recorder) room(size int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := &r.mu.queue
	return q.bytes == 0 || (q.bytes+int64(size) <= r.limit && q.len() < maxJobs/2)
}

// finishSegment hands the segment's index line over and gives the segment's offset, -1 as appendPart. For players the
// segment is whole, as long as memory has it; for the recording a segment of which a part is missing is a gap.
func (r *recorder) finishSegment(track int, seg media.Segment) int64 {
	return r.hard(job{kind: jobFinish, track: track, seg: seg}).offset
}

// appendGap writes a filler's index line. A line that is queued is as good as written: it keeps its place. The line is
// synced, so it may be late without alarm, but for the one before it.
func (r *recorder) appendGap(track int, seg media.Segment) error {
	if r.behind() {
		return r.hard(job{kind: jobGap, track: track, seg: seg}).err
	}
	a, _ := r.call(job{kind: jobGap, track: track, seg: seg}, storagePatience)
	return a.err
}

// appendMetadata hands a piece of timed metadata over, which is kept. Nothing waits for it: playlists have it from
// memory.
func (r *recorder) appendMetadata(piece *media.Metadata) {
	if r.log == nil {
		return
	}
	r.mu.Lock()
	full := r.mu.queue.len() >= maxJobs/2
	r.mu.Unlock()
	if full || r.hand(job{kind: jobPiece, piece: piece}, false) == 0 {
		r.show.metrics.metadataLost.Inc()
	}
}

// seal ends the take on storage. A take that can't be sealed is recovered when the recording is next opened. Syncs take
// their time, so that is no alarm: what comes next waits behind it.
func (r *recorder) seal() { r.soft(job{kind: jobSeal}) }

// setState writes the state into the manifest; then, if it is not nil, is called when that is done or has failed.
func (r *recorder) setState(state media.State, ended time.Time, then func()) {
	seen, settings, from := r.show.timeline.seen, r.show.settings, r.show.windowFrom
	j := job{kind: jobState, do: func() error {
		err := r.log.Update(func(m *reclog.Manifest) {
			m.State, m.EndedAt, m.Captions, m.Settings, m.WindowFrom = state, ended, seen, settings, from
		})
		if err != nil {
			r.show.metrics.storageErrors.Inc()
			r.show.logger.Error("write manifest", "state", string(state), "err", err)
		}
		if errors.Is(err, media.ErrFenced) {
			return err // the state is the new owner's to tell
		}
		if then != nil {
			then()
		}
		return nil
	}}
	if !r.soft(j) && then != nil {
		then()
	}
}

// keepCaptions writes the captions in the pictures into the manifest. What is given up of such work comes with the
// next state.
func (r *recorder) keepCaptions(seen []string) {
	r.soft(job{kind: jobCaptions, do: func() error {
		err := r.log.Update(func(m *reclog.Manifest) { m.Captions = seen })
		if err != nil {
			r.show.metrics.storageErrors.Inc()
			r.show.logger.Error("write manifest", "captions", strings.Join(seen, " "), "err", err)
		}
		r.noteFenced(err)
		return nil
	}})
}

// hard does what is to be done before something is announced. If the volume is late the show is stalled.
func (r *recorder) hard(j job) answer {
	if r.isStalled() {
		r.post(j)
		r.begin(errStalled) // a stall that only soft work had met
		return noAnswer
	}
	a, ok := r.call(j, storagePatience)
	if !ok {
		r.stall()
	}
	return a
}

// soft does what nothing is announced by, unless other such work is late already. It says whether it was handed over.
func (r *recorder) soft(j job) bool {
	if r.behind() {
		return r.post(j) > 0
	}
	ticket := r.hand(j, false)
	if ticket > 0 {
		r.await(ticket, storagePatience)
	}
	return ticket > 0
}

// call hands a job over and waits for its answer; false means that there is none in time.
func (r *recorder) call(j job, patience time.Duration) (answer, bool) {
	if ticket := r.hand(j, false); ticket > 0 {
		return r.await(ticket, patience)
	}
	return noAnswer, true
}

// post hands a job over without waiting.
func (r *recorder) post(j job) uint64 { return r.hand(j, true) }

// hand queues a job and gives its ticket; zero says that the recorder takes no more.
func (r *recorder) hand(j job, given bool) uint64 {
	if r.log == nil {
		return 0
	}
	j.at = time.Now()
	r.mu.Lock()
	if r.mu.closing {
		r.mu.Unlock()
		return 0
	}
	if r.mu.queue.len() >= maxJobs {
		r.purgeLocked()
	}
	r.mu.handed++
	j.ticket = r.mu.handed
	r.mu.queue.push(&j)
	if given {
		r.mu.given = j.ticket
	} else {
		r.mu.waiting = true
	}
	if !r.mu.running {
		r.mu.running = true
		go r.run()
	}
	r.mu.Unlock()
	signal(r.wake)
	return j.ticket
}

// await waits for a ticket's answer.
func (r *recorder) await(ticket uint64, patience time.Duration) (answer, bool) {
	r.timer.Reset(patience)
	defer r.timer.Stop()
	for late := false; ; {
		r.mu.Lock()
		done, a := r.mu.finished >= ticket, r.mu.answer
		if done || late {
			r.mu.waiting = false
		}
		if !done && late {
			r.mu.given = ticket
		}
		r.mu.Unlock()
		switch {
		case done:
			return a, true
		case late:
			return noAnswer, false
		}
		select {
		case <-r.done:
		case <-r.timer.C:
			late = true
		}
	}
}

// takeSettled gives the segments that have come to storage since they were announced.
func (r *recorder) takeSettled() []settled {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.mu.settled
	r.mu.settled = nil
	return list
}

// close ends the goroutine once it has done what waits; exited tells.
func (r *recorder) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.closing {
		return
	}
	r.mu.closing = true
	if !r.mu.running {
		close(r.exited)
		return
	}
	signal(r.wake)
}

// abandon ends the goroutine without what waits: nothing is written any more. It is called by who hands work over.
// Segments whose parts wait for a stalled volume were shown from memory, and are lost.
func (r *recorder) abandon() {
	r.mu.Lock()
	lost := r.mu.queue.unwritten()
	_, _, _ = r.mu.queue.purge()
	r.mu.Unlock()
	r.show.metrics.lost.Add(float64(lost))
	r.close()
}

// left says that the goroutine has done everything and left.
func (r *recorder) left() bool {
	select {
	case <-r.exited:
		return true
	default:
		return false
	}
}

// signal wakes who waits on a channel of one, now or later.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
