//go:build race

package archiver

// stride: SQLite under the race detector is ten times slower, and what the faults test is order, not races.
const stride = 7
