package origin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// pollStored is how often a recording that another process writes is looked at for a request that waits.
const pollStored = time.Second

// awaited is a version that has what was asked for.
type awaited struct {
	rec *recording
	*version
	// released says that it has not: the publisher was lost while the request waited (BLK-11).
	released bool
}

// await holds a request until judge is content with a version: three target durations at most (BLK-10), or until the
// publisher is lost (BLK-11). Judge's own error ends the wait. What is too far ahead of a recording that another
// process writes is waited for, too: that one may have told of more than storage has. Before a show's first version,
// judge gets nil. A show that leaves this process while it grows ends the wait with errMoved: who asks finds it
// elsewhere, or next time on storage.
func (h *Handler) await(ctx context.Context, r ref, judge func(*version) (hls.Decision, error)) (awaited, error) {
	var timer *time.Timer
	var first *version
	var held bool // the wait is for a show of this process
	for {
		rec, err := h.find(ctx, r)
		if held && (err != nil || rec.show == nil) && !errors.Is(err, media.ErrGone) {
			h.metrics.waits.WithLabelValues("moved").Inc()
			return awaited{}, errMoved
		}
		if err != nil {
			return awaited{}, err
		}
		held = rec.show != nil
		v, changed := rec.now()
		limit := h.cfg.StartTimeout
		decision, err := judge(v)
		switch {
		case err != nil || decision == hls.Serve:
			if timer != nil {
				h.metrics.waits.WithLabelValues("served").Inc()
			}
			return awaited{rec: rec, version: v}, err
		case decision == hls.Refuse && (rec.show != nil || !v.snap.State.Growing()):
			return awaited{}, fmt.Errorf("%w: too far ahead of the live edge", media.ErrInvalid)
		case v != nil:
			if first == nil {
				first = v
			}
			if first.snap.State == media.Live && v.snap.State == media.Interrupted && v.begun() {
				h.metrics.waits.WithLabelValues("served").Inc()
				return awaited{rec: rec, version: v, released: true}, nil
			}
			limit = 3 * v.snap.Constants.TargetDuration
		}
		if timer == nil {
			if !h.enter() {
				return awaited{}, errBusy
			}
			defer h.exit()
			timer = time.NewTimer(limit)
			defer timer.Stop()
		}
		if err := h.sleep(ctx, changed, timer); err != nil {
			return awaited{}, err
		}
	}
}

// enter counts one more that waits, if the limit lets it.
func (h *Handler) enter() bool {
	if h.waiters.Add(1) > int64(h.cfg.MaxWaiters) {
		h.waiters.Add(-1)
		h.metrics.waits.WithLabelValues("refused").Inc()
		return false
	}
	h.metrics.waiting.Inc()
	return true
}

func (h *Handler) exit() {
	h.waiters.Add(-1)
	h.metrics.waiting.Dec()
}

// sleep returns when it is worth looking again.
func (h *Handler) sleep(ctx context.Context, changed <-chan struct{}, timer *time.Timer) error {
	var poll <-chan time.Time
	if changed == nil {
		t := time.NewTimer(pollStored)
		defer t.Stop()
		poll = t.C
	}
	select {
	case <-changed:
	case <-poll:
	case <-timer.C:
		h.metrics.waits.WithLabelValues("timeout").Inc()
		return errTimeout
	case <-ctx.Done():
		h.metrics.waits.WithLabelValues("left").Inc()
		return errLeft
	}
	return nil
}
