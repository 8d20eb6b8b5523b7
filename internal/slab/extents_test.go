package slab

import (
	"testing"

	"pgregory.net/rapid"
)

func TestClassesWasteAnEighthAtTheMost(t *testing.T) {
	last := 0
	for pages := 1; pages < 1<<20; pages++ {
		class := classOf(pages)
		if class < pages || class-pages > pages/8 || class < last || classOf(class) != class {
			t.Fatalf("%d pages get %d", pages, class)
		}
		last = class
	}
}

func TestBinsAreInOrder(t *testing.T) {
	for pages := 1; pages < 1<<16; pages++ {
		if d := binOf(pages+1) - binOf(pages); d != 0 && d != 1 {
			t.Fatalf("bins of %d and %d pages are %d apart", pages, pages+1, d)
		}
	}
	if b := binOf(1 << 40); b >= maxBins {
		t.Fatalf("bin %d", b)
	}
}

func TestExtentsNeverOverlapAndComeTogetherAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const pages = 3000
		e := newExtents(pages)
		owner := make([]int, pages)
		type held struct{ at, n int }
		var all []held
		used := 0
		for step := 1; step < rapid.IntRange(2, 200).Draw(t, "steps"); step++ {
			if len(all) > 0 && rapid.Bool().Draw(t, "free") {
				i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
				h := all[i]
				clear(owner[h.at : h.at+h.n])
				e.give(h.at, h.n)
				used -= h.n
				all = append(all[:i], all[i+1:]...)
			} else if n := rapid.IntRange(1, 400).Draw(t, "pages"); true {
				at, ok := e.take(n)
				if !ok {
					continue
				}
				for p := at; p < at+n; p++ {
					if owner[p] != 0 {
						t.Fatalf("page %d has two owners", p)
					}
					owner[p] = step
				}
				used += n
				all = append(all, held{at, n})
			}
			if e.free != pages-used {
				t.Fatalf("%d free of %d with %d used", e.free, pages, used)
			}
		}
		for _, h := range all {
			e.give(h.at, h.n)
		}
		if at, ok := e.take(pages); !ok || at != 0 {
			t.Fatalf("after all is free, not all can be had: %+v", e)
		}
	})
}
