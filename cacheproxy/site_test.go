package cacheproxy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// siteWorld is edges that ask each other over an in-memory network, with one directory and one node behind them. The
// edge "e1" is reached by others at the host of that name.
type siteWorld struct {
	net       *memoryNet
	directory *directory
	origin    *node
	edges     map[string]*world
}

const siteToken = "cluster-secret"

func newSite(t testing.TB, ids ...string) *siteWorld {
	t.Helper()
	s := &siteWorld{origin: &node{}, directory: newDirectory("http://a"), edges: make(map[string]*world)}
	s.net = &memoryNet{hosts: map[string]http.Handler{"dir": s.directory, "a": s.origin}}
	s.origin.set(func(w http.ResponseWriter, r *http.Request) {
		fixed(string(bodyOf(r.URL.Path, 3000)), immutable, "Etag", `"1"`)(w, r)
	})
	for _, id := range ids {
		s.start(t, id)
	}
	for _, id := range ids {
		s.edges[id].SetPeers(peersOf(id, ids...))
	}
	return s
}

// peersOf gives the siblings of an edge.
func peersOf(self string, ids ...string) (of media.EdgePeers) {
	for _, id := range ids {
		if id != self {
			of.Siblings = append(of.Siblings, media.EdgePeer{ID: id, URL: "http://" + id})
		}
	}
	return of
}

// start starts an edge that knows no others, or starts it anew with nothing cached.
func (s *siteWorld) start(t testing.TB, id string) *world {
	t.Helper()
	w := &world{net: s.net, directory: s.directory, a: s.origin}
	w.Proxy = New(Config{
		Directories: []string{"http://dir"}, Tokens: admission.MustFixed(t, siteToken), Transport: s.net, ID: id, Asked: true,
	}, map[string]http.Handler{"": http.NotFoundHandler()}, slog.New(slog.DiscardHandler), prometheus.NewPedanticRegistry())
	w.flights.arena = slab.NewStrict()
	w.setPolicies(media.PlaybackPolicies{Version: 1})
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	s.edges[id] = w
	s.net.set(id, w.Peers())
	return w
}

// whose gives the edges' order for a path, best first.
func whose(path string, ids ...string) []string {
	hash := hashOf(shareOf(path))
	var list []*peer
	for _, id := range ids {
		list = append(list, &peer{id: id, seed: hashOf(id)})
	}
	best(list, hash)
	return peerIDs(list)
}

// segmentOf gives a path whose order among the edges is that.
func segmentOf(t testing.TB, order ...string) string {
	t.Helper()
	for n := 1; n < 10_000; n += 1 << groupBits {
		path := fmt.Sprintf("%s/1/video/%d.m4s", recBase, n)
		if fmt.Sprint(whose(path, order...)) == fmt.Sprint(order) {
			return path
		}
	}
	t.Fatalf("no path of the order %v", order)
	return ""
}

func (s *siteWorld) get(t testing.TB, id, uri string) *httptest.ResponseRecorder {
	t.Helper()
	rec := s.edges[id].get(t, uri, "Accept-Encoding", "gzip")
	wantStatus(t, rec, http.StatusOK)
	return rec
}

func TestSiteFetchesEachObjectOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := []string{"e1", "e2", "e3"}
		s := newSite(t, ids...)
		time.Sleep(changeTime) // nobody is new any more
		var uris []string
		for n := 1; n <= 120; n += 3 {
			uris = append(uris, fmt.Sprintf("%s/1/video/%d.m4s", recBase, n), fmt.Sprintf("%s/1/audio/%d.0.m4s", recBase, n))
		}
		uris = append(uris, recBase+"/1/video/init.mp4", recBase+"/thumbnail.jpg", recBase+"/index.m3u8",
			recBase+"/1/subtitles/3.vtt", streamBase+"/index.m3u8")
		share := make(map[string]int)
		var wg sync.WaitGroup
		for _, uri := range uris {
			share[whose(uri, ids...)[0]]++
			for _, id := range ids {
				for range 3 {
					wg.Go(func() {
						rec := s.get(t, id, uri)
						if got := rec.Body.String(); got != string(bodyOf(strings.Split(uri, "?")[0], 3000)) {
							t.Errorf("%s at %s: another body", uri, id)
						}
					})
				}
			}
		}
		wg.Wait()
		for _, uri := range uris {
			if n := s.origin.of(uri); n != 1 {
				t.Errorf("%s: %d requests at the origin, want 1", uri, n)
			}
		}
		for _, id := range ids {
			if share[id] < len(uris)/6 {
				t.Errorf("%s has %d of %d objects", id, share[id], len(uris))
			}
			m := &s.edges[id].metrics.peers
			nodes, siblings := testutil.ToFloat64(m.fetches[asViewer][fromNode])+testutil.ToFloat64(m.fetches[asSibling][fromNode]),
				testutil.ToFloat64(m.fetches[asViewer][fromSibling])
			if int(nodes) != share[id] || int(siblings) != len(uris)-share[id] {
				t.Errorf("%s: %v fetches of the node and %v of siblings, want %d and %d",
					id, nodes, siblings, share[id], len(uris)-share[id])
			}
		}
	})
}

func TestCacheStatusShowsTheChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "e1", "e2")
		time.Sleep(changeTime)
		path := segmentOf(t, "e2", "e1")
		rec := s.get(t, "e1", path)
		wantCacheStatus(t, rec, `oxbow; fwd=miss; stored; edge="e2", oxbow; fwd=miss; stored; edge="e1"`)
		if told := rec.Header()[toldField]; told != nil {
			t.Errorf("viewers are told %q", told)
		}
		wantCacheStatus(t, s.get(t, "e1", path), `oxbow; fwd=miss; stored; edge="e2", oxbow; hit; edge="e1"`)
		wantCacheStatus(t, s.get(t, "e2", path), `oxbow; hit; edge="e2"`)
	})
}

// A sibling in trouble costs viewers little, and none of its trouble reaches them.
func TestSiblingInTroubleIsRoutedAround(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	playlist := recBase + "/live/video.m3u8"
	for name, row := range map[string]struct {
		sibling http.HandlerFunc // nil refuses connections
		most    time.Duration    // the first viewer's wait
	}{
		"dead":           {nil, 0},
		"hangs":          {hang, 1250 * time.Millisecond},
		"500":            {failing(http.StatusInternalServerError), 0},
		"not an edge":    {fixed("hello", immutable), 0},
		"redirects":      {failing(http.StatusFound, "Location", "/", toldField, "age=0;hops=0"), 0},
		"wrong token":    {failing(http.StatusUnauthorized, toldField, "error=denied"), 0},
		"busy":           {failing(http.StatusServiceUnavailable, toldField, "error=busy"), 0},
		"got nothing":    {failing(http.StatusBadGateway, toldField, "error=upstream"), 0},
		"sees a loop":    {failing(http.StatusLoopDetected, toldField, "error=loop"), 0},
		"lies of length": {fixed("short", immutable, toldField, "age=0;hops=0", "Content-Length", "99"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, "e1", "e2", "e3")
				time.Sleep(changeTime)
				if row.sibling == nil {
					s.net.set("e2", nil)
				} else {
					s.net.set("e2", row.sibling)
				}
				path := segmentOf(t, "e2", "e3", "e1")
				begun := time.Now()
				s.get(t, "e1", path)
				if took := time.Since(begun); took > row.most {
					t.Errorf("took %s, want %s at the most", took, row.most)
				}
				if n := s.origin.of(path); n != 1 {
					t.Errorf("the origin was asked %d times", n)
				}
				s.get(t, "e1", playlist)
			})
		})
	}
}

