package packager

import (
	"errors"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// recorder stands between a show and its recording log. It keeps the live path going when storage fails: what could not
// be written is marked as a gap in the recording, counted, and logged once per outage.
type recorder struct {
	show   *Show
	writer *reclog.Writer
	take   takeLog // nil between takes, and while the take can't be recorded

	failing bool
	since   time.Time
	lost    int  // segments of this outage
	broken  bool // the take's files can't be appended to: another take is needed
	bytes   int64
	ends    []int64 // where each track's file ends
	gaps    []bool  // whether each track's last segment was lost
}

// takeLog is what the recorder needs of a *reclog.TakeWriter.
type takeLog interface {
	AppendPart(track int, data []byte) (offset int64, err error)
	FinishSegment(track int, seg media.Segment) error
	Seal() error
}

// startTake opens the take's files. Storage that fails is an error for a recording's first take only.
func (r *recorder) startTake(take media.Take, inits [][]byte) error {
	tw, err := r.writer.StartTake(take, inits)
	ours := errors.Is(err, media.ErrFenced) || errors.Is(err, media.ErrGone) || errors.Is(err, media.ErrTooLarge)
	if err != nil && (ours || len(r.show.takes) == 0) {
		return err
	}
	if err != nil { // viewers get the take from memory; the recording gets gaps
		r.failed(err)
		r.broken = true
		return nil
	}
	r.take, r.broken = tw, false
	r.ends = r.ends[:0]
	r.gaps = make([]bool, len(inits))
	for _, init := range inits {
		r.bytes += int64(len(init))
		r.ends = append(r.ends, int64(len(init)))
	}
	return nil
}

// appendPart writes a part and gives its offset; -1 if storage does not have it. Once a part is lost the rest of its
// segment is not tried: the recording has a gap there anyway.
func (r *recorder) appendPart(track int, o *openSegment, data []byte) int64 {
	if o.lost || r.take == nil {
		o.lost = true
		return -1
	}
	offset, err := r.take.AppendPart(track, data)
	if err != nil {
		o.lost = true
		r.failed(err)
		return -1
	}
	if o.offset < 0 {
		o.offset = offset
	}
	o.recorded += int64(len(data))
	r.ends[track] = offset + int64(len(data))
	r.bytes += int64(len(data))
	return offset
}

// finishSegment gives the segment's index line to the log. For players the segment is whole, as long as memory has it;
// for the recording a segment of which a part is missing is a gap.
func (r *recorder) finishSegment(track int, o *openSegment, seg media.Segment) {
	if o.lost {
		seg.Gap, seg.Sync, seg.Size = true, false, o.recorded
		r.lost++
		r.show.metrics.lost.Inc()
	}
	if r.take == nil {
		if err := r.appendGap(track, seg); err != nil {
			r.failed(err)
		}
		return
	}
	if seg.Offset < 0 {
		seg.Offset = r.ends[track]
	}
	r.gaps[track] = o.lost
	if err := r.take.FinishSegment(track, seg); err != nil {
		r.gaps[track] = true
		r.failed(err)
	}
	if !slices.Contains(r.gaps, true) { // a full volume may take audio and no video: that is still one outage
		r.worked()
	}
}

// appendGap writes a filler's index line. A line that is queued is as good as written: it keeps its place.
func (r *recorder) appendGap(track int, seg media.Segment) error {
	if err := r.writer.AppendGap(track, seg); err != nil && !errors.Is(err, reclog.ErrPending) {
		return err
	}
	return nil
}

// failed notes a failure of storage.
func (r *recorder) failed(err error) {
	r.show.metrics.storageErrors.Inc()
	r.broken = r.broken || errors.Is(err, reclog.ErrBroken) || errors.Is(err, reclog.ErrSealed)
	if r.failing {
		return
	}
	r.failing, r.since, r.lost = true, time.Now(), 0
	r.show.metrics.degraded.Inc()
	r.show.logger.Error("recording fails, live goes on from memory", "err", err)
}

// worked notes that every track's last segment is on storage.
func (r *recorder) worked() {
	if !r.failing {
		return
	}
	r.failing, r.broken = false, false
	r.show.metrics.degraded.Dec()
	r.show.logger.Warn("recording goes on", "lost_segments", r.lost, "dur", time.Since(r.since))
}

// seal ends the take on storage. A take that can't be sealed is recovered when the recording is next opened.
func (r *recorder) seal() {
	if r.take == nil {
		return
	}
	if err := r.take.Seal(); err != nil {
		r.show.metrics.storageErrors.Inc()
		r.show.logger.Error("seal take", "err", err)
	}
	r.take = nil
}

// setState writes the state into the manifest.
func (r *recorder) setState(state media.State, ended time.Time) {
	err := r.writer.Update(func(m *reclog.Manifest) {
		m.State = state
		m.EndedAt = ended
	})
	if err != nil {
		r.show.metrics.storageErrors.Inc()
		r.show.logger.Error("write manifest", "state", string(state), "err", err)
	}
	if !state.Growing() {
		r.leave()
	}
}

// leave ends an outage with the show.
func (r *recorder) leave() {
	if r.failing {
		r.failing = false
		r.show.metrics.degraded.Dec()
	}
}
