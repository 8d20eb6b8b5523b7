package loadgen

import (
	"testing"
	"time"
)

func TestPlayheadStandsWithoutMedia(t *testing.T) {
	start := time.Now()
	after := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	h := &playhead{from: start}
	end := -100 * time.Millisecond // it begins in the middle of a part
	feed := func(at, more int) {
		h.run(after(at), end)
		end += time.Duration(more) * time.Millisecond
		h.feed(after(at), end)
	}
	feed(50, 100)
	if h.begun() {
		t.Error("it plays without media")
	}
	feed(200, 400) // up to 400: plays until 600
	if !h.playing || h.started != 200*time.Millisecond {
		t.Errorf("started after %v", h.started)
	}
	feed(630, 400) // 30 ms of nothing are none
	if h.count != 0 || h.position != 400*time.Millisecond {
		t.Errorf("%d stalls at %v", h.count, h.position)
	}
	h.run(after(1200), end) // stands since 1030
	if h.playing || !h.starved {
		t.Error("it does not stand")
	}
	h.starved = false // told
	feed(1530, 1000)
	if h.count != 1 || h.stalled != 500*time.Millisecond || h.stalls[0].AtMS != after(1030).UnixMilli() || h.starved {
		t.Errorf("%+v", h)
	}
	h.stop(after(2830), end, false) // stands since 2530
	if h.count != 2 || h.longest != 500*time.Millisecond || h.stalled != 800*time.Millisecond || h.position != end {
		t.Errorf("%+v", h)
	}
	over := &playhead{from: start}
	over.feed(start, time.Second)
	over.stop(after(5000), time.Second, true)
	if over.count != 0 || over.position != time.Second {
		t.Errorf("after the show: %+v", over)
	}
}
