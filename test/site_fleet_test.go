package test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// nodeCounter stands before an ingest node and counts what edges ask of it, by URI.
type nodeCounter struct {
	*httptest.Server
	proxy *httputil.ReverseProxy

	mu     sync.Mutex
	target *url.URL // nil until the node is known
	asked  map[string]int
}

func newNodeCounter(tb testing.TB) *nodeCounter {
	c := &nodeCounter{asked: make(map[string]int)}
	c.proxy = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(c.node()) },
		FlushInterval: -1,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	c.Server = httptest.NewServer(c)
	tb.Cleanup(func() { c.CloseClientConnections(); c.Close() })
	return c
}

func (c *nodeCounter) node() *url.URL {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.target
}

func (c *nodeCounter) stand(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.target = &url.URL{Scheme: "http", Host: address}
}

// ServeHTTP counts media and the playlists that are waited for: others are looked at again and again, by their age.
func (c *nodeCounter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.node() == nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if strings.HasSuffix(r.URL.Path, ".m4s") || strings.Contains(r.URL.RawQuery, "_HLS_msn=") {
		c.mu.Lock()
		c.asked[r.URL.RequestURI()]++
		c.mu.Unlock()
	}
	c.proxy.ServeHTTP(w, r)
}

func (c *nodeCounter) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.asked
	c.asked = make(map[string]int)
	return taken
}

// directedSite is three edges that find each other by their heartbeats, with steering on, before one node.
type directedSite struct {
	*clusterShow
	counter *nodeCounter
	edges   []*member
	players []*viewing
}

func startDirectedSite(t *testing.T) *directedSite {
	t.Helper()
	counter, api := newNodeCounter(t), steadyAddress(t)
	f := startFleet(t, clusterConfig{
		nodes: 1, edges: 3,
		apiFlags:    []string{"--http", api, "--steering-url", "http://" + api, "--steering-ttl", "2s"},
		ingestFlags: []string{"--advertise", counter.URL},
		edgeFlags: func(_, http string) []string {
			internal := steadyAddress(t)
			return []string{
				"--internal", internal, "--advertise", "http://" + internal, "--site", "home", "--public-url", "http://" + http,
				"--drain-timeout", "3s",
			}
		},
	})
	f.api.http = api
	counter.stand(f.member("a1").internal.address)
	d := &directedSite{
		clusterShow: &clusterShow{f: f, stream: "/site/live", key: f.api.createStream("site", "live", faultSettings(nil))},
		counter:     counter, edges: []*member{f.member("edge1"), f.member("edge2"), f.member("edge3")},
	}
	d.know(2, d.edges...)
	for i, e := range d.edges { // who loses their edge goes to another
		d.viewers = append(d.viewers, startWitness(t, "viewer of "+e.name, d.stream, "http://"+e.http,
			"http://"+d.edges[(i+2)%3].http))
	}
	return d
}

// know waits until edges know of so many siblings.
func (d *directedSite) know(siblings float64, edges ...*member) {
	d.f.tb.Helper()
	for _, e := range edges {
		eventually(d.f.tb, 10*time.Second, fmt.Sprintf("%s knows of %.0f siblings", e.name, siblings), func() bool {
			return e.metric("oxbow_cacheproxy_peers") == siblings && e.metric("oxbow_cacheproxy_peers_silent") == 0
		})
	}
}

// span watches the show for a while, and holds how often the node was asked for one thing, and what all viewers saw but
// the one whose edge went.
func (d *directedSite) span(what string, length time.Duration, most int, spoilt *witness) {
	tb := d.f.tb
	tb.Helper()
	all := d.viewers
	d.viewers = slices.DeleteFunc(slices.Clone(all), func(w *witness) bool { return w == spoilt })
	o := d.ordeal(d.players)
	o.last(length)
	x := o.over()
	d.viewers = all
	total, n, uri := mostOf(d.counter.take())
	figure(tb, "site by the directory: "+what, "%d requests at the node, at most %d for one object; %v", total, n, x)
	x.within(tb, faultPart+2*faultSlack)
	if n > most || total == 0 || x.errors > 0 {
		tb.Errorf("%s: %d requests at the node, %d for %s, want %d at the most; %d requests of viewers failed",
			what, total, n, uri, most, x.errors)
	}
}

