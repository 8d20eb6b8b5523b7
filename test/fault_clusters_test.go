package test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestFaultPublisherMovesToTheOtherCluster has a publisher go on in a cluster that does not have its recording: the
// stream's URL is the new recording's at once, and the old one ends by its window while the stream goes on elsewhere.
func TestFaultPublisherMovesToTheOtherCluster(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{clusters: 2, nodes: 1, edges: 1})
	settings := faultSettings(map[string]any{"reconnect_window": "5s"})
	s := &clusterShow{f: f, stream: "/moved/live", key: f.api.createStream("moved", "live", settings)}
	s.encoder = startEncoder(t, faultFilm(t), time.Second, f.targets(s.key, "a1", "b1")...)
	edge := "http://" + f.member("edge1").http
	answers := func(path, id string) bool {
		resp, err := http.Get(edge + path)
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		return err == nil && resp.StatusCode == http.StatusOK && strings.Contains(resp.Request.URL.Path+string(body), id)
	}
	eventually(t, 30*time.Second, "the first recording is live", func() bool {
		rows := s.rows()
		return len(rows) == 1 && answers(s.stream+"/index.m3u8", rows[0].ID)
	})
	old := s.rows()[0].ID
	s.encoder.awaitPictures(60, 20*time.Second)
	s.encoder.move(false)
	moved := s.encoder.await(1, 20*time.Second)
	var next string
	eventually(t, 30*time.Second, "the stream's URL is the next recording's", func() bool {
		rows := s.rows()
		next = rows[0].ID
		return len(rows) == 2 && next != old && answers(s.stream+"/index.m3u8", next)
	})
	took := time.Since(moved.first)
	if !answers(s.stream+"/"+old+"/index.m3u8", "#EXTM3U") {
		t.Error("the old recording is not served by its cluster")
	}
	eventually(t, 40*time.Second, "the old recording is archived while the stream is live", func() bool {
		rows := s.rows()
		return rows[1].ID == old && rows[1].State == "archived"
	})
	ended := time.Since(moved.first)
	if row := s.rows()[0]; row.ID != next || row.State != "live" {
		t.Errorf("the next recording is %+v", row)
	}
	if !answers(s.stream+"/"+old+"/index.m3u8", "#EXTM3U") {
		t.Error("the old recording is not served from the archive")
	}
	s.encoder.finish()
	s.archived([]string{old, next})
	figure(t, "publisher moves to another cluster", "the stream's URL is the new recording's %d ms after its first picture; "+
		"the old one is archived after %d ms (window 5 s)", took.Milliseconds(), ended.Milliseconds())
}
