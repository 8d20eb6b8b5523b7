package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// played is what `oxbow bench view --player` says.
type played struct {
	Viewers, Playing     int
	Fatal, Faults        map[string]int
	StalledViewers       int     `json:"stalled_viewers"`
	StallMaxMS           float64 `json:"stall_max_ms"`
	StartMaxMS           float64 `json:"start_max_ms"`
	Missed               int64
	Pathways             map[string]int
	CPU                  float64 `json:"own_cpu_seconds"`
	Requests             int64
	Each                 []playedViewer
	SecondsAfterTheStart float64 `json:"seconds"`
}

type playedViewer struct {
	CameMS  int64 `json:"came_ms"`
	Stalled []struct {
		AtMS     int64   `json:"at_ms"`
		LengthMS float64 `json:"length_ms"`
	}
	Moves []struct {
		AtMS    int64 `json:"at_ms"`
		From    string
		To      string
		Why     string
		MediaMS float64 `json:"media_ms"`
	}
}

// stallsIn counts the viewers who stalled between two times, and gives the longest stall.
func (p *played) stallsIn(from, to time.Time) (viewers int, longest time.Duration) {
	for _, v := range p.Each {
		hit := false
		for _, s := range v.Stalled {
			if at := time.UnixMilli(s.AtMS); at.After(from) && at.Before(to) {
				hit = true
				longest = max(longest, time.Duration(s.LengthMS*float64(time.Millisecond)))
			}
		}
		if hit {
			viewers++
		}
	}
	return viewers, longest
}

// stallsByMoving counts the stalls between two times of viewers who had just left an edge, but those that came when who
// stayed where they were stood, too: then the show was late, not the new edge.
func (p *played) stallsByMoving(edge string, from, to time.Time) (stalls int) {
	const soon = 3 * time.Second
	var moved, stayed []time.Time
	for _, v := range p.Each {
		for _, s := range v.Stalled {
			at := time.UnixMilli(s.AtMS)
			if at.Before(from) || at.After(to) {
				continue
			}
			list := &stayed
			for _, m := range v.Moves {
				name, _, _ := strings.Cut(m.From, ".")
				if since := at.Sub(time.UnixMilli(m.AtMS)); name == edge && since >= 0 && since < soon {
					list = &moved
				}
			}
			*list = append(*list, at)
		}
	}
	for _, at := range moved {
		if !slices.ContainsFunc(stayed, func(other time.Time) bool { return at.Sub(other).Abs() < time.Second }) {
			stalls++
		}
	}
	return stalls
}

// movesIn counts the moves away from an edge between two times, and gives how long after the first the last one was.
func (p *played) movesIn(edge string, from, to time.Time) (last time.Duration, moves int) {
	for _, v := range p.Each {
		for _, m := range v.Moves {
			name, _, _ := strings.Cut(m.From, ".") // it may have been started again
			if at := time.UnixMilli(m.AtMS); name == edge && at.After(from) && at.Before(to) {
				moves++
				last = max(last, at.Sub(from))
			}
		}
	}
	return last, moves
}

// startPlayers watches with hls.js-like viewers until finish. Flags are more of the command's.
func startPlayers(tb testing.TB, url string, viewers int, flags ...string) (finish func() played) {
	tb.Helper()
	c := newChild(tb, "players")
	cmd := exec.Command(oxbowBinary, append([]string{"bench", "view", "--player", "--json", "--quiet", "--cmcd",
		"--url", url, "--viewers", strconv.Itoa(viewers), "--ramp", "2s", "--duration", "10m"}, flags...)...)
	if err := c.start(cmd); err != nil {
		tb.Fatal(err)
	}
	return func() played {
		tb.Helper()
		c.stop(syscall.SIGINT, 10*time.Second)
		var p played
		text := c.out.String()
		// What is said behind the JSON is that it was interrupted.
		if err := json.NewDecoder(strings.NewReader(text[max(strings.Index(text, "{\n"), 0):])).Decode(&p); err != nil {
			tb.Fatalf("players: %v in %.500s", err, text)
		}
		return p
	}
}

// stoodIn gives the longest time between two pictures that a player showed in a while.
func stoodIn(v *viewing, from, to time.Time) (longest time.Duration) {
	var before time.Time
	for _, picture := range v.shown() {
		if picture.at.Before(from) || picture.at.After(to) {
			continue
		}
		if !before.IsZero() {
			longest = max(longest, picture.at.Sub(before))
		}
		before = picture.at
	}
	return longest
}

// steeredTo says whether a stream's viewers are steered to so many edges.
func steeredTo(index string, edges int) bool {
	status, text, _ := fetch(index, nil)
	_, at, found := bytes.Cut(text, []byte("#EXT-X-CONTENT-STEERING:"))
	if status != http.StatusOK || !found {
		return false
	}
	status, text, _ = fetch(attribute(strings.SplitN(string(at), "\n", 2)[0], "SERVER-URI"), nil)
	var manifest struct {
		Order []string `json:"PATHWAY-PRIORITY"`
	}
	return status == http.StatusOK && json.Unmarshal(text, &manifest) == nil && len(manifest.Order) == edges
}

// TestViewersLeaveAnEdge: of the viewers who are spread over two edges by steering, those of one leave it
// when it drains, and go on when the other, at which all are then, or were a moment ago, is killed with -9. hls.js in
// Chromium is among them. What it promises is a time, which a busy machine does not keep: in make test there are the rows
// of internal/loadgen for players that are steered or lose their edge, of internal/steering for a crowd, and of cmd/oxbow
// for an edge that drains.
func TestViewersLeaveAnEdge(t *testing.T) {
	onlyFull(t)
	for _, viewers := range []int{300, 600} {
		t.Run(strconv.Itoa(viewers), func(t *testing.T) { viewersLeaveAnEdge(t, viewers, 10*time.Second) })
	}
}

