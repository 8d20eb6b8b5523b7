package test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFaultPublisherStaysAway kills the owner of a show whose publisher does not come back to any node: another node
// adopts the recording and ends it when the reconnect window is over.
func TestFaultPublisherStaysAway(t *testing.T) {
	onlyFull(t)
	const window = 3 * time.Second
	f := startFleet(t, clusterConfig{})
	s := f.newShow("away", map[string]any{"reconnect_window": window.String()})
	s.begin(time.Second, "a1", "a2")
	f.member("a1").kill()
	killed := time.Now()
	s.encoder.leave()
	a2 := f.member("a2")
	eventually(t, 20*time.Second, "the recording is adopted", func() bool {
		return strings.Contains(a2.out.String(), "recording adopted")
	})
	adopted := time.Since(killed)
	for _, w := range s.viewers {
		w.awaitEnd(20 * time.Second)
	}
	ended := time.Since(killed)
	v := s.conclude()
	v.oneRecording(t)
	v.lostAtMost(t, faultPart+underWay, 0)
	// The lease ends 5 s after its last renewal, then the recording must have stood still for 5 s of looks a second apart.
	if limit := 5*time.Second + 5*time.Second + 2*time.Second + 2*faultSlack; adopted > limit {
		t.Errorf("adopted %v after the kill, want at most %v", adopted, limit)
	}
	if limit := adopted + window + 2*faultSlack; ended > limit {
		t.Errorf("ended %v after the kill, want at most %v", ended, limit)
	}
	figure(t, "ingest killed, publisher stays away", "adopted %.1f s after the kill, ended %.1f s after it (window %v); %s",
		adopted.Seconds(), ended.Seconds(), window, v.frames)
}

// TestFaultAPIDrain drains the owner by the API: the node ends, and the publisher's show goes on at another.
func TestFaultAPIDrain(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{})
	s := f.newShow("apidrain", nil)
	s.begin(500*time.Millisecond, "a1", "a2")
	a1 := f.member("a1")
	if status := f.api.api(http.MethodPost, "/v1/nodes/a1/drain", nil, nil); status != http.StatusAccepted {
		t.Fatalf("drain: status %d, want 202", status)
	}
	told := time.Now()
	eventually(t, memberStop, "the node ends", func() bool { return !a1.running() })
	exit := time.Since(told)
	var page struct {
		Items []struct{ ID string }
	}
	f.api.api(http.MethodGet, "/v1/nodes", nil, &page)
	if slices.Contains(page.Items, struct{ ID string }{"a1"}) {
		t.Errorf("nodes %v after the drain", page.Items)
	}
	s.watched(12)
	v := s.finish()
	v.oneRecording(t)
	v.lostAtMost(t, underWay)
	figure(t, "drain by the API", "the node ends after %d ms; %s; longest wait %d ms",
		exit.Milliseconds(), v.frames, v.longest.Milliseconds())
}

// TestFaultWholeCluster ends every process of a cluster in the middle of a show, without notice, and starts them all
// again: the show goes on in the same recording, and players too.
func TestFaultWholeCluster(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{})
	s := f.newShow("whole", nil)
	s.begin(time.Second, "a1", "a2")
	names := slices.Sorted(maps.Keys(f.members))
	for _, name := range names {
		f.member(name).kill()
	}
	for _, name := range names {
		f.member(name).start()
	}
	s.encoder.await(1, 20*time.Second)
	s.watched(20)
	part, _ := s.resumed(1)
	v := s.finish()
	v.oneRecording(t)
	v.lostAtMost(t, faultPart+underWay, 0)
	figure(t, "all processes killed and started again", "first part %d ms after the encoder's first picture; %s; longest wait %d ms",
		part.Milliseconds(), v.frames, v.longest.Milliseconds())
}
