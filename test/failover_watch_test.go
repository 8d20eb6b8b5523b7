package test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// ordeal is what a show's viewers go through from one instant on: real players at the first edge, if there are any, and
// a witness at each.
type ordeal struct {
	s        *clusterShow
	players  []*viewing
	began    time.Time
	statuses []map[int]int // of each witness, before
	faults   []int         // of each player, before
}

// ordeal begins now.
func (s *clusterShow) ordeal(players []*viewing) *ordeal {
	o := &ordeal{s: s, players: players, began: time.Now()}
	for _, w := range s.viewers {
		w.mu.Lock()
		o.statuses = append(o.statuses, maps.Clone(w.statuses))
		w.mu.Unlock()
	}
	for _, p := range players {
		p.mu.Lock()
		o.faults = append(o.faults, len(p.faults))
		p.mu.Unlock()
	}
	return o
}

// last waits until the ordeal has been that long.
func (o *ordeal) last(d time.Duration) {
	timer := time.NewTimer(time.Until(o.began.Add(d)))
	<-timer.C
}

// stood gives the times for which one picture stood too long between two instants: how many, all of them, and the
// longest.
func (v *viewing) stood(from, to time.Time) (stalls int, all, longest time.Duration) {
	shown := v.shown()
	for i, f := range shown {
		next := to
		if i+1 < len(shown) {
			next = shown[i+1].at
		}
		if next.Before(from) || f.at.After(to) {
			continue
		}
		if d := next.Sub(f.at); d > stallWorth {
			stalls, all, longest = stalls+1, all+d, max(longest, d)
		}
	}
	return stalls, all, longest
}

// told is what came of an ordeal: the worst of all viewers.
type told struct {
	errors    int           // answers to witnesses that were none, or 5xx
	wait      time.Duration // longest that nothing new was listed
	load      time.Duration // longest from a viewer's first request for a part until it had it
	stood     time.Duration // longest that a player's picture stood
	stalls    int
	inPlayers string
}

// over ends the ordeal and gives its figures. A player's fatal error fails the test.
func (o *ordeal) over() (x told) {
	o.s.f.tb.Helper()
	now := time.Now()
	for i, w := range o.s.viewers {
		w.mu.Lock()
		for status, n := range w.statuses {
			if status != http.StatusOK {
				x.errors += n - o.statuses[i][status]
			}
		}
		for name, t := range w.tracks {
			if !strings.HasSuffix(name, "/video.m3u8") {
				continue
			}
			for j, a := range t.arrivals {
				if j > 0 && a.at.After(o.began) {
					x.wait = max(x.wait, a.at.Sub(t.arrivals[j-1].at))
				}
			}
		}
		for _, object := range w.objects {
			if object.listed.After(o.began) && !object.loaded.IsZero() {
				x.load = max(x.load, object.loaded.Sub(object.asked))
			}
		}
		w.mu.Unlock()
	}
	for i, p := range o.players {
		stalls, all, longest := p.stood(o.began, now)
		m := p.measure(func(int) (time.Time, bool) { return time.Time{}, false })
		if m.fatal > 0 || m.ended {
			o.s.f.tb.Errorf("%s: %d fatal errors, ended %v: %s", p.name, m.fatal, m.ended, m.faultText())
		}
		x.stood, x.stalls = max(x.stood, longest), max(x.stalls, stalls)
		m.faults = m.faults[o.faults[i]:]
		x.inPlayers += fmt.Sprintf("; %s: %d stalls of %d ms", p.name, stalls, all.Milliseconds())
		if text := m.faultText(); text != "" {
			x.inPlayers += " (" + text + ")"
		}
	}
	return x
}

func (x told) String() string {
	return fmt.Sprintf("%d failed requests, longest wait for a new part %d ms, slowest load of a listed one %d ms%s",
		x.errors, x.wait.Milliseconds(), x.load.Milliseconds(), x.inPlayers)
}

// within fails the test where viewers saw more than that.
func (x told) within(tb testing.TB, wait time.Duration) {
	tb.Helper()
	if x.wait > wait {
		tb.Errorf("viewers waited %v for a new part, want %v at most", x.wait, wait)
	}
}

// probed is one request of a probe.
type probed struct {
	status     int
	took       time.Duration
	retryAfter string
	body       []byte
}

// probe asks once.
func probe(url string) probed {
	began := time.Now()
	status, body, h := fetch(url, nil)
	return probed{status: status, took: time.Since(began), retryAfter: h.Get("Retry-After"), body: body}
}

func (p probed) String() string {
	text := fmt.Sprintf("%d after %d ms", p.status, p.took.Milliseconds())
	if p.retryAfter != "" {
		text += " with Retry-After: " + p.retryAfter
	}
	return text
}

// probeAll asks for a finished recording's segments one after the other, and gives the slowest answer, the median and
// how many were no 200.
func (s *clusterShow) probeAll(base, recording string) (worst, median time.Duration, failed int) {
	s.f.tb.Helper()
	list := s.stream + "/" + recording + "/video.m3u8"
	status, body, _ := fetch(base+list, nil)
	if status != http.StatusOK {
		s.f.tb.Errorf("%s: %d %.200s", list, status, body)
		return 0, 0, 1
	}
	seen, err := parseSeen(list, string(body))
	if err != nil {
		s.f.tb.Fatal(err)
	}
	var times []time.Duration
	for _, segment := range seen.segments {
		if segment.gap {
			continue
		}
		p := probe(base + segment.path)
		if p.status != http.StatusOK {
			failed++
		}
		times = append(times, p.took)
	}
	slices.Sort(times)
	return times[len(times)-1], times[len(times)/2], failed
}
