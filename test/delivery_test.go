package test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// await waits until the receiver has taken so many events.
func (r *hookReceiver) await(tb testing.TB, events int, limit time.Duration) {
	tb.Helper()
	eventually(tb, limit, fmt.Sprintf("%d events have arrived", events), func() bool { return r.count() >= events })
}

// hasAll fails the test unless the receiver took every event of the log, of each recording in the log's order, and
// nothing else.
func (r *hookReceiver) hasAll(tb testing.TB, name string, log []media.LogEvent) {
	tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, fault := range r.faults {
		tb.Errorf("%s: %s", name, fault)
	}
	if len(r.taken) != len(log) {
		tb.Errorf("%s took %d events, the log has %d", name, len(r.taken), len(log))
	}
	before := map[media.RecordingID]time.Time{}
	for _, e := range log {
		at, ok := r.arrived[e.ID]
		if !ok {
			tb.Errorf("%s never got %d %s %s", name, e.ID, e.Recording, e.Type)
		} else if at.Before(before[e.Recording]) {
			tb.Errorf("%s got %d %s %s before the one before it", name, e.ID, e.Recording, e.Type)
		}
		before[e.Recording] = at
	}
}

// lateness is how long after an event the receiver took it, the longest of those that happened outside of the outages,
// in which there was nobody to send or to tell.
func (r *hookReceiver) lateness(log []media.LogEvent, outages ...outage) (longest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range log {
		from := e.Time
		for _, o := range outages {
			if at := r.arrived[e.ID]; from.Before(o.to) && at.After(o.from) {
				from = o.to
			}
		}
		longest = max(longest, r.arrived[e.ID].Sub(from))
	}
	return longest
}

// ofVolume says whether an event is told of a cluster's volume: how full it is when a test begins is the machine's.
func ofVolume(e media.LogEvent) bool { return e.Type == media.EventPressure }

// addHook makes a webhook of everybody's events but the volume's, which is an administrator's, and gives its id.
func (o *oxbow) addHook(url string) string {
	o.tb.Helper()
	var hook struct{ ID string }
	events := slices.DeleteFunc(media.LogEventTypes(), func(name string) bool { return ofVolume(media.LogEvent{Type: name}) })
	body := map[string]any{"url": url, "secret": hookSecret, "events": events}
	status := o.api(http.MethodPost, "/v1/webhooks", body, &hook)
	if status != http.StatusCreated {
		o.tb.Fatalf("create webhook: %d", status)
	}
	return hook.ID
}

// eventLog gives the log, oldest first, without what it tells of the volume.
func (o *oxbow) eventLog() []media.LogEvent {
	o.tb.Helper()
	var page struct{ Items []media.LogEvent }
	if status := o.api(http.MethodGet, "/v1/events?order=asc&limit=500", nil, &page); status != http.StatusOK {
		o.tb.Fatalf("event log: %d", status)
	}
	return slices.DeleteFunc(page.Items, ofVolume)
}

// archivedShows counts the recordings that the log has archived.
func archivedShows(log []media.LogEvent) (n int) {
	for i := range log {
		if log[i].Type == media.EventArchived {
			n++
		}
	}
	return n
}

// fourReceivers are a good one, one that answers 500 until its time has come, one that hangs, and one that is slow.
func fourReceivers(t *testing.T, bad time.Duration) (good, mended, hangs, slow *hookReceiver) {
	t.Helper()
	good, mended, hangs, slow = newHookReceiver(t), newHookReceiver(t), newHookReceiver(t), newHookReceiver(t)
	good.answer = func(http.ResponseWriter, *http.Request, int, hookEvent) bool { return true }
	until := time.Now().Add(bad)
	mended.answer = func(w http.ResponseWriter, _ *http.Request, _ int, _ hookEvent) bool {
		fails := time.Now().Before(until)
		if fails {
			w.WriteHeader(http.StatusInternalServerError)
		}
		return !fails
	}
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	hangs.answer = func(_ http.ResponseWriter, req *http.Request, _ int, _ hookEvent) bool {
		select {
		case <-over:
		case <-req.Context().Done():
		}
		return false
	}
	slow.answer = func(_ http.ResponseWriter, req *http.Request, _ int, _ hookEvent) bool {
		late := time.NewTimer(700 * time.Millisecond)
		defer late.Stop()
		select {
		case <-late.C:
			return true
		case <-req.Context().Done():
			return false
		}
	}
	return good, mended, hangs, slow
}

