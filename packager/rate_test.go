package packager

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestMV1_RatesAreToldInSteps(t *testing.T) {
	for rate, want := range map[int64]int64{
		0: 0, 1: 1000, 128_000: 130_000, 130_000: 130_000, 999_999: 1_000_000, 4_120_000: 4_200_000, 9_900_001: 10_000_000,
	} {
		if got := roundUp(rate); got != want {
			t.Errorf("%d: %d, want %d", rate, got, want)
		}
	}
	for rate := int64(20_000); rate < 1<<40; rate += rate / 7 {
		if got := roundUp(rate); got < rate || float64(got) > float64(rate)*1.051+1000 {
			t.Errorf("%d: %d", rate, got)
		}
	}
}

func TestMV7_MV14_WhatIsToldIsTrueAndSettles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	m := newRateMeter(2 * time.Second)
	changes, before := 0, int64(0)
	for i := range 5000 {
		bytes := 900_000 + random.Int64N(200_000)
		m.Add(bytes, 2*time.Second)
		peak, average := m.tell()
		if measured := bytes * 4; measured > peak || peak < average || average < m.Average() ||
			float64(average) > 1.15*float64(m.Average()) {
			t.Fatalf("segment %d of %d b/s: told %d and %d, measured %d", i, measured, peak, average, m.Average())
		}
		if peak != before {
			changes++
		}
		if peak < before {
			t.Fatalf("peak fell from %d to %d", before, peak)
		}
		before = peak
	}
	if changes > 6 {
		t.Errorf("the peak told changed %d times", changes)
	}
}

func TestMV1_TheFirstShortSegmentsPeakStays(t *testing.T) {
	m := newRateMeter(2 * time.Second)
	m.Add(100_000, 300*time.Millisecond)
	first, _ := m.tell()
	m.Add(100_000, 2*time.Second)
	if peak, _ := m.tell(); peak < first {
		t.Errorf("peak fell from %d to %d", first, peak)
	}
}
