package packager

import "time"

// turn is a mutex. Unlike sync.Mutex it counts as an idle wait in testing/synctest: a stream's lock is held while
// storage is waited for, by the clock, and time must pass for those who wait for the lock.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// Lock waits until nobody else has the turn.
func (t turn) Lock() { t <- struct{}{} }

// lockWithin is Lock for who does not wait for long: it says whether it has the turn.
func (t turn) lockWithin(patience time.Duration) bool {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case t <- struct{}{}:
		return true
	case <-late.C:
		return false
	}
}

// Unlock gives it back.
func (t turn) Unlock() { <-t }
