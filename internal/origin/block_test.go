package origin

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pending is a request under way in a bubble of synctest.
type pending struct {
	w      *httptest.ResponseRecorder
	done   atomic.Bool
	took   time.Duration
	cancel context.CancelFunc
}

// start sends a request; when it returns, the request is held or answered.
func start(tb testing.TB, h http.Handler, path string, extra ...string) *pending {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	p := &pending{w: httptest.NewRecorder(), cancel: cancel}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	for _, field := range extra {
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Add(name, value)
	}
	go func() {
		begin := time.Now()
		h.ServeHTTP(p.w, r)
		p.took = time.Since(begin)
		p.done.Store(true)
		cancel()
	}()
	synctest.Wait()
	return p
}

func (p *pending) held(tb testing.TB, what string) {
	tb.Helper()
	synctest.Wait()
	if p.done.Load() {
		tb.Fatalf("%s: answered with %d, want it held: %s", what, p.w.Code, p.w.Body)
	}
}

func (p *pending) answered(tb testing.TB, what string, status int, listed string) {
	tb.Helper()
	synctest.Wait()
	if !p.done.Load() || p.w.Code != status || !strings.Contains(p.w.Body.String(), listed) {
		tb.Fatalf("%s: answered %t with %d, want %d and %q:\n%s", what, p.done.Load(), p.w.Code, status, listed, p.w.Body)
	}
	if p.w.Header().Get("Access-Control-Allow-Origin") != "*" {
		tb.Errorf("%s: HTTP-3: no CORS", what)
	}
}

const sliding = testBase + "/live/video.m3u8"

func TestBLK1_BLK2_RequestsAreHeldUntilListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live() // 9.0 and 9.1 are listed
		h, _ := s.handler(Config{})
		part := start(t, h, sliding+"?_HLS_msn=9&_HLS_part=2")
		segment := start(t, h, sliding+"?_HLS_msn=9")
		next := start(t, h, sliding+"?_HLS_msn=10&_HLS_part=0&_HLS_skip=YES")
		whole := start(t, h, testBase+"/video.m3u8?_HLS_part=2&_HLS_msn=9")
		now := start(t, h, sliding+"?_HLS_msn=9&_HLS_part=1")
		now.answered(t, "listed part", 200, "9.1.m4s")
		part.held(t, "hinted part")

		s.part()
		s.publish()
		part.answered(t, "BLK-2", 200, `"../2/video/9.2.m4s"`)
		whole.answered(t, "BLK-2 whole", 200, `"2/video/9.2.m4s"`)
		segment.held(t, "BLK-1: a segment with only parts")
		s.part()
		s.finish()
		s.open(false)
		s.publish()
		segment.answered(t, "BLK-1", 200, "../2/video/9.m4s\n")
		next.held(t, "BLK-6")
		past := start(t, h, sliding+"?_HLS_msn=9&_HLS_part=4")
		past.held(t, "BLK-6: past the last part of a finished segment")
		s.part()
		s.publish()
		next.answered(t, "BLK-2 next", 200, "10.0.m4s")
		past.answered(t, "BLK-6", 200, "10.0.m4s")
		if got := part.w.Header().Get("Cache-Control"); got != "public, max-age=12" {
			t.Errorf("HTTP-7: %s", got)
		}
	})
}

func TestBLK3_BLK4_BLK5_BLK8_BadRequestsAre400AtOnce(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	for _, query := range []string{
		"_HLS_part=1", "_HLS_msn=x", "_HLS_msn=-1", "_HLS_msn=9&_HLS_msn=9", "_HLS_msn=99999999999999999999", "_HLS_msn=11",
		"_HLS_msn=9&_HLS_part=8", "_HLS_msn=9&_HLS_part=-1", "_HLS_msn=1000000&_HLS_part=0",
	} {
		a := get(t, h, sliding+"?"+query, 400)
		if !strings.HasPrefix(string(a.body), "400 ") {
			t.Errorf("%s: %s", query, a.body)
		}
	}
	get(t, h, sliding+"?token=x&_HLS_foo=1&_HLS_msn=9&_HLS_part=1", 200)
	s.end() // BLK-9
	get(t, h, sliding+"?_HLS_msn=11", 200)
	get(t, h, sliding+"?_HLS_part=x", 200)
}

func TestBLK7_GoneSegmentsGetTheWholePlaylist(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	for _, query := range []string{"?_HLS_msn=0", "?_HLS_msn=1", "?_HLS_msn=1&_HLS_part=3", "?_HLS_msn=8&_HLS_part=2"} {
		if !bytes.Equal(get(t, h, sliding+query, 200).body, get(t, h, sliding, 200).body) {
			t.Errorf("%s: not the current playlist", query)
		}
	}
}

