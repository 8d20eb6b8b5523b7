package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// feedRow is what the API tells of one publisher's connection.
type feedRow struct {
	Publisher, Stream, Node, Feed string
	Standby                       bool
}

func (r feedRow) String() string {
	state := "live"
	if r.Standby {
		state = "standby"
	}
	return r.Node + " " + r.Feed + " " + state
}

// feeds gives the connections of the show, of all nodes.
func (s *clusterShow) feeds() (feeds []string) {
	s.f.tb.Helper()
	var page struct{ Items []feedRow }
	if status := s.f.api.api(http.MethodGet, "/v1/sessions", nil, &page); status != http.StatusOK {
		s.f.tb.Fatalf("list sessions: %d", status)
	}
	for _, r := range page.Items {
		if "/"+r.Publisher+"/"+r.Stream == s.stream {
			feeds = append(feeds, r.String())
		}
	}
	return feeds
}

// awaitFeeds waits until the show's connections are these: who is live, then the standby.
func (s *clusterShow) awaitFeeds(want ...string) {
	s.f.tb.Helper()
	var have []string
	eventually(s.f.tb, 15*time.Second, fmt.Sprintf("the connections of %s are %q", s.stream, want), func() bool {
		have = s.feeds()
		return slices.Equal(have, want)
	})
}

// discontinuities counts those of an archived recording's video.
func (s *clusterShow) discontinuities(recording string) int {
	s.f.tb.Helper()
	text, err := os.ReadFile(filepath.Join(s.f.bucketFolder(), s.stream, recording, "video.m3u8"))
	if err != nil {
		s.f.tb.Error(err)
	}
	return strings.Count(string(text), "#EXT-X-DISCONTINUITY\n")
}

// TestFaultStandby has the primary feed at one node and the backup at another: the backup takes over from a primary that
// is silent, stays live when that comes back, and gives way when the API is told to switch.
func TestFaultStandby(t *testing.T) {
	onlyFull(t)
	const backupAfter = time.Second
	f := startFleet(t, clusterConfig{})
	s := f.newShow("standby", map[string]any{"backup_after": backupAfter.String()})
	s.begin(3*time.Second, "a1") // it comes back late, so that the switch is for its silence
	backup := startEncoder(t, faultFilm(t), time.Second, f.targets(s.key, "a2")[0]+"?backup=1")
	s.awaitFeeds("a1 primary live", "a2 backup standby")
	s.encoder.move(true) // its connection stays, without a word
	s.awaitFeeds("a2 backup live", "a1 primary standby")
	s.watched(12)
	path := "/v1/publishers" + strings.Replace(s.stream, "/live", "/streams/live", 1) + "/switch"
	eventually(t, 5*time.Second, "the switch is taken", func() bool { // the standby may wait for its key frame yet
		return f.api.api(http.MethodPost, path, map[string]any{"feed": "primary"}, nil) < http.StatusBadRequest
	})
	s.awaitFeeds("a1 primary live")
	s.watched(12)
	backup.leave()
	s.encoder.finish()
	judgeEnded(s.viewers)
	ids := s.viewers[0].recordings()
	s.archived(ids)
	for _, w := range s.viewers {
		w.verify(w.name+", archived", w.bases[0])
	}
	if len(ids) != 1 {
		t.Fatalf("%d recordings %v, want the one show", len(ids), ids)
	}
	s.viewers[0].verifyBucket(f.bucketFolder(), ids[0], func(string) bool { return false })
	if n := s.discontinuities(ids[0]); n != 2 {
		t.Errorf("%d discontinuities, want one for each of two switches", n)
	}
	longest := max(s.viewers[0].longestWait(), s.viewers[1].longestWait())
	if limit := backupAfter + 2*faultSegment + faultSlack; longest > limit {
		t.Errorf("a viewer waited %v for something new, want at most %v", longest, limit)
	}
	figure(t, "hot standby on another node, backup_after "+backupAfter.String(), "longest wait %d ms over a silent primary and a switch back",
		longest.Milliseconds())
}