func TestHangingSiblingIsLeftWhileItHoldsAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := []string{"e1", "e2", "e3"}
		s := newSite(t, ids...)
		time.Sleep(changeTime)
		show := newShow(7, 0)
		s.origin.set(show.ServeHTTP)
		owner := whose(livePath, ids...)[0]
		s.net.set(owner, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		uri := livePath + "?_HLS_msn=8&_HLS_part=0"
		done := make(chan time.Duration, 2)
		begun := time.Now()
		for _, id := range ids {
			if id == owner {
				continue
			}
			go func() {
				s.get(t, id, uri)
				done <- time.Since(begun)
			}()
		}
		time.Sleep(2500 * time.Millisecond)
		show.advance()
		for range 2 {
			if took := <-done; took > 2600*time.Millisecond {
				t.Errorf("a viewer waited %s for what came after 2.5 s", took)
			}
		}
		if n := show.of(uri); n != 1 {
			t.Errorf("the origin held %d requests for the rest of the site, want 1", n)
		}
	})
}

// One request for each new version and part is held at the origin, wherever its viewers are.
func TestReloadsOfASiteAreOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := []string{"e1", "e2", "e3"}
		s := newSite(t, ids...)
		show := newShow(7, 0)
		s.origin.set(show.ServeHTTP)
		for msn, part := 8, 0; msn < 12; {
			uris := []string{
				fmt.Sprintf("%s?_HLS_msn=%d&_HLS_part=%d", livePath, msn, part),
				fmt.Sprintf("%s/1/video/%d.%d.m4s", recBase, msn, part),
			}
			var wg sync.WaitGroup
			for _, id := range ids {
				for _, uri := range uris {
					for range 4 {
						wg.Go(func() { s.get(t, id, uri) })
					}
				}
			}
			synctest.Wait()
			show.advance()
			wg.Wait()
			for _, uri := range uris {
				if n := show.of(uri); n != 1 {
					t.Errorf("%s: %d requests at the origin, want 1", uri, n)
				}
			}
			if part++; part == partsPerSegment {
				msn, part = msn+1, 0
			}
			time.Sleep(500 * time.Millisecond)
		}
	})
}

func TestSiblingThatDiesWhileItHoldsAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := []string{"e1", "e2", "e3"}
		s := newSite(t, ids...)
		show := newShow(7, 0)
		s.origin.set(show.ServeHTTP)
		time.Sleep(changeTime)
		order := whose(livePath, ids...)
		uri := livePath + "?_HLS_msn=8&_HLS_part=0"
		var wg sync.WaitGroup
		for _, id := range order[1:] {
			for range 5 {
				wg.Go(func() { s.get(t, id, uri) })
			}
		}
		time.Sleep(100 * time.Millisecond)
		s.net.kill(order[0])
		for _, f := range s.edges[order[0]].flights.all() {
			f.cancel(io.ErrUnexpectedEOF)
		}
		time.Sleep(100 * time.Millisecond)
		if n := show.of(uri); n > 2 {
			t.Errorf("the origin got %d requests: one before the death and one after it are enough", n)
		}
		show.advance()
		wg.Wait()
	})
}

// Who comes back, with nothing cached, asks the origin for nothing that its site has.
func TestSiblingThatComesBackMakesNoStampede(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := []string{"e1", "e2", "e3"}
		s := newSite(t, ids...)
		time.Sleep(changeTime)
		var uris []string
		for n := 1; n < 200; n += 2 {
			uris = append(uris, fmt.Sprintf("%s/1/video/%d.m4s", recBase, n))
		}
		viewers := func(at ...string) {
			var wg sync.WaitGroup
			for _, uri := range uris {
				for _, id := range at {
					wg.Go(func() { s.get(t, id, uri) })
				}
			}
			wg.Wait()
		}
		viewers(ids...)
		first := s.origin.total()
		s.net.set("e2", nil)
		time.Sleep(2 * time.Second)
		viewers("e1", "e3") // it is in their memories
		if n := s.origin.total(); n != first || first != len(uris) {
			t.Fatalf("%d requests at the origin before the death, %d after it, want %d", first, n, len(uris))
		}
		s.start(t, "e2").SetPeers(peersOf("e2", ids...))
		time.Sleep(2 * time.Second)
		viewers(ids...)
		if n := s.origin.total(); n != first {
			t.Errorf("%d more requests at the origin", n-first)
		}
		// What nobody has is fetched once, and whose it is keeps it.
		uris = nil
		for n := 1001; n < 1100; n += 2 {
			uris = append(uris, fmt.Sprintf("%s/1/video/%d.m4s", recBase, n))
		}
		viewers(ids...)
		if n := s.origin.total() - first; n != len(uris) {
			t.Errorf("%d requests at the origin for %d new objects", n, len(uris))
		}
	})
}

func TestShieldStandsBetweenSitesAndOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := []string{"a1", "a2", "b1", "b2", "s1", "s2"}
		s := newSite(t, ids...)
		shields := peersOf("", "s1", "s2").Siblings
		for _, pair := range [][]string{{"a1", "a2"}, {"b1", "b2"}, {"s1", "s2"}} {
			for _, id := range pair {
				of := peersOf(id, pair...)
				if pair[0] != "s1" {
					of.Shields = shields
				}
				s.edges[id].SetPeers(of)
			}
		}
		time.Sleep(changeTime)
		hops := 0
		for n := 1; n < 13<<groupBits; n += 1 << groupBits {
			path := fmt.Sprintf("%s/1/video/%d.m4s", recBase, n)
			var wg sync.WaitGroup
			for _, id := range ids[:4] {
				wg.Go(func() {
					rec := s.get(t, id, path)
					_ = rec
				})
			}
			wg.Wait()
			hops = max(hops, strings.Count(s.get(t, "a1", path).Header().Get("Cache-Status"), "edge="))
			if n := s.origin.of(path); n != 1 {
				t.Errorf("%s: %d requests at the origin, want 1", path, n)
			}
		}
		if hops < 3 || hops > maxHops+1 {
			t.Errorf("%d edges on the longest way", hops)
		}
		// Without shields the nodes are asked.
		s.net.set("s1", nil)
		s.net.set("s2", nil)
		s.get(t, "a1", recBase+"/1/video/777.m4s")
	})
}

func TestEdgesThatDisagreeDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "e1", "e2")
		path := segmentOf(t, "e2", "e1")
		// e2 takes e1 for another, to which the object belongs.
		for n := 0; ; n++ {
			id := fmt.Sprintf("x%d", n)
			if whose(path, id, "e2")[0] == id {
				s.edges["e2"].SetPeers(media.EdgePeers{Siblings: []media.EdgePeer{{ID: id, URL: "http://e1"}}})
				break
			}
		}
		var wg sync.WaitGroup
		begun := time.Now()
		for range 10 {
			for _, id := range []string{"e1", "e2"} {
				wg.Go(func() { s.get(t, id, path) })
			}
		}
		wg.Wait()
		if took := time.Since(begun); took > 0 {
			t.Errorf("took %s", took)
		}
		if n := s.origin.of(path); n > 2 {
			t.Errorf("%d requests at the origin", n)
		}
	})
}

// An edge whose own port is named as a sibling's, under another name, refuses itself.
func TestLoopsAreRefusedAndCountedAndNoViewerSeesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "e1")
		e := s.edges["e1"]
		e.SetPeers(media.EdgePeers{
			Siblings: []media.EdgePeer{{ID: "e2", URL: "http://e1"}}, Shields: []media.EdgePeer{{ID: "s1", URL: "http://e1"}},
		})
		for n := 1; n < 80; n += 8 {
			s.get(t, "e1", fmt.Sprintf("%s/1/video/%d.m4s", recBase, n))
		}
		if n := testutil.ToFloat64(e.metrics.peers.loops); n == 0 {
			t.Error("no loop was counted")
		}
		rec := e.get(t, segPath, chainField, `other, oxbow;edge="e1";as=sibling`)
		wantStatus(t, rec, http.StatusLoopDetected)
	})
}

