//go:build !race

package viewing

const raceEnabled = false
