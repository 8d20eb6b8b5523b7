package ingest

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain checks that nothing here leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
