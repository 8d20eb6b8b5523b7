package loadgen

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	dialTimeout = 15 * time.Second
	// lateBy is when a stream counts as behind.
	lateBy = time.Second
)

// Config says what is published.
type Config struct {
	// URLs has one for each stream.
	URLs []string
	// Ramp is over which time the streams start, evenly; zero starts all at once.
	Ramp time.Duration
	// Duration is how long they all publish after that.
	Duration time.Duration
	// Watch is called once, with what tells how it goes until it has ended; nil is fine.
	Watch func(ask func() Live)
}

// Result is what came of a Run. Lags and Bits count from the end of the ramp on.
type Result struct {
	Streams      int            `json:"streams"`
	Connected    int            `json:"connected"`
	Refused      map[string]int `json:"refused,omitempty"`      // by reason
	Disconnected map[string]int `json:"disconnected,omitempty"` // by reason
	Behind       int            `json:"behind"`                 // streams that were more than 1 s late at their end
	Seconds      float64        `json:"seconds"`
	Bytes        int64          `json:"bytes"`           // of media, in all
	Bits         float64        `json:"bits_per_second"` // of all streams together
	LagP50       float64        `json:"lag_p50_ms"`
	LagP99       float64        `json:"lag_p99_ms"`
	LagMax       float64        `json:"lag_max_ms"`
	Own
}

// run is one Run at work.
type run struct {
	clip  *Clip
	bytes atomic.Int64
	early atomic.Int64 // bytes before the ramp's end
	lags  lags
	ramp  time.Time // its end

	mu     sync.Mutex
	result Result
}

// Run publishes the clip to every URL until the time is up, or ctx ends.
func (c *Clip) Run(ctx context.Context, cfg Config) (Result, error) {
	meter, err := NewMeter()
	if err != nil {
		return Result{}, err
	}
	start := time.Now()
	r := &run{clip: c, ramp: start.Add(cfg.Ramp)}
	r.result = Result{Streams: len(cfg.URLs), Refused: map[string]int{}, Disconnected: map[string]int{}}
	ctx, cancel := context.WithDeadline(ctx, r.ramp.Add(cfg.Duration))
	defer cancel()
	watch(cfg.Watch).begin(func() Live { return r.live(start) })
	var streams sync.WaitGroup
	for i, target := range cfg.URLs {
		at := start.Add(cfg.Ramp * time.Duration(i) / time.Duration(len(cfg.URLs)))
		streams.Go(func() {
			if pause(ctx, time.NewTimer(0), at) {
				r.stream(ctx, target)
			}
		})
	}
	<-ctx.Done()
	r.mu.Lock()
	r.result.Seconds = max(time.Since(r.ramp), 0).Seconds()
	r.mu.Unlock()
	streams.Wait()
	r.result.Own = meter.End()
	r.result.Bytes = r.bytes.Load()
	if r.result.Seconds > 0 {
		r.result.Bits = float64(8*(r.result.Bytes-r.early.Load())) / r.result.Seconds
	}
	r.result.LagP50, r.result.LagP99 = ms(r.lags.quantile(0.5)), ms(r.lags.quantile(0.99))
	r.result.LagMax = ms(r.lags.max())
	return r.result, nil
}

func (r *run) live(start time.Time) Live {
	l := Live{Passed: time.Since(start), Bytes: r.bytes.Load(), Lag: ms(r.lags.quantile(0.99))}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.result.Refused {
		l.Failed += n
	}
	l.Active = r.result.Connected
	for _, n := range r.result.Disconnected {
		l.Failed += n
		l.Active -= n
	}
	return l
}

// pause waits until a time; false means that ctx has ended before it.
func pause(ctx context.Context, timer *time.Timer, until time.Time) bool {
	timer.Reset(time.Until(until))
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// stream publishes to one URL and counts its fate.
func (r *run) stream(ctx context.Context, target string) {
	dialled, cancel := context.WithTimeout(ctx, dialTimeout)
	s, err := r.clip.dial(dialled, target)
	cancel()
	if err != nil {
		if ctx.Err() == nil {
			r.count(r.result.Refused, err)
		}
		return
	}
	r.mu.Lock()
	r.result.Connected++
	r.mu.Unlock()
	leave := sync.OnceFunc(func() { _ = s.close() }) // what is sent last is of no interest
	ended := make(chan error, 1)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer leave()
	reader.Go(func() {
		ended <- s.wait()
		leave() // wakes a write that hangs
	})
	err = r.publish(ctx, s)
	if ctx.Err() == nil && err != nil {
		select {
		case said := <-ended: // the server's own words say more than a broken write
			err = said
		default:
		}
		r.count(r.result.Disconnected, err)
	}
}

func (r *run) count(reasons map[string]int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reasons[err.Error()]++
}

// publish sends the clip round and round, until ctx ends or sending fails.
func (r *run) publish(ctx context.Context, s sender) error {
	timer := time.NewTimer(0)
	start, lag := time.Now(), time.Duration(0)
	defer func() {
		if lag > lateBy {
			r.mu.Lock()
			r.result.Behind++
			r.mu.Unlock()
		}
	}()
	for round := 0; ; round++ {
		base := start.Add(time.Duration(round) * r.clip.length)
		for step := 0; step < len(r.clip.due); {
			at := base.Add(r.clip.due[step])
			if !pause(ctx, timer, at) {
				return nil
			}
			sent := 0
			for now := time.Now(); step < len(r.clip.due) && !base.Add(r.clip.due[step]).After(now); step++ {
				if err := s.send(step, round); err != nil {
					return err
				}
				sent += r.clip.sizes[step]
			}
			if err := s.flush(); err != nil {
				return err
			}
			r.bytes.Add(int64(sent))
			now := time.Now()
			lag = now.Sub(at)
			if now.Before(r.ramp) {
				r.early.Add(int64(sent))
			} else {
				r.lags.add(lag)
			}
		}
	}
}
