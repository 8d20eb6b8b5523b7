package archiver

import (
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// progressEvery is how often progress is told at most, and its rate is measured.
	progressEvery = time.Second
	// rateWindow is over how many measurements the rate is taken.
	rateWindow = 10
)

// progress is how far a job's uploads are. Its methods may be called from any goroutine.
type progress struct {
	mu struct {
		sync.Mutex
		total, done int64 // bytes of all stores
		sent        int64 // bytes that puts of this job brought
		rate        int64
		marks       []mark // of the last measurements, the oldest first
		// large has the store that a large object is on its way to: its rate tells of the store, and not of the objects.
		large *archive
		to    *archive // where the last object went
	}
}

type mark struct {
	at   time.Time
	sent int64
}

// expect adds to the bytes that the stores are to have.
func (p *progress) expect(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.total += bytes
}

// present counts bytes that a store had already.
func (p *progress) present(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.done += bytes
}

func (p *progress) sent() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.sent
}

// largeObject is from which size on the rate of an object's way tells how fast its store is.
const largeObject = 16 << 20

// object begins a put.
func (p *progress) object(to *archive, size int64) *object {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.large, p.mu.to = nil, to
	if size >= largeObject {
		p.mu.large, p.mu.marks = to, nil
	}
	return &object{of: p}
}

// store gives the store whose rate was measured for a whole window; nil if there is none.
func (p *progress) store() *archive {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.marks) <= rateWindow {
		return nil
	}
	return p.mu.large
}

// object is one put's part of the progress.
type object struct {
	of   *progress
	done int64
}

// at tells that the store has so many bytes of the object: more than before, or fewer when an upload is begun anew.
// What an upload had that is continued counts as sent; it is looked through within seconds.
func (o *object) at(done int64) {
	o.of.mu.Lock()
	defer o.of.mu.Unlock()
	o.atLocked(done)
}

func (o *object) atLocked(done int64) {
	o.of.mu.done += done - o.done
	o.of.mu.sent += max(0, done-o.done)
	o.done = done
}

// end tells that the put is done, whatever was told on the way.
func (o *object) end(size int64) {
	o.of.mu.Lock()
	defer o.of.mu.Unlock()
	o.atLocked(size)
	o.of.mu.large = nil
}

// measure takes the rate anew.
func (p *progress) measure(now time.Time) media.Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.marks = append(p.mu.marks, mark{at: now, sent: p.mu.sent})
	if n := len(p.mu.marks); n > rateWindow+1 {
		p.mu.marks = append(p.mu.marks[:0], p.mu.marks[n-rateWindow-1:]...)
	}
	first := p.mu.marks[0]
	p.mu.rate = 0
	if took := now.Sub(first.at).Seconds(); took > 0 {
		p.mu.rate = int64(float64(p.mu.sent-first.sent) / took)
	}
	return p.lookLocked(now)
}

func (p *progress) look() media.Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lookLocked(time.Time{})
}

func (p *progress) lookLocked(now time.Time) media.Progress {
	return media.Progress{Done: p.mu.done, Total: p.mu.total, Rate: p.mu.rate, At: now}
}

// underWay are the progresses of all jobs that upload, for the metrics.
type underWay struct {
	mu   sync.Mutex
	jobs map[*progress]bool
}

func (u *underWay) add(p *progress) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.jobs == nil {
		u.jobs = make(map[*progress]bool)
	}
	u.jobs[p] = true
}

func (u *underWay) remove(p *progress) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.jobs, p)
}

// rate gives how many bytes a second one store takes, from all jobs.
func (u *underWay) rate(to *archive) (rate int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for p := range u.jobs {
		p.mu.Lock()
		if p.mu.to == to {
			rate += p.mu.rate
		}
		p.mu.Unlock()
	}
	return rate
}

// sum gives how far they are together.
func (u *underWay) sum() (sum media.Progress) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for p := range u.jobs {
		one := p.look()
		sum.Done, sum.Total, sum.Rate = sum.Done+one.Done, sum.Total+one.Total, sum.Rate+one.Rate
	}
	return sum
}
