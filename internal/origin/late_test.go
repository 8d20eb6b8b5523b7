package origin

import (
	"testing"
	"testing/synctest"
	"time"
)

// What another process listed before it went is not 404 where storage was read before, or does not have it yet.
func TestPromisedMediaIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		s.interrupt()
		s.leave()
		h, _ := s.handler(Config{})
		get(t, h, sliding, 200) // what is remembered of storage from now on
		for name, path := range map[string]string{
			"too far": testBase + "/3/video/13.m4s", "a take too far": testBase + "/5/video/10.m4s",
			"no such track": testBase + "/3/other/10.m4s", "another take's": testBase + "/1/video/9.m4s",
		} {
			if p := start(t, h, path); !p.done.Load() || p.w.Code != 404 {
				t.Errorf("%s: answered %v with %d, want 404 at once", name, p.done.Load(), p.w.Code)
			}
		}
		waits := map[string]*pending{
			"segment": start(t, h, testBase+"/3/video/10.m4s"),
			"part":    start(t, h, testBase+"/3/video/10.1.m4s"),
			"init":    start(t, h, testBase+"/3/video/init.mp4"),
			"late":    start(t, h, testBase+"/3/video/12.m4s"),
		}
		for name, p := range waits {
			p.held(t, name)
		}
		s.startTake()
		s.open(false)
		for range 4 {
			s.part()
		}
		s.finish()
		s.must(s.take.Seal())
		time.Sleep(promiseLook + time.Millisecond)
		waits["late"].held(t, "what is not written")
		for _, name := range []string{"segment", "part", "init"} {
			waits[name].answered(t, name, 200, "")
		}
		time.Sleep(promiseWait)
		waits["late"].answered(t, "what never comes", 503, "")

		get(t, h, sliding, 200)
		s.startTake()
		s.open(false)
		for range 4 {
			s.part()
		}
		s.finish()
		s.must(s.take.Seal())
		time.Sleep(promiseLook)
		if p := start(t, h, testBase+"/4/video/11.m4s"); !p.done.Load() || p.w.Code != 200 {
			t.Errorf("a segment that storage has by now: answered %v with %d", p.done.Load(), p.w.Code)
		}
	})
}