// TestWebhooksOfShows has two shows, and four receivers, of which one is good. The server is killed while the good one
// has an event that it has not answered. Every receiver but the one that hangs gets all that the log has, and the good
// one gets it at once; publishers and viewers go on as without webhooks.
func TestWebhooksOfShows(t *testing.T) {
	t.Parallel()
	needTool(t, "ffmpeg")
	server := newOxbow(t, "--archive-poll", "200ms", "--archive-grace", "1s")
	server.http, server.rtmp = steadyAddress(t), steadyAddress(t)
	server.start("serve")
	settings := map[string]any{
		"archive_delay": "0s", "reconnect_window": "20s", "end_on_unpublish": true, "segment_duration": "1s", "part_duration": "500ms",
	}
	streams := map[string]string{"one": server.createStream("one", "live", settings), "two": server.createStream("two", "live", settings)}
	good, mended, hangs, slow := fourReceivers(t, 4*time.Second)
	// The good one keeps the first word of the second show until the server is killed.
	first, killed := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(killed) })
	t.Cleanup(release) // a test that fails before must not wait for who waits for it
	take := good.answer
	good.answer = func(w http.ResponseWriter, req *http.Request, n int, e hookEvent) bool {
		if n == 2 {
			close(first)
			<-killed
		}
		return take(w, req, n, e)
	}
	for _, r := range []*hookReceiver{hangs, slow, mended, good} {
		server.addHook(r.url)
	}

	source := encodeSource(t, 4, "160x90", "100k")
	viewers, publishers := map[string]*witness{}, map[string]*process{}
	for _, name := range []string{"one", "two"} {
		viewers[name] = startWitness(t, name, "/"+name+"/live", "http://"+server.http)
		publishers[name] = ffmpegInALoop(t, 500*time.Millisecond, source, "rtmp://"+server.rtmp+"/live/"+streams[name])
	}
	<-first
	for _, w := range viewers {
		w.awaitListed(6, 20*time.Second)
	}
	waited := max(viewers["one"].longestWait(), viewers["two"].longestWait())
	down := outage{from: time.Now()}
	server.stop(syscall.SIGKILL)
	release()
	server.start("serve")
	down.to = time.Now()
	for _, w := range viewers {
		w.awaitListed(8, 20*time.Second)
	}
	for _, p := range publishers {
		p.kill()
	}
	for _, w := range viewers {
		w.awaitEnd(20 * time.Second)
		w.awaitAllLoaded(10 * time.Second)
		w.stop()
		w.judgeAll()
		if n := len(w.recordings()); n != 1 {
			t.Errorf("%s: %d recordings were seen, want the one show", w.name, n)
		}
	}
	if limit := leeway(time.Second + faultSlack); waited > limit {
		t.Errorf("a viewer waited %v for something new before the kill, want at most %v", waited, limit)
	}

	eventually(t, 30*time.Second, "both shows are archived", func() bool { return archivedShows(server.eventLog()) == 2 })
	log := server.eventLog()
	for _, r := range []*hookReceiver{good, mended, slow} {
		r.await(t, len(log), 20*time.Second)
	}
	good.hasAll(t, "the good one", log)
	mended.hasAll(t, "the one that failed", log)
	slow.hasAll(t, "the slow one", log)
	if hangs.count() != 0 {
		t.Errorf("the one that hangs took %d events", hangs.count())
	}
	late := good.lateness(log, down)
	if limit := leeway(2*time.Second + faultSlack); late > limit {
		t.Errorf("the good one got an event %v late, want at most %v", late, limit)
	}
	again := 0
	for _, times := range good.taken {
		again += times - 1
	}
	if again == 0 {
		t.Error("what the good one had not answered when the server was killed did not come again")
	}
	for name, w := range viewers {
		checkEventsFile(t, server, "/"+name+"/live/"+w.recordings()[0])
	}
	figure(t, "webhooks of two shows, one of four receivers good, server killed with -9",
		"%d events; lateness: good %d ms, failed for 4 s %d ms, slow %d ms; longest wait of viewers before the kill %d ms", len(log),
		late.Milliseconds(), mended.lateness(log, down).Milliseconds(), slow.lateness(log, down).Milliseconds(), waited.Milliseconds())
	server.stop(syscall.SIGTERM)
}

// checkEventsFile fails the test if viewers can read what the archive has of a recording's events.
func checkEventsFile(t *testing.T, server *oxbow, recording string) {
	t.Helper()
	if text := mustRead(t, server.data+"/archive"+recording+"/events.json"); !strings.Contains(text, media.EventEnded) {
		t.Errorf("the archive has %.200s", text)
	}
	for _, name := range []string{"events.json", "live/events.json", "1/video/events.json", "../" + recording[strings.LastIndexByte(recording, '/')+1:] +
		"/events.json", "%65vents.json", "events.json?token=x"} {
		if status, body := server.try(server.url(recording + "/" + name)); status < 400 || slices.Contains([]int{500, 502}, status) {
			t.Errorf("GET %s/%s: %d %.100s", recording, name, status, body)
		}
	}
	if status, _ := server.try(server.url(recording + "/events.json")); status != http.StatusNotFound {
		t.Errorf("GET %s/events.json: %d, want 404", recording, status)
	}
	out, err := tryRun(t, time.Minute, oxbowBinary, "inspect", server.data+"/archive"+recording)
	if err != nil || strings.Contains(out, "events.json") {
		t.Errorf("inspect: %v\n%s", err, out)
	}
}
