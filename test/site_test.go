package test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	sitePartTime = 200 * time.Millisecond
	siteParts    = 5 // of a segment
	siteBase     = "/acme/show/" + diskRecording
	siteList     = siteBase + "/live/video.m3u8"
	// siteOld is how many segments there are at the beginning.
	siteOld = 60
)

// siteOrigin is a directory and an ingest node with one live show, which counts what is asked of it by URI.
type siteOrigin struct {
	*httptest.Server
	body []byte

	mu    sync.Mutex
	parts int // that there are, from the first one of segment 1 on
	made  []time.Time
	wake  chan struct{}
	asked map[string]int
}

func newSiteOrigin(tb testing.TB) *siteOrigin {
	o := &siteOrigin{
		body: make([]byte, 60<<10), parts: siteOld * siteParts, wake: make(chan struct{}), asked: make(map[string]int),
	}
	o.made = make([]time.Time, o.parts)
	ctx, cancel := context.WithCancel(tb.Context())
	o.Server = httptest.NewServer(o)
	tb.Cleanup(func() { cancel(); o.CloseClientConnections(); o.Close() })
	go o.run(ctx)
	return o
}

func (o *siteOrigin) run(ctx context.Context) {
	tick := time.NewTicker(sitePartTime)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		o.mu.Lock()
		o.parts++
		o.made = append(o.made, time.Now())
		close(o.wake)
		o.wake = make(chan struct{})
		o.mu.Unlock()
	}
}

// now gives how many parts there are, and when the last one came.
func (o *siteOrigin) now() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.parts
}

func (o *siteOrigin) madeAt(n int) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.made[n]
}

// await holds a request until there is the nth part, counted from 0.
func (o *siteOrigin) await(ctx context.Context, n int) bool {
	for {
		o.mu.Lock()
		there, wake := o.parts > n, o.wake
		o.mu.Unlock()
		if there {
			return true
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return false
		}
	}
}

func (o *siteOrigin) text() string {
	segments, rest := o.now()/siteParts, o.now()%siteParts
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:1\n")
	for n := 1; n <= segments; n++ {
		fmt.Fprintf(&b, "#EXTINF:1.00000,\n../1/video/%d.m4s\n", n)
	}
	for n := range rest {
		fmt.Fprintf(&b, "#EXT-X-PART:DURATION=0.2,URI=\"../1/video/%d.%d.m4s\"\n", segments+1, n)
	}
	return b.String()
}

func (o *siteOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/internal/v1/locate/"):
		_ = json.NewEncoder(w).Encode(media.Location{
			Publisher: "acme", Stream: "show", Recording: diskRecording, State: media.Live, Nodes: []string{o.URL},
		})
		return
	case r.URL.Path == "/internal/v1/playback":
		nobody := map[string]media.PublisherPlaybackPolicy{}
		_ = json.NewEncoder(w).Encode(media.PlaybackPolicies{Version: 1, Publishers: nobody})
		return
	case !strings.HasPrefix(r.URL.Path, siteBase):
		http.NotFound(w, r)
		return
	}
	o.mu.Lock()
	o.asked[r.URL.RequestURI()]++
	o.mu.Unlock()
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	var msn, part int
	if strings.HasSuffix(r.URL.Path, ".m3u8") {
		q := r.URL.Query()
		msn, _ = strconv.Atoi(q.Get("_HLS_msn"))
		part, _ = strconv.Atoi(q.Get("_HLS_part"))
		w.Header().Set("Cache-Control", "public, max-age=1")
		if msn > 0 {
			w.Header().Set("Cache-Control", "public, max-age=6")
			o.await(ctx, (msn-1)*siteParts+part)
		}
		_, _ = io.WriteString(w, o.text())
		return
	}
	if _, err := fmt.Sscanf(path.Base(r.URL.Path), "%d.%d.m4s", &msn, &part); err == nil {
		o.await(ctx, (msn-1)*siteParts+part)
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Etag", `"1"`)
	w.Header().Set("Content-Length", strconv.Itoa(len(o.body)))
	_, _ = w.Write(o.body)
}

// take gives what was asked of it since the last time.
func (o *siteOrigin) take() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	taken := o.asked
	o.asked = make(map[string]int)
	return taken
}

// askedTooOften says what is wrong where a site was to ask the origin for each object so often at the most. In make test
// some may be asked for by each edge, since a sibling that a busy machine has answer late is taken for silent; edges
// that do not know of each other ask so for all.
func askedTooOften(asked map[string]int, most, edges int) string {
	total, n, uri := mostOf(asked)
	limit := most
	if !full() {
		limit = max(most, edges+1)
	}
	switch few := 5 + len(asked)*(2*most+1)/2; {
	case n > limit:
		return fmt.Sprintf("the origin was asked %d times for %s, want %d at the most", n, uri, limit)
	case total > few:
		return fmt.Sprintf("the origin was asked %d times for %d objects, want %d at the most", total, len(asked), few)
	}
	return ""
}