func viewersLeaveAnEdge(t *testing.T, viewers int, ttl time.Duration) {
	t.Helper()
	f, first, second := startSteered(t, ttl, func(string) []string { return []string{"--drain-timeout", "30s"} })
	s := &clusterShow{f: f, stream: "/loss/live", key: f.api.createStream("loss", "live", faultSettings(nil))}
	s.encoder = startEncoder(t, faultFilm(t), time.Second, f.targets(s.key, "a1")...)
	index := "http://" + first.http + s.stream + "/index.m3u8"
	steered := func(edges int) bool { return steeredTo(index, edges) }
	eventually(t, 30*time.Second, "the stream is live and steered to both edges", func() bool { return steered(2) })

	chrome := watchInBrowser(t, "hls.js", index, hlsSettings)
	t.Cleanup(func() {
		if t.Failed() {
			shown := chrome.measure(func(int) (time.Time, bool) { return time.Time{}, false })
			t.Logf("hls.js: %+v; %s", shown, shown.faultText())
		}
	})
	eventually(t, time.Minute, "a picture", func() bool { _, shown := chrome.newest(); return shown > 0 })
	finish := startPlayers(t, index, viewers)
	goOn := func(length time.Duration) {
		t.Helper()
		newest, _ := chrome.newest()
		eventually(t, length+30*time.Second, "hls.js goes on", func() bool {
			now, _ := chrome.newest()
			return now > newest+int(length.Seconds()*stampRate)
		})
	}
	goOn(5*time.Second + ttl)

	drained := time.Now()
	took := first.drain()
	first.start()
	eventually(t, 30*time.Second, "the edge is back", func() bool { return steered(2) })
	goOn(ttl + time.Second)

	killed := time.Now()
	second.kill()
	goOn(3 * time.Second)
	p := finish()
	ended := time.Now()
	chrome.stop()

	drainStalls, drainLongest := p.stallsIn(drained, killed)
	killStalls, killLongest := p.stallsIn(killed, ended)
	moveStalls := p.stallsByMoving("edge1", drained, killed)
	left, leavers := p.movesIn("edge1", drained, drained.Add(took))
	fled, hit := p.movesIn("edge2", killed, ended)
	shown := chrome.measure(func(int) (time.Time, bool) { return time.Time{}, false })
	realDrain, realKill := stoodIn(chrome, drained, killed), stoodIn(chrome, killed, ended)
	figure(t, "edge drains, and is killed", "%d viewers, TTL %v: %d left the edge that drained, the last after %v, and it ended "+
		"after %v; %d stalled, at most %v, %d because they moved; %d left the killed one, the last after %v, %d stalled, "+
		"at most %v; in hls.js a picture stood %v while it drained and %v after the kill, %d fatal, %s; %d requests, "+
		"%.1f s of the viewers' own CPU",
		viewers, ttl, leavers, left.Round(time.Millisecond), took.Round(time.Millisecond), drainStalls, drainLongest,
		moveStalls, hit, fled.Round(time.Millisecond), killStalls, killLongest, realDrain.Round(time.Millisecond),
		realKill.Round(time.Millisecond), shown.fatal, shown.faultText(), p.Requests, p.CPU)
	if p.Playing != viewers || len(p.Fatal) > 0 || leavers < viewers/4 || hit < viewers/4 || shown.fatal > 0 {
		t.Errorf("%d of %d play, fatal %v; failed: %v; hls.js: %s; at the end %v",
			p.Playing, viewers, p.Fatal, p.Faults, shown.faultText(), p.Pathways)
	}
	if left > ttl+4*time.Second { // a heartbeat, a look at the nodes, and a player's second of grace
		t.Errorf("the last viewer left the edge that drained after %v", left)
	}
	const target = faultSegment // and its playlists' target duration
	if max(killLongest, realKill, realDrain) >= target || moveStalls > 0 {
		t.Errorf("stalls: %d by moving while it drained, %v the longest; %v after the kill; hls.js %v and %v; at most %v",
			moveStalls, drainLongest, killLongest, realDrain, realKill, target)
	}
}

// secondEdge starts an edge on the port of the first and another loopback address: clones of a pathway differ by host.
// startSteered starts two edges, with flags by their name, whose viewers are steered.
func startSteered(t *testing.T, ttl time.Duration, flags func(name string) []string) (f *fleet, first, second *member) {
	t.Helper()
	api := steadyAddress(t)
	f = startFleet(t, clusterConfig{
		nodes: 1, edges: 1, noArchiver: true,
		apiFlags: []string{"--http", api, "--steering-url", "http://" + api, "--steering-ttl", ttl.String()},
		edgeFlags: func(name, http string) []string {
			return append([]string{"--node", name, "--public-url", "http://" + http}, flags(name)...)
		},
	})
	f.api.http = api
	first = f.member("edge1")
	return f, first, secondEdge(t, f, first)
}

func secondEdge(t *testing.T, f *fleet, first *member) *member {
	t.Helper()
	m := f.newMember("edge2", "edge", false)
	m.toDirectory = newFaultProxy(t, f.member("api").internal.address)
	m.useArchive()
	_, port, err := net.SplitHostPort(first.http)
	if err != nil {
		t.Fatal(err)
	}
	m.http = net.JoinHostPort("127.0.0.2", port)
	m.args = append(m.args, "--http", m.http, "--directory", fmt.Sprintf("http://%s", m.toDirectory.address))
	m.args = append(m.args, f.config.edgeFlags(m.name, m.http)...)
	m.start()
	return m
}
