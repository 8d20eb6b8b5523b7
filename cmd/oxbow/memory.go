package main

import (
	"os"
	"runtime/debug"
)

// gcPercent is how much garbage a server may have, in percent of what lives. What lives is media in few large pieces,
// which cost the collector next to nothing to mark: half of Go's usual garbage takes a sixth off a publisher's memory
// and no measurable time.
const gcPercent = 50

// tuneMemory sets the collector up for a server, unless GOGC says how.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
