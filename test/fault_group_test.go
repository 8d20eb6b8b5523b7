package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFaultGroupKilled kills the node that has the members of a group: they are taken at another node at once, not when
// the dead node's leases have run out, and their show goes on in one recording.
func TestFaultGroupKilled(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{})
	s := f.newShow("group", nil)
	var members []*encoder
	for _, name := range []string{"one", "two"} {
		var made struct{ Key string }
		body := map[string]any{"name": name, "group": "live"}
		if status := f.api.api(http.MethodPost, "/v1/publishers/group/streams", body, &made); status != http.StatusCreated {
			t.Fatalf("create member: %d", status)
		}
		members = append(members, startEncoder(t, faultFilm(t), 500*time.Millisecond, f.targets(made.Key, "a1", "a2")...))
	}
	s.watched(12)
	f.member("a1").kill()
	killed := time.Now()
	for _, e := range members {
		e.await(1, 10*time.Second)
	}
	back := time.Since(killed)
	s.watched(20)
	for _, e := range members {
		if refused := e.refused(); slices.ContainsFunc(refused, func(said string) bool { return strings.Contains(said, "another server") }) {
			t.Errorf("refused: %q", refused)
		}
		e.finish()
	}
	judgeEnded(s.viewers)
	if ids := s.viewers[0].recordings(); len(ids) != 1 {
		t.Errorf("%d recordings %v, want the one show", len(ids), ids)
	}
	figure(t, "node of a group killed", "all members at another node after %d ms; longest wait %d ms",
		back.Milliseconds(), s.viewers[0].longestWait().Milliseconds())
}
