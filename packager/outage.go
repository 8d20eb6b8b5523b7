package packager

import "time"

// outage is a time in which the recording is not whole, or in which live goes ahead of it.
type outage struct {
	on    bool
	since time.Time
	lost  int // segments
}

// purgeLocked gives up the take on storage after hours of a stall: what waits is replaced by its end. The MSNs that the
// recording lacks then are gaps once another take begins.
func (r *recorder) purgeLocked() {
	lost, pieces, states := r.mu.queue.purge()
	r.show.metrics.metadataLost.Add(float64(pieces))
	r.show.metrics.lost.Add(float64(lost))
	r.mu.outage.lost += lost
	r.mu.broken = true
	r.mu.handed++
	r.mu.queue.push(&job{kind: jobAbandon, ticket: r.mu.handed, at: time.Now()})
	for i := range states {
		r.mu.handed++
		states[i].ticket = r.mu.handed
		r.mu.queue.push(&states[i])
	}
	r.mu.given = r.mu.handed
}

// stall notes that the volume let the live path wait.
func (r *recorder) stall() {
	r.mu.Lock()
	r.mu.stalled, r.mu.lateAt = true, time.Now()
	r.mu.Unlock()
	r.show.metrics.storageErrors.Inc()
	r.begin(errStalled)
}

// begin begins an outage, if none is on.
func (r *recorder) begin(err error) {
	r.mu.Lock()
	on := r.mu.outage.on || r.log == nil
	if !on {
		r.mu.outage = outage{on: true, since: time.Now()}
	}
	r.mu.Unlock()
	if on {
		return
	}
	r.show.metrics.degraded.Inc()
	r.show.logger.Error("recording fails, live goes on from memory", "err", err)
}

func (r *recorder) isStalled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.stalled
}

// behind says that the show is stalled, or that work which is not waited for is not done.
func (r *recorder) behind() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.stalled || r.mu.finished < r.mu.given
}

// needsTake says that the take's files are beyond use, and whether the volume answers, so that others may be tried.
func (r *recorder) needsTake() (broken, answers bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.broken, !r.mu.stalled
}
