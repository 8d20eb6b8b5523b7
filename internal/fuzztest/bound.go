// Package fuzztest is what fuzz targets share.
package fuzztest

import (
	"runtime/metrics"
	"testing"
)

// slack is what the measure may be off by: small values are counted by the page, and the fuzzer itself makes some.
const slack = 1 << 20

// Bound begins to count, and gives what fails the test if more than limit bytes were allocated meanwhile, freed ones
// too. Nothing else may run in the process, as in a fuzz target. It finds what a length that an attacker wrote made of
// memory, though it was given back at once:
//
//	defer fuzztest.Bound(t, 64*len(data))()
func Bound(t testing.TB, limit int) func() {
	before := allocated()
	return func() {
		t.Helper()
		if n := allocated() - before; n > uint64(limit)+slack {
			t.Fatalf("it allocated %d bytes: at most %d", n, limit)
		}
	}
}

func allocated() uint64 {
	sample := [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64()
}