func TestRefusalsOfSiblingsStand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "e1", "e2")
		time.Sleep(changeTime)
		path := segmentOf(t, "e2", "e1")
		for _, status := range []int{http.StatusNotFound, http.StatusBadRequest} {
			s.origin.set(failing(status))
			wantStatus(t, s.edges["e1"].get(t, path), status)
			time.Sleep(2 * time.Second)
		}
		n := s.origin.of(path)
		if n != 2 {
			t.Errorf("%d requests at the origin", n)
		}
		s.origin.set(failing(http.StatusBadGateway))
		wantStatus(t, s.edges["e1"].get(t, path), http.StatusBadGateway)
	})
}

func TestDeletedIsDeletedAtEverySibling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "e1", "e2")
		time.Sleep(changeTime)
		kept, other := segmentOf(t, "e2", "e1"), segmentOf(t, "e1", "e2")
		s.get(t, "e1", kept)
		s.edges["e2"].apply(media.Event{Type: media.EventDeleted, Publisher: "acme", Stream: "show", Recording: testRec})
		wantStatus(t, s.edges["e2"].get(t, kept), http.StatusGone)
		// e1 has not heard of it yet, and asks who has.
		unseen := strings.TrimSuffix(kept, ".m4s") + ".0.m4s"
		wantStatus(t, s.edges["e1"].get(t, unseen), http.StatusGone)
		s.edges["e1"].apply(media.Event{Type: media.EventDeleted, Publisher: "acme", Stream: "show", Recording: testRec})
		for _, path := range []string{kept, other} {
			wantStatus(t, s.edges["e1"].get(t, path), http.StatusGone)
		}
	})
}

func TestSiblingServesWhileTheDirectoryIsAwayFromOneEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "e1", "e2")
		time.Sleep(changeTime)
		path := segmentOf(t, "e2", "e1")
		s.get(t, "e2", path)
		s.directory.change(func(d *directory) { d.status = http.StatusServiceUnavailable })
		time.Sleep(time.Minute)
		s.get(t, "e1", path)
	})
}

// The age of what siblings give counts from the origin, to the millisecond: at no edge is it used for longer.
func TestPlaylistIsNoOlderForASibling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := []string{"e1", "e2"}
		s := newSite(t, ids...)
		s.origin.set(fixed("#EXTM3U\n", "public, max-age=1"))
		time.Sleep(changeTime)
		order := whose(livePath, ids...)
		s.get(t, order[0], livePath)
		time.Sleep(900 * time.Millisecond)
		s.get(t, order[1], livePath)
		time.Sleep(200 * time.Millisecond)
		s.get(t, order[1], livePath)
		if n := s.origin.of(livePath); n != 2 {
			t.Errorf("%d requests at the origin: a playlist of 1.1 s was used where 1 s is its most", n)
		}
	})
}

