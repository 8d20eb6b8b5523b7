package test

import "testing"

// browserSeats are for tests with a browser: it decodes and draws with the processor, and pictures are left out where too
// many do. Fewer seats would have tests wait that others could run beside.
var browserSeats = make(chan struct{}, 3)

// parallelWithBrowser is t.Parallel for a test that starts a browser, and has none beneath it that does the same: in
// make test three of them run at once. A test that waits for its seat has nothing running yet.
func parallelWithBrowser(t *testing.T) {
	t.Helper()
	t.Parallel()
	if full() {
		return
	}
	browserSeats <- struct{}{}
	t.Cleanup(func() { <-browserSeats })
}
