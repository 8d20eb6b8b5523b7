package packager

import (
	"fmt"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// cutAll drives a leader with millisecond stamps and gives the segments' parts: the samples of each.
func cutAll(l *leader, stamps []time.Duration, idr func(int) bool) (segments [][]int, listed []bool) {
	parts, n := []int(nil), 0
	ok := true
	end := func(b boundary) {
		if b.cut == noCut {
			return
		}
		if n > 0 {
			parts, n = append(parts, n), 0
			ok = ok && b.listed
		}
		if b.cut == cutSegment {
			segments, listed = append(segments, parts), append(listed, ok)
			parts, ok = nil, true
		}
	}
	for i, at := range stamps {
		had := l.held
		before, after := l.push(media.Ticks(at, videoTimescale), media.Ticks(at, videoTimescale), idr(i), false)
		end(before)
		if had {
			n++
		}
		end(after)
	}
	return segments, listed
}

// TestPRT14RegularGOPsHaveTheirIDRsFirst: at every usual frame rate each IDR begins a part, every segment has its parts
// listed, and segments are as long as planned.
func TestPRT14RegularGOPsHaveTheirIDRsFirst(t *testing.T) {
	for _, fps := range []float64{15, 23.976, 24, 25, 29.97, 30, 48, 50, 59.94, 60} {
		for _, seconds := range []float64{0.5, 1, 2, 4} {
			for _, part := range []time.Duration{200, 333, 500, 1000} {
				t.Run(fmt.Sprintf("%v fps, GOP %v s, part %d ms", fps, seconds, part), func(t *testing.T) {
					gop := int(fps*seconds + 0.5)
					var stamps []time.Duration
					for i := range gop * 40 {
						stamps = append(stamps, ms(time.Duration(float64(i)/fps*1e9)))
					}
					s := media.DefaultSettings()
					s.PartDuration = media.Span(part * time.Millisecond)
					seen := observed{gop: stamps[gop], stamps: stamps[:4*gop+1]}
					l := leader{rules: newRules(newConstants(s, seen), videoTimescale, 0)}
					segments, listed := cutAll(&l, stamps, func(i int) bool { return i%gop == 0 })
					want := len(segments[len(segments)-1])
					for i, parts := range segments[1:] { // the first has no plan yet
						if !listed[i+1] {
							t.Errorf("segment %d is listed whole", i+1)
						}
						frames, at := 0, 0
						for _, n := range parts {
							for k := range n {
								if (at+k)%gop == 0 && at%gop != 0 && k > 0 {
									t.Fatalf("segment %d %v: an IDR is sample %d of its part", i+1, parts, k)
								}
							}
							at += n
							frames += n
						}
						if frames%gop != 0 || len(parts) > want+2 {
							t.Errorf("segment %d has %d frames in parts %v", i+1, frames, parts)
						}
					}
				})
			}
		}
	}
}

func TestForcedCutsOfALongGOP(t *testing.T) {
	c := newConstants(media.DefaultSettings(), observed{gop: time.Second})
	l := leader{rules: newRules(c, videoTimescale, 0)}
	var stamps []time.Duration
	for i := range 600 {
		stamps = append(stamps, ms(time.Duration(i)*time.Second/30))
	}
	// GOPs of a second, then none for ten.
	segments, _ := cutAll(&l, stamps, func(i int) bool { return i%30 == 0 && (i < 120 || i >= 420) })
	var lengths []int
	for _, parts := range segments {
		sum := 0
		for _, n := range parts {
			sum += n
		}
		lengths = append(lengths, sum)
	}
	at := 0
	for i, n := range lengths {
		if d := time.Duration(n) * time.Second / 30; d > c.TargetDuration+overshoot {
			t.Errorf("TD-2: segment %d lasts %v", i, d)
		}
		at += n
		if at == 420 {
			return // cut where IDRs begin again
		}
	}
	t.Errorf("CMF-17: no segment begins at the IDR after the long GOP: %v", lengths)
}
