package test

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"
)

// TestBenchWatchesAndMeasures runs the load generators for viewers and for latency on a live stream: every viewer plays,
// every part that they load is known, and each answer is one that they asked for.
func TestBenchWatchesAndMeasures(t *testing.T) {
	t.Parallel()
	source := encodeSource(t, 12, "320x180", "200k")
	clip := filepath.Join(t.TempDir(), "clip.flv")
	run(t, time.Minute, "ffmpeg", "-nostdin", "-v", "error", "-i", source, "-c", "copy", "-f", "flv", clip)
	server := newOxbow(t)
	server.start("serve")
	target := "rtmp://" + server.rtmp + "/live/" + server.createStream("acme", "show", nil)
	stream := server.url("/acme/show/index.m3u8")

	var latency struct {
		Frames  int     `json:"frames"`
		Unknown int     `json:"unknown_parts"`
		Last    float64 `json:"last_p50_ms"`
	}
	text := run(t, time.Minute, oxbowBinary, "bench", "latency", "--json", "--quiet", "--publish", target,
		"--url", stream, "--file", clip, "--duration", "5s")
	if err := json.Unmarshal([]byte(text), &latency); err != nil {
		t.Fatal(err)
	}
	// The clip's end and its begin share a part now and then, and that one is left out.
	if latency.Frames < 30 || latency.Unknown > 1 || latency.Last <= 0 {
		t.Errorf("latency: %s", text)
	}
	publish(t, "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "flv", target)
	var view struct {
		Playing  int            `json:"playing"`
		Parts    int            `json:"parts"`
		Missed   int            `json:"missed"`
		Failures map[string]int `json:"failures"`
	}
	text = run(t, 2*time.Minute, oxbowBinary, "bench", "view", "--json", "--quiet", "--url", stream,
		"--viewers", "50", "--ramp", "1s", "--duration", "4s")
	if err := json.Unmarshal([]byte(text), &view); err != nil {
		t.Fatal(err)
	}
	if view.Playing != 50 || view.Parts < 50 || view.Missed > 0 || len(view.Failures) > 0 {
		t.Errorf("viewers: %s", text)
	}
}
