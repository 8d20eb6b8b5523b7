//go:build !linux

package fastlane

// supported says that the lane can be used on this system.
const supported = false

type vector []struct{}

func (c *conn) read(uintptr) bool { panic("BUG: no lane here") }

func (c *conn) write(uintptr) bool { panic("BUG: no lane here") }

func (c *conn) look(uintptr) {}
