package origin

import (
	"context"
	"errors"
	"time"
)

const (
	// promiseLook is how often storage is read anew for a request whose media it does not have yet.
	promiseLook = 250 * time.Millisecond
	// promiseWait is how long such a request is held: below what an edge waits for a segment.
	promiseWait = 4 * time.Second
	// promisedSegments and promisedTakes are how far behind what storage has a request may be to be held: what another
	// process may have listed since, and no more.
	promisedSegments = 3
	promisedTakes    = 2
)

// late answers for media, and holds the request where that is of a recording that another process writes, which storage
// does not have yet: its playlists came from that process's memory. If it has gone, players must not be told that what
// they were promised is not there: whoever continues the recording recovers it.
func (x *exchange) late(t target, serve func(target) error) error {
	err := serve(t)
	if !errors.Is(err, errNotYet) || !x.h.promised(x.r.Context(), t) {
		return err
	}
	if !x.h.enter() {
		return errBusy
	}
	defer x.h.exit()
	limit := time.NewTimer(promiseWait)
	defer limit.Stop()
	look := time.NewTicker(promiseLook)
	defer look.Stop()
	for {
		x.h.reread(t.ref)
		if err := serve(t); !errors.Is(err, errNotYet) || !x.h.promised(x.r.Context(), t) {
			x.h.metrics.waits.WithLabelValues("served").Inc()
			return err
		}
		select {
		case <-look.C:
		case <-limit.C:
			x.h.metrics.waits.WithLabelValues("timeout").Inc()
			return errTimeout
		case <-x.r.Context().Done():
			x.h.metrics.waits.WithLabelValues("left").Inc()
			return errLeft
		}
	}
}

// promised says that another process, which writes the recording, may have listed what storage does not have.
func (h *Handler) promised(ctx context.Context, t target) bool {
	rec, err := h.find(ctx, t.ref)
	if err != nil || rec.show != nil {
		return false
	}
	v, _ := rec.now()
	if v == nil || !v.snap.State.Growing() || len(v.snap.Takes) == 0 {
		return false
	}
	i, ok := v.rendition(t.track)
	if t.kind == kindSubtitle {
		i, ok = 0, true
	}
	last := v.snap.Takes[len(v.snap.Takes)-1].Number
	return ok && t.take <= last+promisedTakes && t.msn <= v.snap.Renditions[i].Last()+promisedSegments
}

// reread has storage read anew for the next request, unless it was read a moment ago.
func (h *Handler) reread(r ref) {
	if rec, ok := h.stored.peek(r); !ok || time.Since(rec.read) >= promiseLook/2 {
		h.stored.expire(r)
	}
}
