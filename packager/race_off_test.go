//go:build !race

package packager

// long is how many hours of sound a clock is held against.
const long = 1.0
