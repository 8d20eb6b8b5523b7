package test

import (
	"os"
	"strings"
	"testing"
	"time"
)

// moveLimit is how long after the encoder's first word to another node viewers may wait for something new: the take-over,
// a part and its key frame, the edge's look whether the recording moved from a node that hangs, and slack.
const moveLimit = 2*time.Second + faultPart + time.Second + faultSlack

// faultSlack is how much longer than by design a busy machine may take.
const faultSlack = time.Second

// full says that all rows are wanted, not only the quick ones.
func full() bool { return os.Getenv("OXBOW_MATRIX") == "full" }

// onlyFull leaves a row to make e2e.
func onlyFull(t *testing.T) {
	t.Helper()
	if !full() {
		t.Skip("a row of make e2e")
	}
	t.Parallel()
}

// TestFaultIngestKilled: the owner is killed with -9 in mid-part, the publisher reconnects to
// another node after a second, and players go on without a reload.
func TestFaultIngestKilled(t *testing.T) {
	t.Parallel()
	f := startFleet(t, clusterConfig{})
	s := f.newShow("killed", nil)
	s.begin(time.Second, "a1", "a2")
	s.encoder.awaitPictures(7, 5*time.Second)
	killed := time.Now()
	f.member("a1").kill()
	s.encoder.await(1, 10*time.Second)
	s.watched(20)
	part, segment := s.resumed(1)
	v := s.finish()
	v.oneRecording(t)
	if full() { // a machine that stands still for seconds makes more, and at least one is made by the kill
		v.brokeOff(t, 1)
	} else if v.breaks == 0 {
		t.Error("no discontinuity tells of the kill")
	}
	v.lostAtMost(t, leeway(faultPart+underWay), 0)
	v.waitedAtMost(t, leeway(v.connected[1].dialled.Sub(killed)+moveLimit))
	// The new connection's first segment is a segment long, which is the encoder's own delay.
	if segment > leeway(2*time.Second+faultSegment) {
		t.Errorf("the first new segment is listed %v after the encoder came back, want 2 s and a segment at most", segment)
	}
	figure(t, "ingest killed in mid-part, publisher on another node after 1 s",
		"first part %d ms and first segment (of %v) %d ms after the encoder's first picture; %s; %d gaps of %.1f s; longest wait %d ms",
		part.Milliseconds(), faultSegment, segment.Milliseconds(), v.frames, v.gaps, v.gapSeconds, v.longest.Milliseconds())
}

// TestFaultNodeGone takes a node from the network before it ends, as a loss of power does: nobody is told that its
// connections are over.
func TestFaultNodeGone(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{})
	s := f.newShow("gone", nil)
	s.begin(time.Second, "a1", "a2")
	a1 := f.member("a1")
	a1.isolate()
	a1.kill()
	gone := time.Now()
	s.encoder.move(true) // encoders give a dead connection up after a while of their own
	s.encoder.await(1, 10*time.Second)
	s.watched(20)
	part, _ := s.resumed(1)
	v := s.finish()
	v.oneRecording(t)
	v.brokeOff(t, 1)
	v.lostAtMost(t, faultPart+underWay, 0)
	c := v.connected[1]
	v.waitedAtMost(t, c.dialled.Sub(gone)+moveLimit)
	figure(t, "ingest node gone from the network",
		"first part %d ms after the encoder's first picture, which came %d ms after the fault; %s; longest wait %d ms",
		part.Milliseconds(), c.first.Sub(gone).Milliseconds(), v.frames, v.longest.Milliseconds())
}

// TestFaultZombieOwner: the owner is stopped for 20 s while its publisher goes on to send to it, and then
// moves. When it wakes it stops by itself, and what it was sent late is in no playlist and in no archive.
func TestFaultZombieOwner(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{})
	s := f.newShow("zombie", nil)
	s.begin(time.Second, "a1", "a2")
	a1 := f.member("a1")
	a1.pause()
	paused := time.Now()
	s.encoder.awaitPictures(30, 10*time.Second) // into its socket
	s.encoder.move(true)
	moved := s.encoder.await(1, 10*time.Second)
	s.watched(20)
	asleep := time.NewTimer(time.Until(paused.Add(20 * time.Second)))
	<-asleep.C
	atZombie := startWitness(t, "viewer at the zombie", s.stream, "http://"+a1.internal.address)
	a1.resume()
	woken := time.Now()
	eventually(t, 10*time.Second, "the zombie knows that it lost its stream", func() bool {
		return strings.Contains(a1.out.String(), "lease lost")
	})
	stopped := time.Since(woken)
	s.watched(20)
	v := s.finish()
	atZombie.stop()
	atZombie.judgeAll()
	atZombie.agreeWith(s.viewers[0])
	atZombie.sameSegmentsAs(s.viewers[0])
	v.oneRecording(t)
	v.brokeOff(t, 1)
	v.lostAtMost(t, moved.dialled.Sub(paused)+faultPart+underWay, 0)
	v.waitedAtMost(t, moved.dialled.Sub(paused)+moveLimit)
	late := 0
	for _, p := range v.connected[0].sent {
		if p.at.After(paused) {
			late++
		}
	}
	if tail := v.frames.tails[0].missing; tail < late-int(underWay.Seconds()*stampRate) {
		t.Errorf("%d pictures were sent to the stopped owner, and only %d of its pictures are missing", late, tail)
	}
	figure(t, "zombie owner, stopped for 20 s", "gives up %d ms after it wakes; %d late pictures, none recorded; %s; longest wait %d ms",
		stopped.Milliseconds(), late, v.frames, v.longest.Milliseconds())
}

// TestFaultEdgeKilled kills an edge: a player goes on through the other one, with the same URLs and bytes.
func TestFaultEdgeKilled(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{nodes: 1})
	s := f.newShow("edges", nil)
	edges := []*member{f.member("edge1"), f.member("edge2")}
	player := startWitness(t, "player of both edges", s.stream, "http://"+edges[0].http, "http://"+edges[1].http)
	s.viewers[0].stop()       // it knows the first edge only
	s.viewers = s.viewers[1:] // which is killed
	s.viewers = append(s.viewers, player)
	s.begin(time.Second, "a1")
	edges[0].kill()
	killed := time.Now()
	s.watched(20)
	part, _ := player.firstListed(killed)
	edges[0].start()
	v := s.finish()
	v.oneRecording(t)
	v.lostAtMost(t, 0)
	figure(t, "edge killed", "the player has new media %d ms later by way of the other edge; %s; longest wait %d ms",
		part.Sub(killed).Milliseconds(), v.frames, v.longest.Milliseconds())
}