func TestBodyThatASiblingBreaksOffGoesOnElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "e1", "e2")
		time.Sleep(changeTime)
		path := segmentOf(t, "e2", "e1")
		want := bodyOf(path, 3000)
		s.origin.set(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"1"`)
			w.Header().Set("Cache-Control", immutable)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(want)))
		})
		s.net.set("e2", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == checkPath {
				return
			}
			h := w.Header()
			h.Set("Etag", `"1"`)
			h.Set("Cache-Control", immutable)
			h.Set(toldField, "age=0;hops=0")
			h.Set("Content-Length", "3000")
			_, _ = w.Write(want[:1000])
			select { // viewers read of it
			case <-time.After(time.Second):
			case <-r.Context().Done():
			}
			panic(http.ErrAbortHandler)
		}))
		rec := s.get(t, "e1", path)
		if rec.Body.String() != string(want) {
			t.Errorf("%d bytes, or others", rec.Body.Len())
		}
	})
}

// What a sibling had before it heard of a recording's end is not kept by who has heard.
func TestWhatASiblingHadBeforeARecordingEndedIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := []string{"e1", "e2"}
		s := newSite(t, ids...)
		time.Sleep(changeTime)
		s.origin.set(fixed("#EXTM3U\n#old", "public, max-age=600"))
		order := whose(eventPath, ids...)
		s.get(t, order[1], eventPath)
		s.origin.set(fixed("#EXTM3U\n#new", "public, max-age=600"))
		ended := media.Event{Type: media.EventEnded, Publisher: "acme", Stream: "show", Recording: testRec}
		time.Sleep(time.Second)
		s.edges[order[1]].apply(ended)
		s.get(t, order[1], eventPath)
		s.edges[order[0]].apply(ended)
		if got := s.get(t, order[1], eventPath).Body.String(); got != "#EXTM3U\n#new" {
			t.Errorf("the playlist is %q", got)
		}
	})
}

func TestPeerPortIsForEdgesOnly(t *testing.T) {
	s := newSite(t, "e1")
	port := s.edges["e1"].Peers()
	const chain = `oxbow;edge="e2";as=sibling`
	for name, row := range map[string]struct {
		method, uri, token, chain string
		status                    int
	}{
		"good":         {"GET", segPath, siteToken, chain, 200},
		"health":       {"GET", checkPath, "", "", 200},
		"no token":     {"GET", segPath, "", chain, 401},
		"wrong token":  {"GET", segPath, "cluster-secreT", chain, 401},
		"no chain":     {"GET", segPath, siteToken, "", 400},
		"other's":      {"GET", segPath, siteToken, "akamai;v=1", 400},
		"loop":         {"GET", segPath, siteToken, chain + `, oxbow;edge="e1";as=sibling`, 508},
		"too far":      {"GET", segPath, siteToken, chain + strings.Repeat(`, oxbow;edge="e5";as=shield`, 3), 508},
		"download":     {"GET", recBase + "/recording.mp4", siteToken, chain, 404},
		"token's path": {"GET", "/t/abc" + segPath, siteToken, chain, 404},
		"post":         {"POST", segPath, siteToken, chain, 405},
		"escapes":      {"GET", strings.Replace(segPath, "show", "sh%2Fow", 1), siteToken, chain, 404},
	} {
		t.Run(name, func(t *testing.T) {
			req := httptest.NewRequest(row.method, row.uri, nil)
			if row.token != "" {
				req.Header.Set("Authorization", "Bearer "+row.token)
			}
			if row.chain != "" {
				req.Header.Set(chainField, row.chain)
			}
			rec := httptest.NewRecorder()
			port.ServeHTTP(rec, req)
			if rec.Code != row.status {
				t.Errorf("status %d, want %d: %s", rec.Code, row.status, rec.Body)
			}
			if _, ok := parseTold(rec.Header()); ok != (row.method == "GET" && row.uri != checkPath) {
				t.Errorf("told %q", rec.Header()[toldField])
			}
		})
	}
}

// An edge that others do not ask leaves all to those that they do.
func TestEdgeThatIsNotAskedFetchesNothingItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "e1", "e2", "e3")
		s.edges["e1"].config.Asked = false
		for n := 1; n < 80; n += 8 {
			s.get(t, "e1", fmt.Sprintf("%s/1/video/%d.m4s", recBase, n))
		}
		if n := testutil.ToFloat64(s.edges["e1"].metrics.peers.fetches[asViewer][fromNode]); n != 0 {
			t.Errorf("it has asked the node %v times", n)
		}
	})
}

// A viewer who leaves takes nothing from those at other edges.
func TestViewerWhoLeavesHurtsNoSibling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := []string{"e1", "e2"}
		s := newSite(t, ids...)
		show := newShow(7, 0)
		s.origin.set(show.ServeHTTP)
		order := whose(livePath, ids...)
		uri := livePath + "?_HLS_msn=8&_HLS_part=0"
		ctx, leave := context.WithCancel(t.Context())
		go s.edges[order[1]].do(ctx, http.MethodGet, uri)
		done := make(chan bool)
		go func() {
			s.get(t, order[1], uri)
			close(done)
		}()
		time.Sleep(time.Second)
		leave()
		time.Sleep(time.Second)
		show.advance()
		<-done
		if n := show.of(uri); n != 1 {
			t.Errorf("%d requests at the origin", n)
		}
	})
}
