package test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// asAPI calls the REST API of one of several.
func (m *member) asAPI() *oxbow {
	return &oxbow{tb: m.fleet.tb, http: m.http, admin: m.admin, out: m.out}
}

// TestClusterDelivery has events come from all processes of a cluster into one log, and from there to a webhook: while
// the API that is delivering is killed with -9, and over a show that is cut off, comes back and ends while SQL is away.
func TestClusterDelivery(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{edges: 1})
	apis := map[string]*member{"api": f.member("api"), "api2": f.newAPI("api2")}
	apis["api2"].start()
	revokeAtTheOther(t, f, apis["api2"])

	receiver := newHookReceiver(t)
	first, killed := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(killed) })
	t.Cleanup(release) // a test that fails before must not wait for who waits for it
	// It reads what comes and does not answer until an API is killed, which is in the middle of a try then.
	receiver.answer = func(_ http.ResponseWriter, _ *http.Request, n int, _ hookEvent) bool {
		select {
		case <-killed:
			return true
		default:
		}
		if n == 1 {
			close(first)
		}
		<-killed
		return n == 1
	}
	f.api.addHook(receiver.url)
	s := f.newShow("delivery", map[string]any{"end_on_unpublish": true})
	s.encoder = startEncoder(t, faultFilm(t), 300*time.Millisecond, f.targets(s.key, "a1")...)
	<-first
	owner := ""
	eventually(t, 10*time.Second, "an API is delivering", func() bool {
		text, err := f.sql.Query(t.Context(), database, "SELECT owner FROM delivery_queues WHERE owner <> ''")
		owner = text
		return err == nil && apis[owner] != nil
	})
	dead := apis[owner]
	other := apis[map[string]string{"api": "api2", "api2": "api"}[owner]]
	dead.kill()
	down := time.Now()
	release()
	f.api = other.asAPI()
	s.watched(12)
	eventually(t, 15*time.Second, "the other API delivers what the killed one had taken up", func() bool {
		receiver.mu.Lock()
		defer receiver.mu.Unlock()
		for _, times := range receiver.taken {
			if times > 1 {
				return true
			}
		}
		return false
	})
	takeover := time.Since(down)

	// An edge that never knew who may watch lets nobody watch, until its API is there.
	f.newEdge("late", dead)
	late := f.member("late")
	late.launch()
	index := "http://" + late.http + s.stream + "/index.m3u8"
	answers := func(want int) func() bool {
		return func() bool {
			status, _, _ := fetch(index, nil)
			return status == want
		}
	}
	eventually(t, 15*time.Second, "the late edge answers 503", answers(http.StatusServiceUnavailable))
	s.watched(4)
	dead.start()
	back := time.Now()
	eventually(t, 15*time.Second, "the late edge plays the show", answers(http.StatusOK))
	recovered := time.Since(back)

	outage := 2 * time.Second
	if full() {
		outage = 10 * time.Second
	}
	f.sql.kill()
	away := time.Now()
	f.member("a1").rtmp.cut()
	s.encoder.await(1, 10*time.Second)
	s.watched(8)
	s.encoder.finish()
	for _, w := range s.viewers {
		w.awaitEnd(20 * time.Second)
	}
	rest := time.NewTimer(time.Until(away.Add(outage)))
	<-rest.C
	f.sql.start()
	sqlBack := time.Now()
	eventually(t, 10*time.Second, "the API has its catalog again", func() bool {
		return f.api.api(http.MethodGet, "/v1/events?limit=1", nil, nil) == http.StatusOK
	})
	v := s.conclude()
	v.oneRecording(t)
	v.brokeOff(t, 1)

	id := v.recordings[0]
	want := []string{
		media.EventLive, media.EventInterrupted, media.EventLive, media.EventEnded, media.EventArchived,
	}
	log := f.api.eventLog()
	if got := typesOf(log, id); !slices.Equal(got, want) {
		t.Errorf("the log has %v, want %v", got, want)
	}
	receiver.await(t, len(log), 20*time.Second)
	arrived := time.Since(sqlBack)
	receiver.hasAll(t, "the receiver", log)
	for _, m := range []*member{f.member("edge1"), late} {
		if status, _, _ := fetch("http://"+m.http+s.stream+"/"+id+"/events.json", nil); status != http.StatusNotFound {
			t.Errorf("events.json at %s: %d, want 404", m.name, status)
		}
	}
	figure(t, "two APIs, the one that delivers killed; a show cut off and ended while SQL is away",
		"the other delivers after %.1f s (lease 3 s); an edge of the dead one plays %d ms after that is back; %d events, all "+
			"arrived %.1f s after SQL was back (away %.1f s)", takeover.Seconds(), recovered.Milliseconds(), len(log), arrived.Seconds(),
		sqlBack.Sub(away).Seconds())
}

// revokeAtTheOther deletes a playback key at an API that the edge does not follow: its tokens play no more, and the
// audit log of either API has what both did.
func revokeAtTheOther(t *testing.T, f *fleet, other *member) {
	t.Helper()
	f.api.createStream("signed", "show", map[string]any{"playback": "signed"})
	var made struct{ KID string }
	keys := "/v1/publishers/signed/playback-keys"
	if status := f.api.api(http.MethodPost, keys, map[string]any{"label": "site"}, &made); status != http.StatusCreated {
		t.Fatalf("make a playback key: %d", status)
	}
	var signed struct{ URL string }
	tokens := strings.Replace(keys, "keys", "tokens", 1)
	body := map[string]any{"stream": "show", "expires_in": "1h"}
	if status := other.asAPI().api(http.MethodPost, tokens, body, &signed); status != http.StatusCreated {
		t.Fatalf("sign a playback token: %d", status)
	}
	answers := func(want int) func() bool {
		return func() bool {
			status, _, _ := fetch("http://"+f.member("edge1").http+signed.URL, nil)
			return status == want
		}
	}
	eventually(t, 10*time.Second, "the token is good for a stream that is not live", answers(http.StatusNotFound))
	begun := time.Now()
	if status := other.asAPI().api(http.MethodDelete, keys+"/"+made.KID, nil, nil); status != http.StatusNoContent {
		t.Fatalf("delete the key: %d", status)
	}
	eventually(t, 5*time.Second, "the token is refused", answers(http.StatusForbidden))
	figure(t, "playback key revoked at an API that the edge does not follow", "its tokens are refused after %d ms",
		time.Since(begun).Milliseconds())
	type row struct{ Operation, Method, Path string }
	var have [2][]row
	for i, api := range []*oxbow{f.api, other.asAPI()} {
		var page struct{ Items []row }
		if status := api.api(http.MethodGet, "/v1/audit?publisher=signed", nil, &page); status != http.StatusOK {
			t.Fatalf("audit log: %d", status)
		}
		have[i] = page.Items
	}
	for _, wanted := range []row{{Method: http.MethodPost, Path: keys}, {Method: http.MethodDelete, Path: keys + "/" + made.KID}} {
		if !slices.ContainsFunc(have[0], func(r row) bool { return r.Method == wanted.Method && r.Path == wanted.Path }) {
			t.Errorf("the audit log has %v and not %v", have[0], wanted)
		}
	}
	if !slices.Equal(have[0], have[1]) {
		t.Errorf("one API's audit log is %v, the other's %v", have[0], have[1])
	}
}
