package test

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// newShieldedSites makes two sites of two edges and a shield between them and the origin.
func newShieldedSites(t *testing.T, origin *siteOrigin) (edges []*siteEdge, shield *siteEdge) {
	t.Helper()
	at := steadyAddress(t)
	launch := func(internal string, flags ...string) *siteEdge {
		e := &siteEdge{origin: origin, diskEdge: newDiskEdge(t, &diskOrigin{Server: origin.Server},
			append(flags, "--internal", internal, "--cluster-token", "secret")...)}
		t.Cleanup(e.leave)
		e.start()
		return e
	}
	shield = launch(at, "--shield")
	for range 2 {
		one, other := steadyAddress(t), steadyAddress(t)
		for _, own := range []string{one, other} {
			edges = append(edges, launch(own, "--siblings", "http://"+one+",http://"+other, "--shields", "http://"+at))
		}
	}
	awaitSite(t, edges)
	return edges, shield
}

// TestShield has viewers at two sites of two edges behind one shield: the origin is asked once for each object. The
// shield dies, hangs and comes back, and viewers do not see it.
func TestShield(t *testing.T) {
	t.Parallel()
	viewers, phase := 10, time.Second
	if full() {
		viewers, phase = 100, 10*time.Second
	}
	origin := newSiteOrigin(t)
	edges, shield := newShieldedSites(t, origin)
	span := func(what string, phase time.Duration, most int, want time.Duration) {
		t.Helper()
		origin.take()
		for _, e := range edges {
			e.worst.Store(0)
		}
		<-time.After(phase)
		var worst time.Duration
		for _, e := range edges {
			worst = max(worst, time.Duration(e.worst.Load())*time.Millisecond)
		}
		asked := origin.take()
		total, n, _ := mostOf(asked)
		figure(t, "two sites, a shield: "+what, "%d requests at the origin, at most %d for one object; worst late part %d ms",
			total, n, worst.Milliseconds())
		if wrong := askedTooOften(asked, most, len(edges)); wrong != "" || total == 0 {
			t.Errorf("%s: %d requests: %s", what, total, wrong)
		}
		if worst > leeway(want) {
			t.Errorf("%s: a viewer waited %v for a part that was there, want %v at the most", what, worst, want)
		}
	}
	readOld(t, edges, 0, siteOld/2)
	old := origin.take()
	if wrong := askedTooOften(old, 1, len(edges)); wrong != "" || len(old) == 0 {
		t.Errorf("what is over: %d objects: %s", len(old), wrong)
	}
	for _, e := range edges {
		e.watch(viewers)
	}
	span("all are well", phase, 1, time.Second)
	shielded := shield.edgeMetric("oxbow_cacheproxy_fetches_total", `for="shield"`, `from="node"`)
	if shielded == 0 {
		t.Error("nothing came by the shield")
	}
	for _, e := range edges { // where a busy machine has a shield answer late, it is taken for silent
		if n := e.edgeMetric("oxbow_cacheproxy_fetches_total", `from="node"`); n > 0 && full() || n > shielded {
			t.Errorf("%s asked the node %.0f times itself, the shield %.0f times", e.http, n, shielded)
		}
	}

	shield.diskEdge.stop(syscall.SIGKILL)
	span("it died", phase, 3, time.Second) // each site once, and what the shield had asked for
	readOld(t, edges, 0, siteOld/2)        // as long as the sites have it, it is not asked of anybody
	for uri := range origin.take() {
		if name := uri[strings.LastIndexByte(uri, '/')+1:]; strings.Count(name, ".") == 1 && !strings.Contains(name, "?") {
			t.Errorf("what the sites had was asked of the origin: %s", uri)
		}
	}
	shield.start()
	for _, e := range edges {
		eventually(t, 10*time.Second, "the shield is asked again", func() bool {
			return e.edgeMetric("oxbow_cacheproxy_peers_silent") == 0
		})
	}
	span("it came back", phase, 3, time.Second)
	if err := shield.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	span("it hangs", phase+2*time.Second, 3, 2500*time.Millisecond)
	if err := shield.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for _, e := range edges {
		e.leave()
		if n := e.failed.Load(); n > 0 {
			t.Errorf("%d of %d requests failed at %s", n, n+e.got.Load(), e.http)
		}
		if loops := e.edgeMetric("oxbow_cacheproxy_loops_total"); loops != 0 {
			t.Errorf("%.0f loops at %s", loops, e.http)
		}
	}
	if status, _, h := fetch("http://"+edges[0].http+siteBase+"/1/video/7.m4s", nil); status != http.StatusOK {
		t.Errorf("at the end: %d %v", status, h)
	}
}
