package objstore

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	defaultConnections = 16
	// minBandwidth keeps every connection moving: one that waits for its turn longer than a server's patience is cut.
	minBandwidth = 64 << 10
	// grain is the most that a connection is granted at a time, and what uploads take turns by.
	grain = 32 << 10
	// burst is for how long unused bandwidth is kept: as long as a timer may be late.
	burst = 20 * time.Millisecond
)

// LimitsConfig says how much of a process's connection to its stores is used for putting objects.
type LimitsConfig struct {
	// BytesPerSecond is the most that is sent, all stores together; zero means no limit, the least is 64 KiB.
	BytesPerSecond int64
	// Connections is how many requests that put something are under way at a time; zero means 16.
	Connections int
}

// Limits are shared by the stores of a process.
type Limits struct {
	sends     *semaphore.Weighted
	bandwidth *bandwidth // nil: no limit
}

// NewLimits gives limits that several stores share.
func NewLimits(c LimitsConfig) (*Limits, error) {
	if c.BytesPerSecond != 0 && c.BytesPerSecond < minBandwidth {
		return nil, fmt.Errorf("%w: bandwidth of %d bytes a second: use 0 for no limit, or at least %d",
			media.ErrInvalid, c.BytesPerSecond, minBandwidth)
	}
	if c.Connections < 0 {
		return nil, fmt.Errorf("%w: %d connections", media.ErrInvalid, c.Connections)
	}
	return newLimits(c), nil
}

func newLimits(c LimitsConfig) *Limits {
	if c.Connections == 0 {
		c.Connections = defaultConnections
	}
	l := &Limits{sends: semaphore.NewWeighted(int64(c.Connections))}
	if c.BytesPerSecond > 0 {
		l.bandwidth = newBandwidth(c.BytesPerSecond)
	}
	return l
}

// send runs what sends one request, with the sums that it needs before, when there is a connection free for it. First
// come, first served. It must not be nested.
func (l *Limits) send(ctx context.Context, run func() error) error {
	if err := l.sends.Acquire(ctx, 1); err != nil {
		return err
	}
	defer l.sends.Release(1)
	return run()
}

// flowKey is the key of a context's flow.
type flowKey struct{}

// withFlow makes what is sent under a context one upload in the eyes of the bandwidth limit.
func withFlow(ctx context.Context) context.Context {
	return context.WithValue(ctx, flowKey{}, new(flow))
}

// limitTransport slows down what requests send. It counts what goes out, retries too, and not what is only summed.
type limitTransport struct {
	*http.Transport
	bandwidth *bandwidth
}

// RoundTrip sends a request.
func (t *limitTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.send(count(r))
	if err == nil {
		bounded(r, resp)
	}
	return resp, err
}

func (t *limitTransport) send(r *http.Request) (*http.Response, error) {
	if t.bandwidth == nil || r.Body == nil || r.Body == http.NoBody {
		return t.Transport.RoundTrip(r)
	}
	f, ok := r.Context().Value(flowKey{}).(*flow)
	if !ok {
		f = new(flow)
	}
	limited := *r
	limited.Body = &limitBody{ReadCloser: r.Body, ctx: r.Context(), flow: f, bandwidth: t.bandwidth}
	return t.Transport.RoundTrip(&limited)
}

// limitBody is the body of one request, which is why it may hold its context.
type limitBody struct {
	io.ReadCloser
	ctx       context.Context //nolint:containedctx // that of the request whose body it is
	flow      *flow
	bandwidth *bandwidth
}

func (b *limitBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), b.bandwidth.grain)])
	if n > 0 {
		if err := b.bandwidth.take(b.ctx, b.flow, n); err != nil {
			return 0, err
		}
	}
	return n, err
}

// bandwidth is a token bucket whose waiters are served flow by flow in turn.
type bandwidth struct {
	rate  float64 // bytes a second
	depth float64 // the most credit
	grain int
	mu    struct {
		sync.Mutex
		credit float64   // what may be sent at once; below zero when a grant was larger than what there was
		at     time.Time // of credit
		ring   []*flow   // those with waiters, next in turn first
		timer  *time.Timer
	}
}

// flow is one upload. Its bandwidth's mu guards it.
type flow struct {
	waiters []*waiter
}

type waiter struct {
	size    int
	granted chan struct{}
}

func newBandwidth(rate int64) *bandwidth {
	b := &bandwidth{rate: float64(rate), depth: float64(rate) * burst.Seconds()}
	b.grain = min(grain, int(b.depth)+1)
	b.mu.at = time.Now()
	return b
}

// take waits until size bytes may be sent.
func (b *bandwidth) take(ctx context.Context, f *flow, size int) error {
	w := &waiter{size: size, granted: make(chan struct{})}
	b.mu.Lock()
	if len(f.waiters) == 0 {
		b.mu.ring = append(b.mu.ring, f)
	}
	f.waiters = append(f.waiters, w)
	b.grantLocked()
	b.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
		b.leave(f, w)
		return ctx.Err()
	}
}

// grantLocked serves who can be served, and sets the timer for the next.
func (b *bandwidth) grantLocked() {
	now := time.Now()
	b.mu.credit = min(b.depth, b.mu.credit+now.Sub(b.mu.at).Seconds()*b.rate)
	b.mu.at = now
	for len(b.mu.ring) > 0 && b.mu.credit > 0 {
		f := b.mu.ring[0]
		b.mu.ring = b.mu.ring[1:]
		w := f.waiters[0]
		if f.waiters = f.waiters[1:]; len(f.waiters) > 0 {
			b.mu.ring = append(b.mu.ring, f)
		}
		b.mu.credit -= float64(w.size)
		close(w.granted)
	}
	if len(b.mu.ring) == 0 || b.mu.timer != nil {
		return
	}
	// Not for every grain where they are many: a timer's turn serves as many as its delay has earned.
	delay := max(time.Millisecond, time.Duration(-b.mu.credit/b.rate*float64(time.Second)))
	b.mu.timer = time.AfterFunc(delay, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.mu.timer = nil
		b.grantLocked()
	})
}

// leave takes a waiter out whose caller has gone.
func (b *bandwidth) leave(f *flow, w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range f.waiters {
		if f.waiters[i] != w {
			continue
		}
		f.waiters = append(f.waiters[:i:i], f.waiters[i+1:]...)
		if len(f.waiters) == 0 {
			for i := range b.mu.ring {
				if b.mu.ring[i] == f {
					b.mu.ring = append(b.mu.ring[:i:i], b.mu.ring[i+1:]...)
					break
				}
			}
		}
		return
	}
}
