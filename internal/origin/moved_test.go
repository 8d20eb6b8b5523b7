package origin

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// lose takes a growing show out of Live, as the packager does when another node has it.
func (s *studio) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.current, s.mu.shown = false, false
	close(s.mu.changed)
}

// regain gives it back, as when it was reopened here.
func (s *studio) regain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.current, s.mu.shown = true, true
	s.mu.changed = make(chan struct{})
}

func TestWaitsForAShowThatMovesEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		h, reg := s.handler(Config{})
		waits := map[string]*pending{
			"part":    start(t, h, sliding+"?_HLS_msn=9&_HLS_part=2"),
			"segment": start(t, h, sliding+"?_HLS_msn=9"),
			"hint":    start(t, h, testBase+"/2/video/9.2.m4s"),
		}
		for name, p := range waits {
			p.held(t, name)
		}
		s.lose()
		for name, p := range waits {
			p.answered(t, name, 421, "421")
			if p.took > 0 {
				t.Errorf("%s: answered after %v", name, p.took)
			}
			if cache, retry := p.w.Header().Get("Cache-Control"), p.w.Header().Get("Retry-After"); cache != "no-store" || retry != "1" {
				t.Errorf("%s: Cache-Control %q, Retry-After %q", name, cache, retry)
			}
		}
		if n := metric(t, reg, "oxbow_origin_waits_total", "moved"); n != 3 {
			t.Errorf("%v waits are counted as moved", n)
		}
		// The next request finds the recording on storage, with every finished segment.
		again := start(t, h, sliding)
		again.answered(t, "from storage", 200, "../2/video/8.m4s")
		late := start(t, h, sliding+"?_HLS_msn=9")
		late.held(t, "a recording that another process writes")
		// Its writer may have told of more than storage has, or than was read of it: players end at a 400.
		ahead := start(t, h, sliding+"?_HLS_msn=12&_HLS_part=0")
		ahead.held(t, "far ahead of what is stored")
		time.Sleep(time.Minute)
		ahead.answered(t, "what storage never gets", 503, "")
		late.answered(t, "whose next segment never comes", 503, "")
	})
}

func TestANewShowThatMovesReleasesItsFirstViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.startTake()
		h, _ := s.handler(Config{})
		first := start(t, h, "/acme/show/index.m3u8")
		first.held(t, "no segment yet")
		s.lose()
		first.answered(t, "the show moved", 421, "421")
	})
}

// A show comes back to this node: what was read from storage meanwhile, or before, is not served once it leaves again.
func TestAShowThatComesAndGoesNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		h, _ := s.handler(Config{Revalidate: time.Hour})
		newest := func(what, listed string) {
			t.Helper()
			p := start(t, h, testBase+"/video.m3u8")
			p.answered(t, what, 200, listed)
			if strings.Contains(p.w.Body.String(), "ENDLIST") {
				t.Errorf("%s: ended", what)
			}
		}
		newest("here", "2/video/8.m4s")
		s.lose()
		newest("elsewhere", "2/video/8.m4s")
		s.regain()
		s.part()
		s.part()
		s.finish()
		s.open(false)
		s.publish()
		s.segments(2)
		newest("here again", "2/video/11.m4s")
		s.lose()
		newest("elsewhere again", "2/video/11.m4s")
	})
}
