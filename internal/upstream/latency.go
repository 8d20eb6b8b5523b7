package upstream

import (
	"slices"
	"time"
)

const (
	// samples is how many answers tell how fast an upstream is, and fewSamples how many are too few.
	samples    = 64
	fewSamples = 16
	// renewal is after how many new samples their 95th percentile is counted anew.
	renewal = 8
)

// latency is the times of an upstream's last answers.
type latency struct {
	ring  [samples]time.Duration
	n     int // samples ever
	p95   time.Duration
	known int // n of p95
}

func (l *latency) add(d time.Duration) {
	l.ring[l.n%samples] = d
	l.n++
}

// percentile95 is false while too little is known.
func (l *latency) percentile95() (time.Duration, bool) {
	if l.n < fewSamples {
		return 0, false
	}
	if l.known == 0 || l.n-l.known >= renewal {
		sorted := l.ring
		all := sorted[:min(l.n, samples)]
		slices.Sort(all)
		l.p95, l.known = all[len(all)*95/100], l.n
	}
	return l.p95, true
}
