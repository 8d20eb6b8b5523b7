package ingest

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain checks that nothing here leaves a goroutine behind.
func TestMain(m *testing.M) {
	drainSilence = 4 * time.Second // no encoder is silent because the machine stood still
	goleak.VerifyTestMain(m,
		// The SRT library's client, which only tests use, leaves its reader behind when it is rejected.
		goleak.IgnoreTopFunction("github.com/datarhei/gosrt.DialWithContext.func1"))
}
