package test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// sharesAt gives the part of the viewers that is at each pathway at a time, of those who had come by then. All began at
// one that has no name in their moves.
func (p *played) sharesAt(at time.Time, begin string) map[string]float64 {
	shares, all := map[string]float64{}, 0.0
	for _, v := range p.Each {
		if time.UnixMilli(v.CameMS).After(at) {
			continue
		}
		here := begin
		for _, m := range v.Moves {
			if !time.UnixMilli(m.AtMS).After(at) {
				here = m.To
			}
		}
		name, _, _ := strings.Cut(here, ".") // it may have been started again
		shares[name]++
		all++
	}
	for name := range shares {
		shares[name] /= all
	}
	return shares
}

// steer runs the CLI's steering commands.
func (f *fleet) steer(args ...string) {
	f.tb.Helper()
	cmd := exec.Command(oxbowBinary, append([]string{"steering"}, args...)...)
	cmd.Env = append(os.Environ(), "OXBOW_API=http://"+f.api.http, "OXBOW_TOKEN="+adminToken)
	if out, err := cmd.CombinedOutput(); err != nil {
		f.tb.Fatalf("steering %v: %v\n%s", args, err, out)
	}
}

// TestViewersSettleByCapacity has 1,000 viewers: who all begin at the edge that has a quarter of the capacity of two are
// spread in proportion within three steering intervals, go where a rule by hand says within one, and come
// back when it is cleared.
func TestViewersSettleByCapacity(t *testing.T) {
	onlyFull(t)
	const viewers, ttl, ramp = 1000, 5 * time.Second, 5 * time.Second
	f, first, _ := startSteered(t, ttl, func(name string) []string {
		return []string{"--capacity", map[string]string{"edge1": "1G", "edge2": "3G"}[name]}
	})
	// Whole segments: what a thousand players of parts ask for is more than a small machine has beside the edges.
	settings := faultSettings(map[string]any{"latency": "standard", "segment_duration": "4s"})
	delete(settings, "part_duration")
	s := &clusterShow{f: f, stream: "/load/live", key: f.api.createStream("load", "live", settings)}
	s.encoder = startEncoder(t, faultFilm(t), time.Second, f.targets(s.key, "a1")...)
	index := "http://" + first.http + s.stream + "/index.m3u8"
	eventually(t, time.Minute, "the stream is steered to both edges, and as long as what a viewer buffers", func() bool {
		if !steeredTo(index, 2) {
			return false
		}
		_, text, _ := fetch(index, nil)
		_, text, _ = fetch("http://"+first.http+variants(s.stream+"/index.m3u8", string(text))[0], nil)
		return strings.Count(string(text), "#EXTINF") >= 4
	})

	finish := startPlayers(t, index, viewers, "--ramp", ramp.String())
	wait := func(d time.Duration) time.Time {
		until := time.Now().Add(d)
		<-time.After(d)
		return until
	}
	settled := wait(ramp + 3*ttl)
	f.steer("set", "load", "--to", "edge1", "--reason", "a test")
	pinned := wait(ttl + time.Second)
	f.steer("clear", "load")
	back := wait(3*ttl + time.Second)
	stayed := wait(2 * ttl)
	p := finish()

	moves := 0
	for _, v := range p.Each {
		moves += len(v.Moves)
	}
	_, longest := p.stallsIn(settled.Add(-time.Minute), stayed)
	at := func(when time.Time) float64 { return p.sharesAt(when, "edge1")["edge1"] }
	figure(t, "viewers settle by capacity", "%d viewers, TTL %v, all began at the edge with 1 of 4 Gb/s: %.1f %% are there "+
		"after 3 intervals, %.1f %% one interval and a second after a rule sent all there, %.1f %% three intervals after it "+
		"was cleared, %.1f %% two later; %d moves; %d stalled, %v the longest, fatal %v, failed %v; "+
		"%d requests, %.1f s of the viewers' own CPU", viewers, ttl, 100*at(settled), 100*at(pinned), 100*at(back),
		100*at(stayed), moves, p.StalledViewers, longest, p.Fatal, p.Faults, p.Requests, p.CPU)
	if p.Playing != viewers || len(p.Fatal) > 0 {
		t.Errorf("%d play, fatal %v", p.Playing, p.Fatal)
	}
	for what, when := range map[string]time.Time{"settled": settled, "the rule was cleared": back, "a while": stayed} {
		if share := at(when); share < 0.20 || share > 0.30 {
			t.Errorf("%s: %.3f of the viewers at the edge with a quarter of the capacity", what, share)
		}
	}
	if share := at(pinned); share < 1 {
		t.Errorf("%.3f of the viewers are where the rule says", share)
	}
	if p.Pathways == nil || slices.ContainsFunc(p.Each, func(v playedViewer) bool { return v.CameMS == 0 }) {
		t.Error("viewers who never came")
	}
}
