package test

import (
	"testing"
	"time"
)

// TestFaultRollingRestart ends every ingest node of a cluster in turn with SIGTERM and starts it again, under the load of
// our encoder and of ffmpeg: what an encoder sent after it reconnected is recorded, and no announced segment is lost.
func TestFaultRollingRestart(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{})
	ours, theirs := f.newShow("ours", nil), f.newShow("theirs", nil)
	clip := encodeSource(t, 8, "320x180", "400k")
	ffmpeg := ffmpegInALoop(t, 500*time.Millisecond, clip, f.targets(theirs.key, "a2", "a1")...)
	ours.begin(500*time.Millisecond, "a1", "a2")
	theirs.watched(12)
	var exits []time.Duration
	for _, name := range []string{"a1", "a2"} {
		exits = append(exits, f.member(name).drain())
		f.member(name).start()
		ours.watched(12)
		theirs.watched(12)
	}
	connections := len(ours.encoder.connected())
	if connections < 2 {
		t.Errorf("the encoder was never asked to go: %s", ours.encoder)
	}
	v := ours.finish()
	v.oneRecording(t)
	v.lostAtMost(t, underWay)
	ffmpeg.kill()
	judgeEnded(theirs.viewers)
	theirs.archived(theirs.viewers[0].recordings())
	fresh := theirs.freshEdge()
	for _, w := range theirs.viewers {
		w.verify(w.name+", archived", fresh)
	}
	figure(t, "rolling restart of both nodes under load", "exits after %v; %d connections; %s; longest wait %d ms (ffmpeg's show: %d ms)",
		exits, connections, v.frames, v.longest.Milliseconds(), theirs.viewers[0].longestWait().Milliseconds())
}
