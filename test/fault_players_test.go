package test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/test/hlscheck"
)

// startWatched starts a cluster of two nodes with one edge, and a show on it that players watch.
func startWatched(t *testing.T, stream string) (f *fleet, s *clusterShow, players []*viewing) {
	t.Helper()
	f = startFleet(t, clusterConfig{edges: 1})
	s = f.newShow(stream, nil)
	s.begin(time.Second, "a1", "a2")
	return f, s, s.faultPlayers()
}

// faultPlayers starts hls.js and ffmpeg at the first edge, and waits until both show pictures. They are never told to
// reload.
func (s *clusterShow) faultPlayers() (players []*viewing) {
	s.f.tb.Helper()
	url := s.viewers[0].bases[0] + s.stream + "/index.m3u8"
	eventually(s.f.tb, 20*time.Second, "there are segments enough to join", func() bool { return s.liveSegments() >= 3 })
	for _, kind := range playerKinds() {
		if kind.name == "hls.js 1.7" || kind.name == "ffmpeg" {
			players = append(players, kind.start(s.f.tb, url, 0))
		}
	}
	for _, p := range players {
		eventually(s.f.tb, 20*time.Second, p.name+" shows pictures", func() bool { return len(p.shown()) > 2*stampRate })
	}
	return players
}

// liveSegments counts what the live playlists list at the first edge, and gives the least.
func (s *clusterShow) liveSegments() (least int) {
	base, index := s.viewers[0].bases[0], s.stream+"/index.m3u8"
	status, body, _ := fetch(base+index, nil)
	if status != http.StatusOK {
		return 0
	}
	for i, p := range variants(index, string(body)) {
		_, text, _ := fetch(base+p, nil)
		if n := strings.Count(string(text), "#EXTINF:"); i == 0 || n < least {
			least = n
		}
	}
	return least
}

// awaitPlayed waits until every player shows pictures of the connection, and some seconds of them.
func awaitPlayed(tb testing.TB, players []*viewing, c connection) {
	tb.Helper()
	for _, p := range players {
		eventually(tb, 30*time.Second, p.name+" shows the new connection's pictures", func() bool {
			newest, _ := p.newest()
			return newest >= c.sent[0].number+3*stampRate
		})
	}
}

// crossingLimit is how far behind the publisher the first new picture may be, on a busy machine: ffmpeg keeps three
// segments ahead of it.
const crossingLimit = 8 * time.Second

// crossing is what a player showed where one connection's pictures follow another's.
type crossing struct {
	figures
	after time.Duration // from the fault to the first new picture
	live  time.Duration // from that picture's sending
	stood time.Duration // the picture before it
	lost  int           // pictures of the old connection's end that were not shown
	late  int           // pictures of the new connection's begin that were not
}

// judgeCrossing stops a player, fails the test for what no fault excuses, and gives the figures. It may step back so often.
func judgeCrossing(tb testing.TB, p *viewing, fault time.Time, before, after connection, backs int) (x crossing) {
	tb.Helper()
	p.stop()
	sent := map[int]time.Time{}
	for _, c := range []connection{before, after} {
		for _, picture := range c.sent {
			sent[picture.number] = picture.at
		}
	}
	x.figures = p.measure(func(number int) (time.Time, bool) { at, ok := sent[number]; return at, ok })
	if x.fatal > 0 || x.ended {
		tb.Errorf("%s: %d fatal errors, ended %v: %s", p.name, x.fatal, x.ended, x.faultText())
	}
	if x.back > backs || x.unreadable > 0 {
		tb.Errorf("%s: %d steps back, the last from %s; %d pictures without a number", p.name, x.back, x.backs, x.unreadable)
	}
	shown, begin := p.shown(), after.sent[0].number
	first := slices.IndexFunc(shown, func(f shownFrame) bool { return f.number >= begin })
	if first < 1 {
		tb.Errorf("%s: the first picture of the new connection is the %dth of all", p.name, first)
		return x
	}
	newest := -1
	for _, f := range shown[:first] {
		newest = max(newest, f.number)
	}
	x.after, x.stood = shown[first].at.Sub(fault), shown[first].at.Sub(shown[first-1].at)
	x.live = shown[first].at.Sub(sent[shown[first].number])
	x.lost = len(before.sent) - 1 - slices.IndexFunc(before.sent, func(p sentPicture) bool { return p.number == newest })
	x.late = shown[first].number - begin
	if x.live > crossingLimit {
		tb.Errorf("%s: the first new picture is shown %v after it was sent, want %v at most", p.name, x.live, crossingLimit)
	}
	return x
}

