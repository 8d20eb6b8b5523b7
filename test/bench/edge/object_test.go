//go:build linux

package main

import "testing"

func TestPathsTellTheirObjects(t *testing.T) {
	for class, size := range sizes {
		number, got, tick, ok := parseMedia(staticPath(class, 12))
		if !ok || tick != -1 || got != size || number != uint64(class*classOf+12) {
			t.Errorf("class %d: %d, %d bytes, tick %d, %t", class, number, got, tick, ok)
		}
	}
	for _, want := range []int{0, 1, partsPerSegment, 36_005} {
		if number, _, tick, ok := parseMedia(livePath(want)); !ok || tick != want || number != uint64(liveMSN+want) {
			t.Errorf("tick %d: %d, %d, %t", want, number, tick, ok)
		}
		if number, at, ok := parseHead(playlist(want, 42)); !ok || number != uint64(liveMSN+want) || at != 42 {
			t.Errorf("playlist of tick %d: %d, %d, %t", want, number, at, ok)
		}
	}
	for _, path := range []string{
		"", mediaBase, mediaBase + "0.m4s", mediaBase + "999999999.m4s", mediaBase + "5.1.m4s", mediaBase + "900000000.10.m4s",
		mediaBase + "1.mp4", mediaBase + "900000000.x.m4s",
	} {
		if _, _, _, ok := parseMedia(path); ok {
			t.Errorf("%q is taken for an object", path)
		}
	}
}
