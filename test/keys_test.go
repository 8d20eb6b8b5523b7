package test

import (
	"net/http"
	"testing"
	"time"
)

// TestKeysRotateWhileLive has a stream's keys come and go while it is live: another key's end touches nobody, a rotated
// key opens the stream until its grace is over and then drops who came with it, and the new key goes on with the show.
func TestKeysRotateWhileLive(t *testing.T) {
	t.Parallel()
	source := encodeSource(t, 10, "320x180", "300k")
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"reconnect_window": "1m"})
	const stream = "/v1/publishers/acme/streams/show"
	type keyRow struct {
		ID    string
		Key   string
		InUse *bool      `json:"in_use"`
		Used  *time.Time `json:"last_used_at"`
	}
	must := func(want int, method, path string, in, out any) {
		t.Helper()
		if status := server.api(method, path, in, out); status != want {
			t.Fatalf("%s %s: %d, want %d", method, path, status, want)
		}
	}
	send := func(key string) *process {
		return publish(t, "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "flv",
			"rtmp://"+server.rtmp+"/live/"+key)
	}
	type session struct {
		KeyID     string    `json:"key_id"`
		StartedAt time.Time `json:"started_at"`
	}
	// came waits for a session with a key that began after another.
	came := func(what, id string, after time.Time) (now session) {
		t.Helper()
		eventually(t, 20*time.Second, what, func() bool {
			now = session{}
			return server.api(http.MethodGet, stream+"/session", nil, &now) == http.StatusOK && now.KeyID == id &&
				now.StartedAt.After(after)
		})
		return now
	}
	var listed struct{ Items []keyRow }
	must(http.StatusOK, http.MethodGet, stream+"/keys", nil, &listed)
	first := listed.Items[0].ID
	var other keyRow
	must(http.StatusCreated, http.MethodPost, stream+"/keys", map[string]any{"label": "other"}, &other)

	sent := time.Now()
	steady := send(key)
	began := came("the show is live", first, time.Time{})
	// Within it the old key is to open the stream once more, however slow the machine is.
	grace := max(6*time.Second, 5*time.Since(sent)).Round(time.Second)
	must(http.StatusOK, http.MethodGet, stream+"/keys", nil, &listed)
	for _, k := range listed.Items {
		if k.InUse == nil || *k.InUse != (k.ID == first) {
			t.Errorf("key %s, of the session with %s: in use %v", k.ID, first, k.InUse)
		}
	}
	must(http.StatusNoContent, http.MethodDelete, stream+"/keys/"+other.ID, nil, nil)

	var rotated keyRow
	over := time.Now().Add(grace)
	must(http.StatusCreated, http.MethodPost, stream+"/keys/"+first+"/rotate", map[string]any{"grace": grace.String()},
		&rotated)
	if now := came("the show goes on", first, time.Time{}); !now.StartedAt.Equal(began.StartedAt) || steady.over() {
		t.Errorf("the session of %v was dropped: now %+v", began.StartedAt, now)
	}
	again := send(key)
	came("the old key opens the stream in its grace", first, began.StartedAt)
	if err := again.wait(20 * time.Second); err == nil {
		t.Error("who came with the old key left by itself")
	}
	if left := time.Until(over); left > 0 {
		t.Errorf("who came with the old key was dropped %v before the end of its grace", left)
	}
	wantIn(t, "ffmpeg's output", again.out.String(), "has expired")
	must(http.StatusOK, http.MethodGet, stream+"/keys", nil, &listed)
	if used := listed.Items[0].Used; used == nil || used.Before(began.StartedAt.Add(-time.Minute)) {
		t.Errorf("the old key was used last at %v", used)
	}
	wantLog(t, server, "publisher left", "key expired")
	refused := send(key)
	if err := refused.wait(20 * time.Second); err == nil {
		t.Error("the old key was not refused")
	}
	wantLog(t, server, "publish refused", "key expired")

	last := send(rotated.Key)
	came("the new key opens the stream", rotated.ID, began.StartedAt)
	if shows := server.recordings("acme", "show"); len(shows) != 1 {
		t.Errorf("%d recordings, want the one that goes on", len(shows))
	}
	must(http.StatusNoContent, http.MethodDelete, stream+"/keys/"+rotated.ID, nil, nil)
	if err := last.wait(20 * time.Second); err == nil {
		t.Error("who came with the revoked key left by itself")
	}
	wantLog(t, server, "publisher left", "key revoked")
}
