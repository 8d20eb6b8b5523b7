// Package progress tells people how far long work is: one line on the error stream, for as long as the work lasts.
//
//	screen := progress.NewScreen(os.Stderr, width)
//	stop := screen.Show("reindex", func() progress.State {
//		return progress.State{Done: n.Load(), Total: 500, Unit: "recordings"}
//	})
//	defer stop()
//
// gives
//
//	reindex: 120 of 500 recordings (24%), 61/s, 7s left
//
// The work counts as it likes, mostly by atomics; the screen asks it, and not more often than it shows.
//
// # Invariants
//
//  1. Work of less than a second shows nothing.
//  2. A terminal has one line that renews itself, at most 4 times a second, never longer than the terminal is wide, and
//     gone when the work is done. What else is written to the screen is never mixed into it.
//  3. What is no terminal gets a whole line every 10 seconds.
//  4. When stop returns, nothing is asked or written any more.
package progress
