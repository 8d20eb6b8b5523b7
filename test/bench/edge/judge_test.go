//go:build linux

package main

import "testing"

func TestSoakIsJudgedByItsSecondHalf(t *testing.T) {
	tests := []struct {
		name string
		rss  func(second float64) float64
		flat bool
	}{
		{"level", func(float64) float64 { return 300 }, true},
		{"rises while caches fill", func(at float64) float64 { return min(300, 10*at) }, true},
		{"sways", func(at float64) float64 { return 300 + 10*float64(int(at)%2) }, true},
		{"rises all the time", func(at float64) float64 { return 100 + at/2 }, false},
		{"begins to rise late", func(at float64) float64 { return 300 + max(0, at-450) }, false},
		{"falls", func(at float64) float64 { return 900 - at/2 }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := soakResult{Seconds: 600, After: soakSample{At: 610}}
			for at := 5.0; at <= 600; at += 5 {
				r.Samples = append(r.Samples, soakSample{At: at, RSS: test.rss(at)})
			}
			r.judge()
			if r.Series[0].Flat != test.flat {
				t.Errorf("flat is %t: %+v", r.Series[0].Flat, r.Series[0])
			}
			if (len(r.Faults) == 0) != test.flat {
				t.Errorf("faults %v", r.Faults)
			}
		})
	}
}

func TestSoakFindsAnObjectLeakedOfAThousandAnswers(t *testing.T) {
	run := func(leak float64) soakResult {
		r := soakResult{Seconds: 600, After: soakSample{At: 610}}
		for at := 5.0; at <= 600; at += 5 {
			sway := 3000 * (float64(int(at)%35)/30 - 0.5) // those under way
			r.Samples = append(r.Samples, soakSample{At: at, Answers: 20_000 * at, Objects: 80_000 + sway + leak*20_000*at})
		}
		r.judge()
		return r
	}
	if r := run(0); len(r.Faults) > 0 {
		t.Errorf("no leak: %v", r.Faults)
	}
	if r := run(0.001); len(r.Faults) == 0 {
		t.Errorf("a leak was not found: %f", r.Leak)
	}
}

func TestSoakTellsWhatIsLeft(t *testing.T) {
	r := soakResult{Seconds: 1, Before: soakSample{Goroutines: 20}, After: soakSample{At: 9, Goroutines: 41}}
	if r.rests() {
		t.Error("21 goroutines more are taken for rest")
	}
	r.After.Goroutines = 40
	if !r.rests() {
		t.Error("20 goroutines more are taken for a leak")
	}
}
