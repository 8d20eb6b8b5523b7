package test

import (
	"net/http"
	"testing"
	"time"
)

// TestFailoverDirectory takes the directory from the edges, and brings it back. Who watches sees nothing of it, also
// when the owner is killed meanwhile: the edges know the other nodes.
func TestFailoverDirectory(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{})
	s := f.newShow("known", nil)
	unseen := f.api.createStream("unseen", "live", faultSettings(nil))
	quiet := startEncoder(t, faultFilm(t), time.Second, f.targets(unseen, "a2")...)
	s.begin(time.Second, "a1", "a2")
	var players []*viewing
	away := 3 * time.Second
	if full() {
		players, away = s.faultPlayers(), 15*time.Second
	}
	quiet.awaitPictures(1, 10*time.Second)
	edge, directory := f.member("edge1"), f.member("api").internal
	base := "http://" + edge.http

	o := s.ordeal(players)
	directory.refuse()
	stranger := probe(base + "/unseen/live/index.m3u8")
	if stranger.status != http.StatusServiceUnavailable || stranger.retryAfter == "" {
		t.Errorf("a stream that no viewer of the edge has asked for: %v, want 503 with Retry-After", stranger)
	}
	late := probe(base + s.stream + "/index.m3u8")
	if late.status != http.StatusOK {
		t.Errorf("a viewer who comes while the directory is away: %v", late)
	}
	o.last(away)
	s.watched(4)
	x := o.over()
	x.within(t, faultPart+2*faultSlack)
	figure(t, "directory down for "+away.String(), "%v; a viewer who comes gets %v, one of a stream that the edge does not know %v",
		x, late, stranger)

	o = s.ordeal(players)
	killed := time.Now()
	f.member("a1").kill()
	c := s.encoder.await(1, 10*time.Second)
	s.watched(12)
	if full() {
		awaitPlayed(t, players, c)
	}
	x = o.over()
	x.within(t, c.dialled.Sub(killed)+moveLimit)
	figure(t, "owner killed while the directory is down", "the publisher is back after %d ms; %v", c.dialled.Sub(killed).Milliseconds(), x)

	o = s.ordeal(players)
	directory.pass()
	eventually(t, 10*time.Second, "the edge plays the other stream", func() bool {
		return probe(base+"/unseen/live/index.m3u8").status == http.StatusOK
	})
	plays := time.Since(o.began)
	eventually(t, 20*time.Second, "the edge follows the directory's events", func() bool {
		return edge.metric("oxbow_cacheproxy_events_sure") == 1
	})
	sure := time.Since(o.began)
	s.watched(8)
	x = o.over()
	x.within(t, faultPart+2*faultSlack)
	figure(t, "directory back", "%v; streams that the edge did not know play after %d ms, events are followed after %d ms", x,
		plays.Milliseconds(), sure.Milliseconds())
	quiet.leave()
	s.encoder.finish()
	judgeEnded(s.viewers)
}

// TestFailoverOwnerCut cuts the owner off from everybody, as a switch that fails: nothing is refused, nothing answers.
// Its publisher gives up after a while and goes to the other node.
func TestFailoverOwnerCut(t *testing.T) {
	onlyFull(t)
	f, s, players := startWatched(t, "cut")
	a1 := f.member("a1")
	o := s.ordeal(players)
	a1.isolate()
	o.last(2 * time.Second)
	s.encoder.move(true)
	c := s.encoder.await(1, 10*time.Second)
	awaitPlayed(t, players, c)
	x := o.over()
	x.within(t, c.dialled.Sub(o.began)+moveLimit)
	figure(t, "owner's network cut", "its publisher is at another node after %d ms; %v", c.dialled.Sub(o.began).Milliseconds(), x)
	a1.eachLine((*faultProxy).pass)
	v := s.finish()
	v.oneRecording(t)
}

// TestFailoverOwnerUnreachable takes from the edges, and the other nodes, the way to an owner that goes on recording:
// nobody else has the show. It goes on by itself when the way is back.
func TestFailoverOwnerUnreachable(t *testing.T) {
	onlyFull(t)
	f, s, players := startWatched(t, "unreachable")
	line := f.member("a1").internal
	for _, name := range []string{"silent", "refused"} {
		o := s.ordeal(players)
		if name == "silent" {
			line.hole()
		} else {
			line.refuse()
		}
		o.last(8 * time.Second)
		line.pass()
		healed := time.Now()
		s.watched(4)
		again, _ := s.viewers[0].firstListed(healed)
		s.watched(12)
		x := o.over()
		x.within(t, healed.Sub(o.began)+2*time.Second+faultSlack)
		figure(t, "no way to the owner for 8 s, "+name, "a new part %d ms after the way is back; %v", again.Sub(healed).Milliseconds(), x)
	}
	v := s.finish()
	v.oneRecording(t)
}

// slowLine is a line whose answers come two seconds later.
func slowLine() proxyLine { return proxyLine{delay: time.Second} }

