package test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestQualityOfMovingViewers has two edges: players are spread by steering, stand still while an edge and then the
// cluster's node does, and leave an edge that drains. What the API adds up of both edges is held against what the players know of themselves.
func TestQualityOfMovingViewers(t *testing.T) {
	onlyFull(t)
	const viewers, ttl = 40, 2 * time.Second
	f, first, second := startSteered(t, ttl, func(string) []string { return []string{"--drain-timeout", "30s"} })
	s := &clusterShow{f: f, stream: "/moves/live", key: f.api.createStream("moves", "live", faultSettings(nil))}
	s.encoder = startEncoder(t, faultFilm(t), time.Second, f.targets(s.key, "a1")...)
	index := "http://" + first.http + s.stream + "/index.m3u8"
	eventually(t, 30*time.Second, "the stream is live, and steered", func() bool {
		status, text, _ := fetch(index, nil)
		return status == http.StatusOK && bytes.Contains(text, []byte("#EXT-X-CONTENT-STEERING:"))
	})
	passed(t, 5*time.Second) // of heartbeats
	before := f.api.viewing("moves", "live")

	c := newChild(t, "players")
	if err := c.start(exec.Command(oxbowBinary, "bench", "view", "--player", "--json", "--quiet", "--cmcd", "--measured",
		"--url", index, "--viewers", "40", "--ramp", "4s", "--duration", "10m")); err != nil {
		t.Fatal(err)
	}
	passed(t, 12*time.Second)
	// Who stalls goes to the other edge, and is back in seconds: a stall is told at one of both.
	for _, m := range []*member{first, f.member("a1")} {
		m.pause()
		passed(t, 3*time.Second)
		m.resume()
		passed(t, 10*time.Second)
	}
	second.drain()
	passed(t, 8*time.Second)
	c.stop(syscall.SIGINT, 10*time.Second)
	var truth struct {
		Viewers, Stalls int
		StalledMS       float64 `json:"stalled_ms"`
		Bytes           int64
		Moved           int `json:"moved_viewers"`
		Each            []struct {
			CameMS, LeftMS int64
			StartMS        float64 `json:"start_ms"`
			SteerBytes     int64   `json:"steering_bytes"`
		}
	}
	text := c.out.String()
	if err := json.NewDecoder(strings.NewReader(text[max(strings.Index(text, "{\n"), 0):])).Decode(&truth); err != nil {
		t.Fatalf("players: %v in %.500s", err, text)
	}
	startups, startup := 0, 0.0
	for _, v := range truth.Each {
		truth.Bytes -= v.SteerBytes
		if v.StartMS >= 0 {
			startups++
			startup += v.StartMS
		}
	}
	eventually(t, 40*time.Second, "all viewers have left", func() bool {
		<-time.After(300 * time.Millisecond)
		return f.api.viewing("moves", "live").Viewers == 0
	})
	passed(t, 12*time.Second) // who has left before the first media is told of behind that
	got := f.api.viewing("moves", "live")
	t.Logf("%d moved; %d stalls of %.1f s", truth.Moved, truth.Stalls, truth.StalledMS/1000)
	if truth.Stalls < viewers/4 {
		t.Errorf("%d stalls: the pauses were not felt", truth.Stalls)
	}
	if truth.Moved < viewers/4 {
		t.Errorf("%d of %d moved", truth.Moved, viewers)
	}
	within(t, "starts", float64(got.Total.Starts-before.Total.Starts), viewers)
	within(t, "startups", float64(got.Total.Startups), float64(startups))
	startsWithin(t, got.Total.StartupMS, startup/float64(startups))
	within(t, "bytes", float64(got.Total.Bytes-before.Total.Bytes), float64(truth.Bytes))
	within(t, "stalls", float64(got.Total.Stalls), float64(truth.Stalls))
	within(t, "stalled, s", got.Total.StalledS, truth.StalledMS/1000)
}
