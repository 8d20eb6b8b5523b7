package packager

// turn is a mutex. Unlike sync.Mutex it counts as an idle wait in testing/synctest: a stream's lock is held while
// storage is waited for, by the clock, and time must pass for those who wait for the lock.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// Lock waits until nobody else has the turn.
func (t turn) Lock() { t <- struct{}{} }

// Unlock gives it back.
func (t turn) Unlock() { <-t }