// watchWithPlayers has hls.js and ffmpeg at the first edge, where steering keeps them.
func (d *directedSite) watchWithPlayers() {
	d.f.tb.Helper()
	pin := map[string]any{"choices": []map[string]any{{"edge": "edge1"}}, "reason": "test"}
	if status := d.f.api.api(http.MethodPut, "/v1/steering/rules", pin, nil); status >= 300 {
		d.f.tb.Fatalf("steering rule: %d", status)
	}
	d.players = d.faultPlayers()
}

// TestSiteByTheDirectory has viewers at three edges that find each other by their heartbeats. One is killed with -9 and
// comes back, another drains by an order of the API (in the full run): viewers at the others see next to nothing of it,
// and the node is asked once for each object. Purged and deleted, nothing old comes back.
func TestSiteByTheDirectory(t *testing.T) {
	onlyFull(t)
	d := startDirectedSite(t)
	d.begin(time.Second, "a1")
	phase := time.Second
	if full() {
		phase = 15 * time.Second
		d.watchWithPlayers()
	}
	d.counter.take()
	d.span("all are well", phase, 1, nil)

	d.edges[1].kill()
	d.span("edge2 killed", phase, 2, d.viewers[1])
	d.edges[1].start()
	d.know(2, d.edges...)
	d.span("edge2 back", phase, 2, nil)

	if full() {
		if status := d.f.api.api(http.MethodPost, "/v1/nodes/edge3/drain", nil, nil); status != http.StatusAccepted {
			t.Fatalf("drain: %d", status)
		}
		d.know(1, d.edges[:2]...)
		d.span("edge3 drains", phase, 2, d.viewers[2])
		d.edges[2].kill() // who manages services starts it again
		d.edges[2].start()
		d.know(2, d.edges...)
		d.span("edge3 back", phase, 2, nil)
	}
	for _, e := range d.edges {
		if loops := e.metric("oxbow_cacheproxy_loops_total"); loops > 0 {
			t.Errorf("%s: %.0f loops", e.name, loops)
		}
	}
	for _, p := range d.players {
		p.stop()
	}
	v := d.finish()
	v.oneRecording(t)
	fresh := d.f.member("fresh edge of " + d.stream) // it is the site's too
	goneFromSite(t, d.f, append(d.edges, fresh), v.recordings[0])
}

// goneFromSite purges an archived recording that every edge of a site has, and then deletes it.
func goneFromSite(t *testing.T, f *fleet, edges []*member, id string) {
	t.Helper()
	paths := []string{"/site/live/" + id + "/index.m3u8"}
	paths = append(paths, variants(paths[0], string(probe("http://"+edges[0].http+paths[0]).body))...)
	for n := 1; n <= 4; n++ {
		paths = append(paths, fmt.Sprintf("/site/live/%s/1/video/%d.m4s", id, n))
	}
	load := func(want int) {
		t.Helper()
		var all sync.WaitGroup
		for _, e := range edges {
			all.Go(func() {
				for _, path := range paths {
					if p := probe("http://" + e.http + path); p.status != want {
						t.Errorf("%s: %s: %d, want %d", e.name, path, p.status, want)
					}
				}
			})
		}
		all.Wait()
	}
	read := func() (bytes float64) {
		for _, e := range edges {
			bytes += e.metric("oxbow_blocks_upstream_bytes_total")
		}
		return bytes
	}
	load(http.StatusOK)
	before := read()
	load(http.StatusOK)
	if again := read() - before; again > 0 {
		t.Errorf("%.0f bytes were read again", again)
	}
	if status := f.api.api(http.MethodPost, "/v1/recordings/"+id+"/purge", nil, nil); status != http.StatusAccepted {
		t.Fatalf("purge: %d", status)
	}
	for _, e := range edges {
		eventually(t, 10*time.Second, e.name+" has purged twice", func() bool {
			return e.metric("oxbow_cacheproxy_purges_total") == 2
		})
	}
	before = read()
	load(http.StatusOK)
	if again := read() - before; again == 0 {
		t.Error("what was purged is not read again")
	}
	began := time.Now()
	if status := f.api.api(http.MethodDelete, "/v1/recordings/"+id, nil, nil); status >= 300 {
		t.Fatalf("delete: %d", status)
	}
	for _, e := range edges {
		eventually(t, goneWithin, e.name+" answers 410", func() bool {
			return probe("http://"+e.http+paths[0]).status == http.StatusGone
		})
	}
	figure(t, "site by the directory: deleted", "410 at every edge after %d ms", time.Since(began).Milliseconds())
	load(http.StatusGone)
}
