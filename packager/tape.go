package packager

import (
	"errors"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// tape is what the recorder's goroutine knows of storage; it alone uses it.
type tape struct {
	take      takeLog // nil between takes, and while the take can't be recorded
	ends      []int64 // where each track's file ends
	gaps      []bool  // whether each track's last segment was lost
	open      []openOnTape
	abandoned bool // the take's work was given up: nothing is tried until the next
}

// openOnTape is what storage has of a segment that is being written.
type openOnTape struct {
	offset int64 // -1 without bytes
	size   int64
	lost   bool
}

// showLog is what the recorder needs of a *reclog.Writer.
type showLog interface {
	StartTake(take media.Take, inits [][]byte) (takeLog, error)
	AppendGap(track int, seg media.Segment) error
	AppendMetadata(m media.Metadata) error
	Update(change func(*reclog.Manifest)) error
}

// takeLog is what the recorder needs of a *reclog.TakeWriter.
type takeLog interface {
	AppendPart(track int, data []byte) (offset int64, err error)
	FinishSegment(track int, seg media.Segment) error
	Seal() error
	Abandon() error
}

// onDisk is a *reclog.Writer as a showLog.
type onDisk struct{ *reclog.Writer }

// StartTake begins a take; without one it gives a nil interface.
func (d onDisk) StartTake(take media.Take, inits [][]byte) (takeLog, error) {
	tw, err := d.Writer.StartTake(take, inits)
	if err != nil {
		return nil, err
	}
	return tw, nil
}

// run is the goroutine.
func (r *recorder) run() {
	for {
		r.mu.Lock()
		j, ok := r.mu.queue.pop()
		closing := r.mu.closing
		r.mu.Unlock()
		switch {
		case ok:
			a := r.perform(&j)
			r.complete(&j, a)
		case closing:
			r.drop()
			r.leave()
			close(r.exited)
			return
		default:
			<-r.wake
		}
	}
}

func (r *recorder) perform(j *job) answer {
	switch j.kind {
	case jobStart, jobState, jobCaptions:
		err := j.do()
		r.noteFenced(err)
		return answer{offset: -1, err: err}
	case jobPart:
		return answer{offset: r.append(j.track, j.data)}
	case jobFinish:
		return answer{offset: r.finish(j)}
	case jobGap:
		return answer{offset: -1, err: r.gap(j.track, j.seg)}
	case jobPiece:
		r.tell(j.piece)
	case jobSeal:
		r.sealTake()
	case jobAbandon:
		r.sealTake()
		r.tape.abandoned = true
	case jobNone:
	}
	return noAnswer
}

// complete answers a job, and sees whether a stall or an outage is over.
func (r *recorder) complete(j *job, a answer) {
	now := time.Now()
	r.mu.Lock()
	r.mu.finished, r.mu.answer = j.ticket, a
	r.mu.queue.done(j)
	if j.kind == jobFinish && a.offset >= 0 && j.ticket <= r.mu.given && len(r.mu.settled) < maxJobs {
		r.mu.settled = append(r.mu.settled, settled{j.track, j.seg.Take, j.seg.MSN, a.offset})
	}
	if r.mu.stalled {
		if now.Sub(j.at) > storagePatience/2 {
			r.mu.lateAt = now
		} else if r.mu.queue.len() == 0 && now.Sub(r.mu.lateAt) >= r.show.constants.TargetDuration {
			r.mu.stalled = false
		}
	}
	var over outage
	// A full volume may take audio and no video: that is still one outage.
	whole := j.kind == jobFinish && r.tape.take != nil && !slices.Contains(r.tape.gaps, true)
	if r.mu.outage.on && !r.mu.stalled && whole {
		over = r.mu.outage
		r.mu.outage, r.mu.broken = outage{}, false
	}
	waiting := r.mu.waiting
	r.mu.Unlock()
	if waiting {
		signal(r.done)
	}
	if over.on {
		r.show.metrics.degraded.Dec()
		r.show.logger.Warn("recording goes on", "lost_segments", over.lost, "dur", now.Sub(over.since))
	}
}

// start begins a take. What is not storage's fault, and whatever a recording's first take meets, is the caller's.
func (r *recorder) start(take media.Take, inits [][]byte, first bool) error {
	t := &r.tape
	tw, err := r.log.StartTake(take, inits)
	if err != nil { // viewers get the take from memory; the recording gets gaps
		r.mu.Lock()
		r.mu.broken = true
		r.mu.Unlock()
		if first || errors.Is(err, media.ErrFenced) || errors.Is(err, media.ErrGone) || errors.Is(err, media.ErrTooLarge) {
			return err
		}
		r.failed(err)
		return nil
	}
	t.take, t.abandoned = tw, false
	t.ends = t.ends[:0]
	t.gaps = make([]bool, len(inits))
	t.open = make([]openOnTape, len(inits))
	for i, init := range inits {
		r.bytes.Add(int64(len(init)))
		t.ends = append(t.ends, int64(len(init)))
		t.open[i].offset = -1
	}
	r.mu.Lock()
	r.mu.broken = false
	r.mu.Unlock()
	return nil
}

// append writes a part. Once one is lost the rest of its segment is not tried.
func (r *recorder) append(track int, data []byte) int64 {
	t := &r.tape
	if t.take == nil {
		return -1
	}
	o := &t.open[track]
	if o.lost {
		return -1
	}
	offset, err := t.take.AppendPart(track, data)
	if err != nil {
		o.lost = true
		r.failed(err)
		return -1
	}
	if o.offset < 0 {
		o.offset = offset
	}
	o.size += int64(len(data))
	t.ends[track] = offset + int64(len(data))
	r.bytes.Add(int64(len(data)))
	return offset
}

// finish gives the segment's index line to the log, and its offset if all of it is there.
func (r *recorder) finish(j *job) int64 {
	t, seg := &r.tape, j.seg
	o := openOnTape{offset: -1, lost: true}
	if t.take != nil {
		o = t.open[j.track]
		t.open[j.track] = openOnTape{offset: -1}
	}
	o.lost = o.lost || o.size != seg.Size // parts that were not even queued are missing, too
	seg.Offset = o.offset
	if o.lost {
		seg.Gap, seg.Sync, seg.Size, seg.IFrames = true, false, o.size, nil
		r.countLost(j)
	}
	if t.abandoned {
		return -1
	}
	if t.take == nil {
		if err := r.gap(j.track, seg); err != nil {
			r.failed(err)
		}
		return -1
	}
	if seg.Offset < 0 {
		seg.Offset = t.ends[j.track]
	}
	t.gaps[j.track] = o.lost
	if err := t.take.FinishSegment(j.track, seg); err != nil {
		t.gaps[j.track] = true
		r.failed(err)
	}
	if o.lost {
		return -1 // the file's range holds other bytes, or will
	}
	return seg.Offset
}

// countLost counts a segment that the recording lacks. What a fenced writer brings is no loss: players never saw it,
// and the take that another node goes on with begins before. But what waited for a stalled volume as the fence was met
// was shown from memory, and is in nobody's take.
func (r *recorder) countLost(j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fenced.Load() && j.ticket > r.mu.shown {
		return
	}
	r.show.metrics.lost.Inc()
	r.mu.outage.lost++
}

// gap writes the index line of a segment without media.
func (r *recorder) gap(track int, seg media.Segment) error {
	if r.tape.abandoned {
		return nil
	}
	if err := r.log.AppendGap(track, seg); err != nil && !errors.Is(err, reclog.ErrPending) {
		r.noteFenced(err)
		return err
	}
	return nil
}

// tell writes a piece of timed metadata. One that fails is lost to the recording; the take goes on.
func (r *recorder) tell(m *media.Metadata) {
	if err := r.log.AppendMetadata(*m); err != nil {
		r.show.metrics.metadataLost.Inc()
		r.show.metrics.storageErrors.Inc()
		r.noteFenced(err)
		r.begin(err)
	}
}

// noteFenced notes that the recording is another process's: nothing is announced any more, and the stream's next tick
// gives the show up.
func (r *recorder) noteFenced(err error) bool {
	if !errors.Is(err, media.ErrFenced) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.fenced.Load() {
		r.mu.shown = r.mu.given
	}
	r.fenced.Store(true)
	return true
}

// failed notes a failure of storage.
func (r *recorder) failed(err error) {
	if r.noteFenced(err) {
		return
	}
	r.show.metrics.storageErrors.Inc()
	if errors.Is(err, reclog.ErrBroken) || errors.Is(err, reclog.ErrSealed) {
		r.mu.Lock()
		r.mu.broken = true
		r.mu.Unlock()
	}
	r.begin(err)
}

func (r *recorder) sealTake() {
	t := &r.tape
	if t.take == nil {
		return
	}
	if err := t.take.Seal(); err != nil {
		r.show.metrics.storageErrors.Inc()
		r.show.logger.Error("seal take", "err", err)
		r.noteFenced(err)
	}
	t.take = nil
}

// drop closes the files of a take that another process has by now.
func (r *recorder) drop() {
	if r.tape.take == nil {
		return
	}
	if err := r.tape.take.Abandon(); err != nil {
		r.show.logger.Warn("close files", "err", err)
	}
	r.tape.take = nil
}

// leave ends an outage with the show.
func (r *recorder) leave() {
	r.mu.Lock()
	on := r.mu.outage.on
	r.mu.outage = outage{}
	r.mu.Unlock()
	if on {
		r.show.metrics.degraded.Dec()
	}
}
