package test

import (
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestSourceOnDemand pulls one server's stream to another for as long as somebody watches, and the recording there has
// the pictures of the source, each of them once.
func TestSourceOnDemand(t *testing.T) {
	t.Parallel()
	source := encodeSource(t, 30, "640x360", "1M")
	want := frameHashes(t, source)
	from, to := newOxbow(t), newOxbow(t)
	from.start("serve")
	to.start("serve")
	key := from.createStream("acme", "show", nil)
	publisher := publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+from.rtmp+"/live/"+key)
	const there = "/acme/show/index.m3u8"
	eventually(t, 15*time.Second, "the source is live", func() bool {
		status, _ := from.try(from.url(there))
		return status == http.StatusOK
	})

	to.createStream("edge", "copy", nil)
	const target = "/v1/publishers/edge/streams/copy/source"
	var row struct {
		State     string `json:"state"`
		LastError string `json:"last_error"`
	}
	put := map[string]any{"url": from.url(there), "mode": "on_demand", "idle_timeout": "10s"}
	if status := to.api(http.MethodPut, target, put, &row); status != http.StatusOK || row.State != "off" {
		t.Fatalf("put source: %d, %+v", status, row)
	}
	eventually(t, 5*time.Second, "the first viewer is held until there is something to play", func() bool {
		status, body := to.try(to.url("/edge/copy/index.m3u8"))
		if status != http.StatusOK {
			t.Logf("%d %s", status, body)
		}
		return status == http.StatusOK
	})
	player := publish(t, "-t", "8", "-i", to.url("/edge/copy/index.m3u8"), "-map", "0:v", "-map", "0:a", "-f", "null", "-")
	if err := player.wait(30 * time.Second); err != nil {
		t.Errorf("the player failed: %v", err)
	}
	if bad := badLines(player.out.String()); len(bad) > 0 {
		t.Errorf("the player complained: %q", bad)
	}
	player.kill()
	id := to.recordings("edge", "copy")[0].ID
	to.waitState(id, "ended", 30*time.Second)
	eventually(t, 5*time.Second, "the source is off", func() bool {
		to.api(http.MethodGet, target, nil, &row)
		return row.State == "off"
	})
	publisher.kill()
	wantLog(t, to, "source let go")

	got := frameHashes(t, to.url("/edge/copy/"+id+"/index.m3u8"))
	// The end is a cut in the order of decoding: up to two pictures may lack that are shown before the last one.
	const reordered = 3
	whole := len(got) - reordered
	if at := slices.Index(want, got[0]); at < 0 || len(got) < 8*25 || at+len(got) > len(want) ||
		!slices.Equal(got[:whole], want[at:at+whole]) ||
		!isSubsequence(got[whole:], want[at+whole:min(at+len(got)+reordered, len(want))]) {
		t.Errorf("the %d pictures recorded are no run of the source's %d (first at %d)", len(got), len(want), at)
	}
	to.stop(syscall.SIGTERM)
}
