package ingest

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain checks that nothing here leaves a goroutine behind.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The SRT library's client, which only tests use, leaves its reader behind when it is rejected.
		goleak.IgnoreTopFunction("github.com/datarhei/gosrt.DialWithContext.func1"))
}