// TestFailoverSlowNode has one node answer two seconds late: the owner of a live show, which nobody can stand in for,
// and then each of two that have a finished recording.
func TestFailoverSlowNode(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{edges: 1, noArchiver: true})
	s := f.newShow("slow", nil)
	s.begin(time.Second, "a1", "a2")
	players := s.faultPlayers()
	nodes := []*member{f.member("a1"), f.member("a2")}
	for i, name := range []string{"the owner", "the other node"} {
		o := s.ordeal(players)
		nodes[i].internal.set(slowLine())
		o.last(15 * time.Second)
		nodes[i].internal.pass()
		s.watched(20)
		x := o.over()
		x.within(t, 2*2*time.Second+faultPart+faultSlack)
		figure(t, name+" of a live show slow by 2 s", "%v", x)
	}
	s.encoder.finish()
	judgeEnded(s.viewers)
	id := s.viewers[0].recordings()[0]
	for i, node := range nodes {
		name := "edge with a slow " + node.name
		f.newEdge(name, f.member("api"))
		f.member(name).start()
		node.internal.set(slowLine())
		worst, median, failed := s.probeAll("http://"+f.member(name).http, id)
		node.internal.pass()
		if failed > 0 || median > time.Second {
			t.Errorf("%s slow: %d of a finished recording's segments failed, median %v", node.name, failed, median)
		}
		figure(t, "one of two nodes that have a recording slow by 2 s: "+[]string{"the first", "the second"}[i],
			"%d failed requests; the slowest segment after %d ms, the median after %d ms", failed, worst.Milliseconds(), median.Milliseconds())
	}
}

// TestFailoverStore has the archive slow by two seconds, silent and away for edges that have a recording and for one
// that has nothing, while another show is live.
func TestFailoverStore(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{nodes: 1, edges: 1})
	old, s := f.newShow("archived", nil), f.newShow("beside", nil)
	old.begin(time.Second, "a1")
	old.watched(12)
	id := old.finish().recordings[0]
	s.begin(time.Second, "a1")
	players := s.faultPlayers()
	warm := "http://" + f.member("edge1").http
	if _, _, failed := old.probeAll(warm, id); failed > 0 {
		t.Errorf("%d segments of the archived recording fail", failed)
	}
	cold := func(name string) *member {
		f.newEdge(name, f.member("api"))
		f.member(name).start()
		return f.member(name)
	}
	slow := cold("edge of a slow archive")
	slow.toS3.set(slowLine())
	began := time.Now()
	index := probe("http://" + slow.http + old.stream + "/" + id + "/index.m3u8")
	worst, median, failed := old.probeAll("http://"+slow.http, id)
	figure(t, "archive slow by 2 s, cold edge", "multivariant playlist %v; the slowest segment after %d ms, the median after %d ms, %d failed; "+
		"all of it after %d ms", index, worst.Milliseconds(), median.Milliseconds(), failed, time.Since(began).Milliseconds())
	if failed > 0 || index.status != http.StatusOK {
		t.Errorf("a slow archive fails: %v, %d segments", index, failed)
	}

	silent := cold("edge of a silent archive")
	silent.toS3.hole()
	index = probe("http://" + silent.http + old.stream + "/" + id + "/index.m3u8")
	again := probe("http://" + silent.http + old.stream + "/" + id + "/index.m3u8")
	silent.toS3.pass()
	healed := time.Now()
	eventually(t, 40*time.Second, "the edge plays when the archive answers again", func() bool {
		return probe("http://"+silent.http+old.stream+"/"+id+"/index.m3u8").status == http.StatusOK
	})
	figure(t, "archive silent, cold edge", "%v, and %v; plays %d ms after it is back", index, again, time.Since(healed).Milliseconds())
	for _, p := range []probed{index, again} {
		if p.status < 500 || p.took > 20*time.Second {
			t.Errorf("what a silent archive alone has: %v", p)
		}
	}

	none := cold("edge without an archive")
	base := "http://" + none.http
	o := s.ordeal(players)
	f.s3.Kill(t)
	index = probe(base + old.stream + "/" + id + "/index.m3u8")
	if index.status != http.StatusServiceUnavailable || index.retryAfter == "" {
		t.Errorf("what the archive alone has, which is away: %v, want 503 with Retry-After", index)
	}
	_, _, failed = old.probeAll(warm, id)
	o.last(75 * time.Second) // playlists would have to be looked at again meanwhile
	worst, _, laterFailed := old.probeAll(warm, id)
	if failed+laterFailed > 0 {
		t.Errorf("what the edge has cached: %d segments fail at once, %d after a minute", failed, laterFailed)
	}
	f.s3.MustStart(t)
	healed = time.Now()
	eventually(t, 40*time.Second, "the cold edge plays when the archive is back", func() bool {
		return probe(base+old.stream+"/"+id+"/index.m3u8").status == http.StatusOK
	})
	back := time.Since(healed)
	x := o.over()
	x.within(t, faultPart+2*faultSlack)
	figure(t, "S3 down for 75 s", "live: %v; cached VOD: %d failed requests, slowest %d ms; uncached: %v, plays %d ms after it is back",
		x, failed+laterFailed, worst.Milliseconds(), index, back.Milliseconds())
	s.finish()
}
