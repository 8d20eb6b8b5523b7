//go:build !race

package reclog

const raceEnabled = false