func (x crossing) String() string {
	text := fmt.Sprintf("new picture on show after %d ms, %d ms after it was sent (median of all %d ms), the one before stood %d ms; "+
		"%d stalls of %.1f s; left out: %d of the old connection's pictures and %d of the new one's",
		x.after.Milliseconds(), x.live.Milliseconds(), x.latency[0].Milliseconds(), x.stood.Milliseconds(), x.stalls,
		x.stalled.Seconds(), x.lost, x.late)
	if len(x.faults) > 0 {
		text += "; " + x.faultText()
	}
	return text
}

// crossed judges every player over a fault, and enters the figures.
func crossed(tb testing.TB, row string, players []*viewing, fault time.Time, before, after connection, backs int) {
	tb.Helper()
	for _, p := range players {
		x := judgeCrossing(tb, p, fault, before, after, backs)
		figure(tb, row+", in "+p.name, "the first of its pictures was sent after %d ms; %s",
			after.sent[0].at.Sub(fault).Milliseconds(), x)
	}
}

// TestFaultPlayersKilled has real players: the owner is killed with -9 in mid-part, its publisher comes
// to another node after a second, and they go on without a reload.
func TestFaultPlayersKilled(t *testing.T) {
	onlyFull(t)
	f, s, players := startWatched(t, "watched")
	s.encoder.awaitPictures(7, 5*time.Second)
	f.member("a1").kill()
	fault := time.Now()
	awaitPlayed(t, players, s.encoder.await(1, 10*time.Second))
	c := s.encoder.connected()
	crossed(t, "owner killed", players, fault, c[0], c[1], 0)
	v := s.finish()
	v.oneRecording(t)
	v.lostAtMost(t, faultPart+underWay, 0)
}

// TestFaultPlayersZombie stops the owner for 20 s. What its publisher sent to it meanwhile is shown nowhere, though the
// owner reads it when it wakes.
func TestFaultPlayersZombie(t *testing.T) {
	onlyFull(t)
	f, s, players := startWatched(t, "asleep")
	a1 := f.member("a1")
	a1.pause()
	fault := time.Now()
	s.encoder.awaitPictures(30, 10*time.Second)
	s.encoder.move(true)
	awaitPlayed(t, players, s.encoder.await(1, 10*time.Second))
	asleep := time.NewTimer(time.Until(fault.Add(20 * time.Second)))
	<-asleep.C
	a1.resume()
	eventually(t, 10*time.Second, "the zombie knows that it lost its stream", func() bool {
		return strings.Contains(a1.out.String(), "lease lost")
	})
	s.watched(20)
	c := s.encoder.connected()
	late := map[int]bool{}
	for _, p := range c[0].sent {
		if p.at.After(fault) {
			late[p.number] = true
		}
	}
	if len(late) < 30 {
		t.Errorf("only %d pictures were sent to the stopped owner", len(late))
	}
	for _, p := range players {
		for _, picture := range p.shown() {
			if late[picture.number] {
				t.Errorf("%s shows picture %d, which was sent to the stopped owner", p.name, picture.number)
			}
		}
	}
	crossed(t, "owner stopped for 20 s", players, fault, c[0], c[1], 0)
	s.finish()
}

// TestFaultPlayersDrain drains the owner.
func TestFaultPlayersDrain(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{edges: 1})
	s := f.newShow("drained", nil)
	s.begin(500*time.Millisecond, "a1", "a2")
	players := s.faultPlayers()
	fault := time.Now()
	took := f.member("a1").drain()
	awaitPlayed(t, players, s.encoder.await(1, 10*time.Second))
	c := s.encoder.connected()
	crossed(t, fmt.Sprintf("owner drained (exit after %d ms)", took.Milliseconds()), players, fault, c[0], c[1], 0)
	v := s.finish()
	v.oneRecording(t)
	v.lostAtMost(t, underWay)
}