func mostOf(asked map[string]int) (total, most int, uri string) {
	for of, n := range asked {
		if total += n; n > most {
			most, uri = n, of
		}
	}
	return total, most, uri
}

// siteEdge is one of the site's edges, with viewers that follow the show at it.
type siteEdge struct {
	*diskEdge
	origin *siteOrigin
	stop   context.CancelFunc
	crowd  sync.WaitGroup

	failed, got atomic.Int64
	worst       atomic.Int64 // ms from a part's making to its last byte
}

// watch has viewers wait for each part by a blocking reload and by its hint.
func (e *siteEdge) watch(viewers int) {
	ctx, stop := context.WithCancel(e.tb.Context())
	e.stop = stop
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * viewers}}
	get := func(uri string) error {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.http+uri, nil)
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err = io.Copy(io.Discard, resp.Body); err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		return err
	}
	first := e.origin.now() + 1
	for range viewers {
		e.crowd.Go(func() {
			for n := first; ctx.Err() == nil; n++ {
				msn, part := n/siteParts+1, n%siteParts
				var both sync.WaitGroup
				for _, uri := range []string{
					fmt.Sprintf("%s?_HLS_msn=%d&_HLS_part=%d", siteList, msn, part),
					fmt.Sprintf("%s/1/video/%d.%d.m4s", siteBase, msn, part),
				} {
					both.Go(func() {
						switch err := get(uri); {
						case ctx.Err() != nil:
						case err != nil:
							e.failed.Add(1)
							e.tb.Logf("%s: %v", uri, err)
						default:
							e.got.Add(1)
							late := time.Since(e.origin.madeAt(n)).Milliseconds()
							for was := e.worst.Load(); late > was && !e.worst.CompareAndSwap(was, late); was = e.worst.Load() {
							}
						}
					})
				}
				both.Wait()
			}
		})
	}
}

// leave ends the viewers.
func (e *siteEdge) leave() {
	if e.stop != nil {
		e.stop()
		e.crowd.Wait()
		e.stop = nil
	}
}

// edgeMetric gives the sum of a metric's series that have all of these texts.
func (e *siteEdge) edgeMetric(name string, labels ...string) (sum float64) {
	_, text, _ := fetch("http://"+e.admin+"/metrics", nil)
lines:
	for line := range strings.Lines(string(text)) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if of, _, _ := strings.Cut(series, "{"); !ok || of != name {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(series, label) {
				continue lines
			}
		}
		v, _ := strconv.ParseFloat(value, 64)
		sum += v
	}
	return sum
}

// newSiteEdges makes edges that ask each other, and starts them.
func newSiteEdges(t *testing.T, origin *siteOrigin, many int) []*siteEdge {
	edges := newSiteEdgesOf(t, &diskOrigin{Server: origin.Server}, many)
	for _, e := range edges {
		e.origin = origin
		e.start()
	}
	awaitSite(t, edges)
	return edges
}

// newSiteEdgesOf makes edges that ask each other, and does not start them.
func newSiteEdgesOf(t *testing.T, origin *diskOrigin, many int, extra ...string) []*siteEdge {
	var urls []string
	addresses := make([]string, many)
	for i := range addresses {
		addresses[i] = steadyAddress(t)
		urls = append(urls, "http://"+addresses[i])
	}
	edges := make([]*siteEdge, many)
	for i := range edges {
		flags := []string{"--internal", addresses[i], "--siblings", strings.Join(urls, ","), "--cluster-token", "secret"}
		edges[i] = &siteEdge{diskEdge: newDiskEdge(t, origin, append(flags, extra...)...)}
		t.Cleanup(edges[i].leave)
	}
	return edges
}

// awaitSite waits until each edge knows that the others are up.
func awaitSite(t *testing.T, edges []*siteEdge) {
	t.Helper()
	for _, e := range edges {
		eventually(t, 10*time.Second, "each edge knows that the others are up", func() bool {
			return e.edgeMetric("oxbow_cacheproxy_peers_silent") == 0
		})
	}
}

// readOld reads a part of the show that is over, at all edges at once.
func readOld(t *testing.T, edges []*siteEdge, from, to int) {
	t.Helper()
	var all sync.WaitGroup
	for _, e := range edges {
		all.Go(func() {
			each(to-from, func(i int) {
				uri := "http://" + e.http + siteBase + "/1/video/" + strconv.Itoa(from+i) + ".m4s"
				if status, body, _ := fetch(uri, nil); status != http.StatusOK || len(body) != len(e.origin.body) {
					t.Errorf("%s: %d, %d bytes", uri, status, len(body))
				}
			})
		})
	}
	all.Wait()
}

