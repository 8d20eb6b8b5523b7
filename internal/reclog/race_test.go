//go:build race

package reclog

import "flag"

const raceEnabled = true

// Under the race detector a round takes ten times as long, and what the rounds test is order, not races.
func init() {
	if err := flag.Set("rapid.checks", "40"); err != nil {
		panic(err)
	}
}
