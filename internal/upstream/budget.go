package upstream

import "time"

// budget is a bucket of tokens, a token per retry: filled by requests and, slowly, by time.
type budget struct {
	ratio, floor, burst float64
	tokens              float64
	filled              time.Time
}

func newBudget(c Config, now time.Time) budget {
	return budget{
		ratio: c.RetryRatio, floor: c.RetryFloor, burst: float64(c.RetryBurst), tokens: float64(c.RetryBurst), filled: now,
	}
}

// earn adds what one request allows.
func (b *budget) earn() { b.tokens = min(b.burst, b.tokens+b.ratio) }

// spend takes a token if more than that many are left afterwards.
func (b *budget) spend(left float64, now time.Time) bool {
	b.tokens = min(b.burst, b.tokens+b.floor*max(0, now.Sub(b.filled).Seconds()))
	b.filled = now
	if b.tokens-1 < left {
		return false
	}
	b.tokens--
	return true
}
