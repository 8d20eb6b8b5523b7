package main

import "testing"

func TestThePublicPortsPathsOfTheEdge(t *testing.T) {
	for path, want := range map[string]bool{
		"/acme/show/index.m3u8": true, "/t/token/acme/show/index.m3u8": true, "/acme/x": true, "/t/x": true,
		"/": false, "": false, "/acme": false, "/acme/": false, "/t": false, "/t/": false, "/v1/streams": false,
		"/watch/acme/show": false, "/assets/x.js": false, "/docs/x": false, "/internal/v1/x": false,
		"/open/1": false, "/send/x/1": false, "/idle/x/1": false, "/close/x/1": false, "/fcs/ident2": false,
	} {
		if got := edgePath(path); got != want {
			t.Errorf("%q is the edge's: %t", path, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { edgePath("/acme/show/index.m3u8") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
