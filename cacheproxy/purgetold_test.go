package cacheproxy

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// An edge that is cut off from the directory does not hear of a purge: those of its site that did get nothing old of
// it, and neither do its own viewers once it was asked.
func TestPurgedAtOneEdgeIsNotGivenByItsSibling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "e1", "e2")
		time.Sleep(changeTime)
		s.directory.set(func(w http.ResponseWriter, r *http.Request) {
			path := strings.Split(r.URL.Path, "/")
			_, _ = fmt.Fprintf(w, `{"publisher":%q,"stream":%q,"recording":%q,"state":"live","nodes":["http://a"]}`,
				path[4], path[5], path[6])
		})
		path := segmentOf(t, "e2", "e1")
		neighbour := strings.Replace(path, "/video/", "/audio/", 1)
		other := strings.Replace(path, testRec, "01j00000000000000000000001", 1)
		for _, uri := range []string{path, neighbour, other} {
			for _, id := range []string{"e2", "e1"} {
				s.get(t, id, uri)
			}
		}
		s.origin.set(fixed("new", immutable))
		s.edges["e1"].Purge("acme", "show", testRec)
		for range 3 {
			if got := s.get(t, "e1", path).Body.String(); got != "new" {
				t.Errorf("where it was purged: %.20q", got)
			}
			if got := s.get(t, "e2", path).Body.String(); got != "new" {
				t.Errorf("at its sibling: %.20q", got)
			}
			time.Sleep(purgeAgain)
		}
		if got := s.get(t, "e2", neighbour).Body.String(); got != "new" {
			t.Errorf("another track at its sibling: %.20q", got)
		}
		if got := s.get(t, "e2", other).Body.String(); got == "new" {
			t.Error("another recording was purged too")
		}
		purges := testutil.ToFloat64(s.edges["e2"].metrics.purges)
		s.edges["e2"].Purge("acme", "show", testRec) // it hears of it at last
		time.Sleep(time.Minute)
		for n := 1; n < 50; n++ {
			s.get(t, "e1", strings.Replace(path, "/video/", "/video"+strconv.Itoa(n)+"/", 1))
		}
		if more := testutil.ToFloat64(s.edges["e2"].metrics.purges) - purges; more != 2 {
			t.Errorf("purged %v times more, want once, and once again", more)
		}
	})
}

func TestToldPurgesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "e1")
		p, now := s.edges["e1"].Proxy, time.Now()
		for _, lines := range [][]string{
			nil, {""}, {"-1"}, {"x"}, {"1", "2"}, {"99999999999999999999"}, {strconv.Itoa(maxPurgedAge + 1)},
		} {
			p.hearPurge(segPath, lines, now)
		}
		p.hearPurge("", []string{"1"}, now)
		p.hearPurge("/acme", []string{"1"}, now)
		if at := p.purges.Since(segPath); !at.IsZero() {
			t.Errorf("purged at %s", at)
		}
		p.hearPurge(segPath, []string{"1500"}, now)
		p.hearPurge(segPath, []string{"0"}, now) // the same, a moment later
		if at := p.purges.Since(segPath); now.Sub(at) != 1500*time.Millisecond {
			t.Errorf("purged %s ago", now.Sub(at))
		}
		if told := p.tellPurge(segPath, now.Add(time.Second)); len(told) != 1 || told[0] != "2500" {
			t.Errorf("told %q", told)
		}
		if told := p.tellPurge(segPath, now.Add(401*24*time.Hour)); told != nil {
			t.Errorf("told %q of long ago", told)
		}
	})
}
