package test

import "time"

// patient is how long make test waits for what make e2e wants within the limit. Where all is well a wait costs nothing,
// and whatever else takes the machine's processors must not be able to fail a test.
func patient(limit time.Duration) time.Duration {
	if full() {
		return limit
	}
	return max(limit, 3*time.Minute)
}

// leeway is how long something may have taken in make test that make e2e wants within the limit: there the limit is
// what the product promises, here it is told apart from what hangs.
func leeway(limit time.Duration) time.Duration {
	if full() {
		return limit
	}
	return limit + 30*time.Second
}
