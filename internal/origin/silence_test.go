package origin

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// An owner that takes requests and answers nothing, not even a check, is left for what storage has; one that only has
// nothing to tell yet is waited for.
func TestRelayLeavesAnOwnerThatIsSilent(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.owner.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	begun := time.Now()
	for range 2 {
		get(t, p.other, testBase+"/1/video/1.m4s", http.StatusOK)
	}
	get(t, p.other, testBase+"/live/video.m3u8", http.StatusOK)
	if took := time.Since(begun); took > relayWait/2 {
		t.Errorf("storage was asked after %v", took)
	}
	if n := metric(t, p.reg, "oxbow_origin_relayed_total"); n < 3 {
		t.Errorf("%f requests were passed on or failed", n)
	}
}

func TestRelayWaitsForAnOwnerThatHasNothingToTellYet(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	var checks atomic.Int64
	p.owner.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			checks.Add(1)
			return
		}
		hold := time.NewTimer(5 * aliveLook / 2)
		defer hold.Stop()
		select {
		case <-hold.C:
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.Header().Set("Cache-Control", "no-store")
			_, _ = w.Write([]byte("at last"))
		case <-r.Context().Done():
		}
	})
	if a := get(t, p.other, testBase+"/live/video.m3u8?_HLS_msn=9&_HLS_part=2", http.StatusOK); string(a.body) != "at last" {
		t.Errorf("%q", a.body)
	}
	if checks.Load() == 0 {
		t.Error("nobody looked whether it is there")
	}
}