// TestSite: three edges of a site, with viewers at each, ask the origin once for each object. One dies,
// hangs and comes back.
func TestSite(t *testing.T) {
	t.Parallel()
	site(t, 10, time.Second)
}

// TestSiteOf900Viewers is the same with 300 viewers at each edge.
func TestSiteOf900Viewers(t *testing.T) {
	onlyFull(t)
	site(t, 300, 15*time.Second)
}

func site(t *testing.T, viewers int, phase time.Duration) {
	origin := newSiteOrigin(t)
	edges := newSiteEdges(t, origin, 3)
	once := func(what string, asked map[string]int, most int) {
		t.Helper()
		total, n, _ := mostOf(asked)
		t.Logf("%s: %d requests at the origin for %d objects, at most %d for one", what, total, len(asked), n)
		if wrong := askedTooOften(asked, most, len(edges)); wrong != "" {
			t.Errorf("%s: %s", what, wrong)
		}
	}
	span := func(what string, phase time.Duration, most int, want time.Duration) {
		t.Helper()
		for _, e := range edges {
			e.worst.Store(0)
		}
		<-time.After(phase)
		for _, e := range edges {
			if late := time.Duration(e.worst.Load()) * time.Millisecond; late > leeway(want) {
				t.Errorf("%s: a viewer waited %s for a part that was there, want %s at the most", what, late, want)
			} else if e.stop != nil {
				t.Logf("%s: worst late part %s at %s", what, late, e.http)
			}
		}
		once(what, origin.take(), most)
	}
	readOld(t, edges, 0, siteOld/2)
	once("what is over", origin.take(), 1)
	for _, e := range edges {
		e.watch(viewers)
	}
	span("all are well", phase, 1, time.Second)

	dead := edges[1]
	dead.leave()
	origin.take()
	dead.diskEdge.stop(syscall.SIGKILL)
	span("one died", phase, 2, time.Second) // what it had asked for, and again
	readOld(t, []*siteEdge{edges[0], edges[2]}, 0, siteOld/2)
	for uri := range origin.take() {
		if u, err := url.Parse(uri); err == nil && strings.Count(path.Base(u.Path), ".") == 1 && u.RawQuery == "" {
			t.Errorf("what both others had was asked of the origin: %s", uri)
		}
	}

	dead.start()
	dead.watch(viewers)
	readOld(t, edges, 0, siteOld/2)
	again := 0
	for uri := range origin.take() {
		if strings.Count(path.Base(uri), ".") == 1 && strings.HasSuffix(uri, ".m4s") {
			t.Logf("the edge that came back asked the origin for %s, which its site had", uri)
			again++
		}
	}
	if again > 0 && full() || again > siteOld/4 {
		t.Errorf("the edge that came back asked the origin for %d objects that its site had", again)
	}
	readOld(t, edges, siteOld/2, siteOld)
	span("it came back", phase, 2, time.Second) // as long as one edge knows and another does not

	frozen := edges[2]
	frozen.leave()
	if err := frozen.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	span("one hangs", phase+2*time.Second, 3, 2500*time.Millisecond)
	if err := frozen.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	reportSite(t, edges)
	for _, e := range edges {
		e.leave()
		if n := e.failed.Load(); n > 0 {
			t.Errorf("%d of %d requests failed at %s", n, n+e.got.Load(), e.http)
		}
	}
}

// reportSite logs what the edges' metrics say of the site as a whole.
func reportSite(t *testing.T, edges []*siteEdge) {
	var asked, beyond, near float64
	for _, e := range edges {
		asked += e.edgeMetric("oxbow_cacheproxy_requests_total")
		beyond += e.edgeMetric("oxbow_cacheproxy_fetches_total", `from="node"`)
		near += e.edgeMetric("oxbow_cacheproxy_fetches_total", `from="sibling"`)
		sum, count := e.edgeMetric("oxbow_cacheproxy_hops_sum"), e.edgeMetric("oxbow_cacheproxy_hops_count")
		t.Logf("%s: %.0f objects fetched, %.2f hops on average", e.http, count, sum/max(1, count))
		if loops := e.edgeMetric("oxbow_cacheproxy_loops_total"); loops != 0 {
			t.Errorf("%.0f loops at %s", loops, e.http)
		}
	}
	t.Logf("the site: %.0f requests of viewers, %.0f fetches of siblings, %.0f of the node: hit ratio %.4f",
		asked, near, beyond, 1-beyond/max(1, asked))
	if near == 0 || beyond == 0 {
		t.Error("siblings were not asked, or the node was not")
	}
}
