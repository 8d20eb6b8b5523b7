//go:build race

package packager

import "flag"

// long is how many hours of sound a clock is held against. The race detector makes that ten times slower, and there is
// one goroutine.
const long = 0.15

// Fewer of what is drawn, too, unless the command line asks for more.
func init() {
	if err := flag.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
}
