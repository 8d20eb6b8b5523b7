//go:build linux

package main

import (
	"fmt"
	"slices"
)

// soakSeries is one figure over a soak.
type soakSeries struct {
	Name    string  `json:"name"`
	Quarter float64 `json:"end_of_first_quarter"` // mean of the samples from a fifth to a quarter and a bit
	Half    float64 `json:"second_half"`          // mean
	Slope   float64 `json:"slope_per_second"`     // of the second half, by least squares
	Flat    bool    `json:"flat"`
}

// restSway is by how many goroutines or descriptors an edge at rest may differ from itself.
const restSway = 20

// rests says whether the edge is, without clients, what it was before they came.
func (r *soakResult) rests() bool {
	return r.After.At > 0 && r.After.Goroutines <= r.Before.Goroutines+restSway &&
		r.After.Descriptors <= r.Before.Descriptors+restSway
}

// judge says of each figure whether it is flat: once the caches are full, at a quarter of the time, it may rise no
// more. Growth counts from a share of the figure.
func (r *soakResult) judge() {
	for _, series := range []struct {
		name  string
		of    func(soakSample) float64
		share float64
		sway  float64
	}{
		{"RSS MiB", func(s soakSample) float64 { return s.RSS }, 0.1, 8},
		{"PSS MiB", func(s soakSample) float64 { return s.PSS }, 0.1, 8},
		{"memory MiB", func(s soakSample) float64 { return s.Memory }, 0.1, 8},
		{"arena MiB", func(s soakSample) float64 { return s.Arena }, 0.1, 8},
		{"heap MiB", func(s soakSample) float64 { return s.Heap }, 0.1, 4},
		{"goroutines", func(s soakSample) float64 { return s.Goroutines }, 0.1, restSway},
		{"descriptors", func(s soakSample) float64 { return s.Descriptors }, 0.1, restSway},
	} {
		s := soakSeries{Name: series.name}
		var at, values []float64
		early, end := 0, r.Seconds
		for _, sample := range r.Samples {
			switch {
			case sample.At >= end/2:
				at, values = append(at, sample.At), append(values, series.of(sample))
			case sample.At >= end*0.18 && sample.At <= end*0.3:
				s.Quarter += series.of(sample)
				early++
			}
		}
		s.Quarter /= float64(max(1, early))
		s.Half, s.Slope = mean(values), slope(at, values)
		bound := max(series.sway, s.Quarter*series.share)
		s.Flat = early > 0 && len(values) > 2 && s.Half-s.Quarter < bound && s.Slope*end/2 < bound
		if !s.Flat {
			r.Faults = append(r.Faults, series.name+" are not flat")
		}
		r.Series = append(r.Series, s)
	}
	if early, late := r.peaks(); late > early*maxPeak {
		r.Faults = append(r.Faults, fmt.Sprintf("%.0f MiB at peak in the second half, %.0f before", late, early))
	}
	if r.Leak = r.leak(); r.Leak > maxLeak {
		r.Faults = append(r.Faults, fmt.Sprintf("%.2f objects stay of a thousand answers", 1000*r.Leak))
	}
	if !r.rests() {
		r.Faults = append(r.Faults, fmt.Sprintf(
			"%.0f goroutines and %.0f descriptors before, %.0f and %.0f after all clients left",
			r.Before.Goroutines, r.Before.Descriptors, r.After.Goroutines, r.After.Descriptors))
	}
	for what, times := range r.Failures {
		r.Faults = append(r.Faults, fmt.Sprintf("%d times: %s", times, what))
	}
	slices.Sort(r.Faults)
}

// maxPeak is by how much the second half's worst moment may be worse than the first's.
const maxPeak = 1.5

func (r *soakResult) peaks() (early, late float64) {
	for _, s := range r.Samples {
		if s.At < r.Seconds/2 {
			early = max(early, s.Peak)
		} else {
			late = max(late, s.Peak)
		}
	}
	return early, late
}

// maxLeak is how many objects an answer may leave on the heap. Who leaks one at every thousandth leaks more.
const maxLeak = 0.0005

// leak gives how many objects stay of each answer, over the second half: the median of the slopes between all samples
// (Theil and Sen), for the number of those under way has bursts.
func (r *soakResult) leak() float64 {
	var slopes []float64
	for i, a := range r.Samples {
		if a.At < r.Seconds/2 {
			continue
		}
		for _, b := range r.Samples[i+1:] {
			if b.Answers > a.Answers {
				slopes = append(slopes, (b.Objects-a.Objects)/(b.Answers-a.Answers))
			}
		}
	}
	if len(slopes) == 0 {
		return 0
	}
	slices.Sort(slopes)
	return slopes[len(slopes)/2]
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(max(1, len(values)))
}

// slope is that of the straight line through the values, by least squares.
func slope(at, values []float64) float64 {
	meanAt, meanOf := mean(at), mean(values)
	above, below := 0.0, 0.0
	for i := range at {
		above += (at[i] - meanAt) * (values[i] - meanOf)
		below += (at[i] - meanAt) * (at[i] - meanAt)
	}
	if below == 0 {
		return 0
	}
	return above / below
}
