package upstream

import (
	"context"
	"time"
)

// Config holds a Pool's limits. The zero value of every field means what its comment says.
type Config struct {
	// Places bounds the requests under way with one upstream, those that wait by their nature left out. Zero means 512.
	Places int
	// Queue bounds the requests that wait for a place with one upstream. Zero means 512.
	Queue int
	// QueueTime bounds that wait. Zero means 500 ms.
	QueueTime time.Duration
	// Failures in a row eject. Zero means 5.
	Failures int
	// FailureRate ejects too: the share of requests that failed within the last RateTime, of which there were at least
	// twice Failures. Zero means 0.5, and 10 s.
	FailureRate float64
	RateTime    time.Duration
	// EjectTime is the first ejection's, which doubles with each that follows, up to MaxEjectTime. Zero means 1 s and
	// 30 s.
	EjectTime, MaxEjectTime time.Duration
	// SlowStart is the time from an upstream's recovery until it gets all of its requests again. Zero means 10 s.
	SlowStart time.Duration
	// RetryRatio is how many retries a request allows, RetryFloor how many per second there are beside that, and
	// RetryBurst how many may come at once. Zero means 0.2, 10 and 512.
	RetryRatio, RetryFloor float64
	RetryBurst             int
	// HedgeFloor is the least time after which a second upstream is asked beside the first, HedgeUnknown that for an
	// upstream which has answered too little to be known. Zero means 250 ms, which no pause of a healthy process is, and
	// 1 s.
	HedgeFloor, HedgeUnknown time.Duration
	// Check asks an upstream something cheap, or says ErrNoCheck; nil means that there are no active checks. It is given
	// CheckTimeout. Only what is ejected is checked, every CheckEvery, as long as a request could have used it within the
	// last CheckFor. Zero means 1 s, 500 ms and 2 min.
	Check                              func(ctx context.Context, name string) error
	CheckTimeout, CheckEvery, CheckFor time.Duration
	// MaxNames bounds the upstreams that are remembered. Zero means 1024.
	MaxNames int
}

func (c Config) withDefaults() Config {
	orDefault(&c.Places, 512)
	orDefault(&c.Queue, 512)
	orDefault(&c.QueueTime, 500*time.Millisecond)
	orDefault(&c.Failures, 5)
	orDefault(&c.FailureRate, 0.5)
	orDefault(&c.RateTime, 10*time.Second)
	orDefault(&c.EjectTime, time.Second)
	orDefault(&c.MaxEjectTime, 30*time.Second)
	orDefault(&c.SlowStart, 10*time.Second)
	orDefault(&c.RetryRatio, 0.2)
	orDefault(&c.RetryFloor, 10)
	orDefault(&c.RetryBurst, 512)
	orDefault(&c.HedgeFloor, 250*time.Millisecond)
	orDefault(&c.HedgeUnknown, time.Second)
	orDefault(&c.CheckTimeout, time.Second)
	orDefault(&c.CheckEvery, 500*time.Millisecond)
	orDefault(&c.CheckFor, 2*time.Minute)
	orDefault(&c.MaxNames, 1024)
	return c
}

func orDefault[T int | float64 | time.Duration](v *T, zero T) {
	if *v <= 0 {
		*v = zero
	}
}