// TestFaultPlayersBackup kills the owner of the primary feed, which does not come back: the backup feed, at the other
// node, takes over.
func TestFaultPlayersBackup(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{edges: 1})
	s := f.newShow("doubled", map[string]any{"backup_after": "1s"})
	s.begin(time.Minute, "a1")
	film := *faultFilm(t)
	film.keys = map[int]int{0: film.keys[60*stampRate]} // so that its pictures are known
	backup := startEncoder(t, &film, time.Second, f.targets(s.key+"?backup=1", "a2")...)
	backup.awaitPictures(stampRate, 10*time.Second)
	players := s.faultPlayers()
	f.member("a1").kill()
	fault := time.Now()
	first := len(film.samples)
	for _, p := range players {
		from := 0
		eventually(t, 30*time.Second, p.name+" shows some seconds of the backup", func() bool {
			newest, _ := p.newest()
			if from == 0 && newest >= 60*stampRate {
				from = newest
			}
			return from > 0 && newest >= from+3*stampRate
		})
		for _, picture := range p.shown() {
			if picture.number >= 60*stampRate {
				first = min(first, picture.number)
			}
		}
	}
	after := backup.connected()[0] // what it sent before it took over went to nobody
	after.sent = slices.DeleteFunc(after.sent, func(p sentPicture) bool { return p.number < first-first%stampGOP })
	// The lease of a node that was killed lasts five seconds. hls.js may go back to where it likes to be meanwhile.
	crossed(t, "owner of the primary feed killed, backup takes over", players, fault, s.encoder.connected()[0], after, 1)
	s.encoder.finish()
	backup.finish()
	s.viewers[0].awaitEnd(40 * time.Second)
	s.viewers[0].awaitAllLoaded(20 * time.Second)
	s.viewers[0].stop()
	s.viewers[0].judgeAll()
	if n := len(s.viewers[0].recordings()); n != 1 {
		t.Errorf("%d recordings, want the one show", n)
	}
}

// listedAfter gives when the first part and the first whole segment of a take were listed, which discontinuities number.
func (w *witness) listedAfter(discontinuity int) (part, segment time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, t := range w.tracks {
		if !strings.HasSuffix(name, "/video.m3u8") {
			continue
		}
		for _, a := range t.arrivals {
			switch {
			case a.discontinuity < discontinuity:
			case a.part >= 0 && part.IsZero():
				part = a.at
			case a.part < 0 && segment.IsZero():
				segment = a.at
			}
		}
	}
	return part, segment
}

// TestFaultTakeOverLatency is what a viewer at an edge sees, many times: the owner is killed, and the first
// part and segment of the next take are listed as soon as they are full.
func TestFaultTakeOverLatency(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{nodes: 3, edges: 1})
	s := f.newShow("moved", nil)
	nodes := []string{"a1", "a2", "a3"}
	s.begin(time.Second, nodes...)
	var parts, segments []time.Duration
	for n := 1; n <= 6; n++ {
		s.encoder.awaitPictures(7+5*n, 5*time.Second) // at another place in the part each time
		owner := f.member(nodes[(n-1)%3])
		owner.kill()
		c := s.encoder.await(n, 15*time.Second)
		s.watched(12)
		eventually(t, 20*time.Second, "the take's first segment is listed", func() bool {
			_, segment := s.viewers[0].listedAfter(n)
			return !segment.IsZero()
		})
		part, segment := s.viewers[0].listedAfter(n)
		parts, segments = append(parts, part.Sub(c.first)), append(segments, segment.Sub(c.first))
		owner.start()
	}
	v := s.finish()
	v.oneRecording(t)
	slices.Sort(parts)
	slices.Sort(segments)
	last := len(parts) - 1
	// An encoder's own delay is here the segment that it has to fill.
	if worst := segments[last]; worst > 2*time.Second+faultSegment {
		t.Errorf("the first new segment is listed %v after the publisher came back", worst)
	}
	figure(t, "first part and segment at an edge, six owners of three nodes killed",
		"part (of %v): %d to %d ms, segment (of %v): %d to %d ms after the publisher's first picture",
		faultPart, parts[0].Milliseconds(), parts[last].Milliseconds(), faultSegment, segments[0].Milliseconds(),
		segments[last].Milliseconds())
}

// TestFaultChecker holds what an edge tells over a take-over against every rule.
func TestFaultChecker(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{edges: 1})
	s := f.newShow("checked", map[string]any{"part_duration": "300ms"}) // so that segments have parts in their middle
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	answer := make(chan *hlscheck.Report, 1)
	checker := hlscheck.New(hlscheck.Config{
		URL: s.viewers[0].bases[0] + s.stream + "/index.m3u8", Slack: 3 * time.Second, Linger: time.Second,
	})
	go func() { answer <- checker.Run(ctx) }()
	s.begin(time.Second, "a1", "a2")
	s.watched(40)
	// A part that was listed in the very moment may not be written: in the middle of one there is none.
	eventually(t, 10*time.Second, "a part is half sent", func() bool {
		sent := s.encoder.connected()[0].sent
		place := sent[len(sent)-1].number % stampGOP
		return place >= 12 && place <= 14
	})
	f.member("a1").kill()
	s.encoder.await(1, 10*time.Second)
	s.watched(60)
	s.encoder.finish()
	show := checkedShow{name: "kill -9"}
	show.judge(t, "edge", false, <-answer, append(slices.Clone(everyShow), "LIF-1", "DSC-4", "DSC-5", "CMF-16"))
	v := s.finish()
	v.oneRecording(t)
}