func TestBLK10_TimeoutIs503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		h, reg := s.handler(Config{})
		p := start(t, h, sliding+"?_HLS_msn=9&_HLS_part=2")
		hint := start(t, h, testBase+"/2/video/9.2.m4s")
		time.Sleep(6*time.Second - time.Millisecond)
		p.held(t, "before the time is over")
		time.Sleep(time.Millisecond)
		p.answered(t, "BLK-10", 503, "503")
		hint.answered(t, "BLK-10 hint", 503, "503")
		if p.w.Header().Get("Retry-After") == "" || p.w.Header().Get("Cache-Control") != "public, max-age=1" || p.took != 6*time.Second {
			t.Errorf("BLK-10: %v after %s", p.w.Header(), p.took)
		}
		if n := metric(t, reg, "oxbow_origin_waiters"); n != 0 {
			t.Errorf("%f waiters left", n)
		}
	})
}

func TestBLK11_LIF1_InterruptionReleasesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		h, _ := s.handler(Config{})
		part := start(t, h, sliding+"?_HLS_msn=9&_HLS_part=2")
		next := start(t, h, sliding+"?_HLS_msn=10&_HLS_part=0")
		hint := start(t, h, testBase+"/2/video/9.2.m4s")
		s.interrupt()
		part.answered(t, "waits for the segment that was closed", 200, "2/video/9.m4s")
		next.answered(t, "BLK-11", 200, "2/video/9.m4s")
		hint.answered(t, "LIF-1: hinted part of the dead take", 404, "404")
		if got := next.w.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("a playlist without what its URL asks for: %s", got)
		}
		// One that comes now waits for the publisher, and never spins.
		late := start(t, h, sliding+"?_HLS_msn=10&_HLS_part=0")
		late.held(t, "while interrupted")
		time.Sleep(time.Second)
		s.startTake()
		s.open(true)
		s.part()
		s.publish()
		late.held(t, "segment listed whole")
		s.part()
		s.finish()
		s.open(false)
		s.publish()
		late.answered(t, "next take", 200, "../3/video/10.m4s")
	})
}

func TestBLK9_LIF3_EndReleasesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		h, _ := s.handler(Config{})
		part := start(t, h, sliding+"?_HLS_msn=10&_HLS_part=3")
		hint := start(t, h, testBase+"/2/audio/9.2.m4s")
		s.end()
		part.answered(t, "LIF-3", 200, "#EXT-X-ENDLIST")
		hint.answered(t, "HNT-6", 404, "404")
	})
}

func TestHNT4_HNT5_HNT7_HintedPartsAreHeldUntilComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		h, _ := s.handler(Config{})
		p := start(t, h, testBase+"/2/video/9.2.m4s")
		p.held(t, "HNT-4")
		start(t, h, testBase+"/2/video/9.3.m4s").answered(t, "HNT-7: behind the hint", 404, "404")
		start(t, h, testBase+"/1/video/9.2.m4s").answered(t, "HNT-7: another take", 404, "404")
		start(t, h, testBase+"/2/video/10.0.m4s").answered(t, "HNT-7: segment after the next", 404, "404")
		s.part()
		s.publish()
		p.answered(t, "HNT-4", 200, "moof")
		if !bytes.Equal(p.w.Body.Bytes(), s.bytes[partKey(2, "video", 9, 2)]) {
			t.Error("HNT-5: other bytes")
		}
		// A segment that ends early takes its hint back.
		p = start(t, h, testBase+"/2/video/9.3.m4s")
		p.held(t, "HNT-4")
		s.finish()
		s.open(false)
		s.publish()
		p.answered(t, "HNT-3: abandoned", 404, "404")
		p = start(t, h, testBase+"/2/video/10.0.m4s")
		p.held(t, "HNT-4: first of the next segment")
		s.part()
		s.publish()
		p.answered(t, "HNT-4", 200, "moof")
	})
}

func TestPRT6_SegmentsListedWholeHaveNoHintAndNoParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.startTake()
		s.open(true)
		s.part()
		s.publish()
		h, _ := s.handler(Config{})
		start(t, h, testBase+"/1/video/1.0.m4s").answered(t, "part of a segment listed whole", 404, "404")
		start(t, h, testBase+"/1/video/1.1.m4s").answered(t, "its next part", 404, "404")
		first := start(t, h, sliding)
		first.held(t, "no segment yet")
		s.finish()
		s.open(false)
		s.publish()
		first.answered(t, "first segment", 200, "1.m4s")
	})
}

func TestWaitersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		h, reg := s.handler(Config{MaxWaiters: 2})
		a, b := start(t, h, sliding+"?_HLS_msn=9&_HLS_part=2"), start(t, h, testBase+"/2/video/9.2.m4s")
		start(t, h, sliding+"?_HLS_msn=9&_HLS_part=2").answered(t, "over the limit", 503, "503")
		start(t, h, sliding).answered(t, "no wait, no limit", 200, "9.1")
		b.cancel()
		synctest.Wait()
		if !b.done.Load() || b.w.Body.Len() > 0 {
			t.Errorf("client that left: %t %s", b.done.Load(), b.w.Body)
		}
		c := start(t, h, sliding+"?_HLS_msn=9&_HLS_part=2")
		c.held(t, "there is room again")
		s.part()
		s.publish()
		a.answered(t, "first", 200, "9.2")
		c.answered(t, "third", 200, "9.2")
		if n := metric(t, reg, "oxbow_origin_waits_total"); n != 4 {
			t.Errorf("%f waits", n)
		}
	})
}

func TestBLK12_HTTP6_OneRenderForFiveHundredClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		h, reg := s.handler(Config{})
		const clients = 500
		ps := make([]*pending, clients)
		for i := range ps {
			query := "?_HLS_msn=9&_HLS_part=2"
			if i%3 == 1 {
				query = "?x=" + fmt.Sprint(i) + "&_HLS_part=2&_HLS_msn=9"
			}
			ps[i] = start(t, h, sliding+query, "Accept-Encoding: gzip")
		}
		if n := metric(t, reg, "oxbow_origin_waiters"); n != clients {
			t.Errorf("%f waiters", n)
		}
		if n := metric(t, reg, "oxbow_origin_playlist_renders_total"); n != 0 {
			t.Errorf("%f renders before anything is there", n)
		}
		s.part()
		s.publish()
		synctest.Wait()
		for i, p := range ps {
			if !p.done.Load() || p.w.Code != 200 || !bytes.Equal(p.w.Body.Bytes(), ps[0].w.Body.Bytes()) {
				t.Fatalf("client %d: %t %d", i, p.done.Load(), p.w.Code)
			}
		}
		renders := metric(t, reg, "oxbow_origin_playlist_renders_total")
		packs := metric(t, reg, "oxbow_origin_playlist_compressions_total")
		if renders != 1 || packs != 1 {
			t.Errorf("%f renders, %f compressions", renders, packs)
		}
	})
}

func TestShowBeforeItsFirstPlaylist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		h, _ := s.handler(Config{})
		index, list := start(t, h, "/acme/show/index.m3u8"), start(t, h, sliding)
		late := start(t, h, testBase+"/index.m3u8")
		start(t, h, testBase+"/1/video/1.0.m4s").answered(t, "HNT-7", 404, "404")
		index.held(t, "multivariant")
		s.startTake()
		s.segments(1)
		index.answered(t, "multivariant", 200, string(testID)+"/live/video.m3u8")
		list.answered(t, "playlist", 200, "1.m4s")
		late.answered(t, "multivariant", 200, "video.m3u8")
	})
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		h, _ := s.handler(Config{})
		index := start(t, h, "/acme/show/index.m3u8")
		time.Sleep(10 * time.Second)
		index.answered(t, "a show that never begins", 503, "503")
	})
}

func TestSEQ9_PlaylistsNeverGoBack(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	stop := make(chan struct{})
	results := make(chan string, 4)
	for range cap(results) {
		go func() {
			last := 0
			for {
				select {
				case <-stop:
					results <- ""
					return
				default:
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), "GET", testBase+"/video.m3u8", nil))
				_, hint, _ := strings.Cut(w.Body.String(), "#EXT-X-PRELOAD-HINT:")
				var take, msn, part int
				if _, err := fmt.Sscanf(hint, `TYPE=PART,URI="%d/video/%d.%d.m4s"`, &take, &msn, &part); err != nil {
					results <- fmt.Sprintf("hint %q: %v", hint, err)
					return
				}
				n := msn<<7 + part
				if n < last {
					results <- fmt.Sprintf("hint %q after %d", hint, last)
					return
				}
				last = n
			}
		}()
	}
	for range 12 {
		s.part()
		s.publish()
	}
	close(stop)
	for range cap(results) {
		if r := <-results; r != "" {
			t.Error(r)
		}
	}
}
