package loadgen

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	// busyShare is the share of its cores above which a load generator no longer measures the server alone.
	busyShare = 0.8
	// lateTimers is how late its own timers may be, likewise.
	lateTimers = 20 * time.Millisecond
	// ownTick is how often they are looked at.
	ownTick = 20 * time.Millisecond
)

// Own is what a measurement cost the process that made it, and whether that spoilt it.
type Own struct {
	CPU      float64 `json:"own_cpu_seconds"`
	CPUShare float64 `json:"own_cpu_share"`   // of the cores that the process may use, 0 to 1
	Late     float64 `json:"own_late_p99_ms"` // how late its own timers were, all else than the server's doing
	// Bottleneck says that the process itself was too slow, if it was: then the server can do more than the result says.
	Bottleneck string `json:"bottleneck,omitempty"`
}

// Meter watches this process while it measures something else.
type Meter struct {
	begun   time.Time
	cpu     time.Duration
	lags    lags
	stop    context.CancelFunc
	ticking sync.WaitGroup
}

// NewMeter begins. End must be called.
func NewMeter() (*Meter, error) {
	cpu, err := ownCPU()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &Meter{begun: time.Now(), cpu: cpu, stop: stop}
	m.ticking.Go(func() {
		timer := time.NewTimer(0)
		for {
			at := time.Now().Add(ownTick)
			if !pause(ctx, timer, at) {
				return
			}
			m.lags.add(time.Since(at))
		}
	})
	return m, nil
}

// End says what was seen.
func (m *Meter) End() Own {
	m.stop()
	m.ticking.Wait()
	cpu, err := ownCPU()
	if err != nil { // the first one worked
		return Own{}
	}
	own, cores := Own{CPU: (cpu - m.cpu).Seconds(), Late: ms(m.lags.quantile(0.99))}, runtime.GOMAXPROCS(0)
	if passed := time.Since(m.begun).Seconds(); passed > 0 {
		own.CPUShare = own.CPU / passed / float64(cores)
	}
	own.Bottleneck = bottleneck(own, cores)
	return own
}

func bottleneck(own Own, cores int) string {
	const advice = "so the figures are its own as well as the server's: give it more cores, or share the load among " +
		"machines"
	switch {
	case own.CPUShare > busyShare:
		return fmt.Sprintf("this process took %.0f%% of its %d cores, %s", 100*own.CPUShare, cores, advice)
	case own.Late > ms(lateTimers):
		return fmt.Sprintf("this process's own timers were %.0f ms late, %s", own.Late, advice)
	}
	return ""
}

// Live is how a measurement goes, while it does.
type Live struct {
	// Passed is the time since it began, the ramp too; zero before.
	Passed time.Duration
	// Active is how many streams publish, or viewers watch.
	Active int
	// Failed counts streams and viewers, or requests of viewers, that came to nothing.
	Failed int
	Bytes  int64 // of media, so far
	Lag    float64
}

// watch hands over what tells how a measurement goes; ask is called until the measurement has ended.
type watch func(ask func() Live)

func (w watch) begin(ask func() Live) {
	if w != nil {
		w(ask)
	}
}

// ownCPU gives the processor time that this process has had.
func ownCPU() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}
