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

// patientSRT is what a publisher's SRT URL asks for so that a busy machine loses nothing: a second in microseconds, where
// the usual 120 ms go by before a process has its turn.
const patientSRT = "&latency=1000000"
