package test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// goneWithin is how long an edge may answer for a recording that was deleted.
const goneWithin = 5 * time.Second

// eventLine stands between an edge and the directory, and can keep the events from what passes.
type eventLine struct {
	address string

	mu     sync.Mutex
	ctx    context.Context // of the streams under way
	cancel context.CancelFunc
	mute   bool // streams are open and say nothing
	broken bool // they are refused
}

func newEventLine(tb testing.TB, directory string) *eventLine {
	tb.Helper()
	l := &eventLine{}
	l.set(false, false)
	target := &url.URL{Scheme: "http", Host: directory}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		FlushInterval: -1,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/internal/v1/events" {
			proxy.ServeHTTP(w, r)
			return
		}
		l.mu.Lock()
		ctx, mute, broken := l.ctx, l.mute, l.broken
		l.mu.Unlock()
		switch {
		case broken:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case !mute:
			passing, stop := context.WithCancel(r.Context())
			defer stop()
			defer context.AfterFunc(ctx, stop)()
			defer func() {
				if err, ok := recover().(error); ok && !errors.Is(err, http.ErrAbortHandler) {
					panic(err)
				}
			}()
			proxy.ServeHTTP(w, r.WithContext(passing))
			l.mu.Lock()
			mute = l.mute
			l.mu.Unlock()
			if !mute {
				return
			}
		default:
			w.Header().Set("Content-Type", "text/event-stream")
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	tb.Cleanup(func() {
		l.set(false, true)
		server.CloseClientConnections()
		server.Close()
	})
	l.address = server.Listener.Addr().String()
	return l
}

// set ends the streams under way: mute, what is read of them is silence.
func (l *eventLine) set(mute, broken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.cancel()
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.mute, l.broken = mute, broken
}

// showPaths is something of every kind.
func showPaths(stream, id string) []string {
	base := "/acme/" + stream + "/" + id
	return []string{
		base + "/index.m3u8", base + "/video.m3u8", base + "/audio.m3u8", base + "/live/video.m3u8",
		base + "/1/video/init.mp4", base + "/1/audio/init.mp4", base + "/1/video/3.m4s", base + "/1/audio/3.m4s",
		base + "/1/video/4.m4s", base + "/video.iframes.m3u8", base + "/index.m3u8?start=0&end=4",
		base + "/video.m3u8?start=0&end=4", base + "/recording.mp4", base + "/recording.mp4?start=0&end=4",
		base + "/thumbnail.jpg", base + "/thumbnails.vtt", base + "/sprite-1.jpg",
	}
}

// pictureOf says whether a path is of what ffmpeg makes.
func pictureOf(path string) bool {
	name := path[strings.LastIndexByte(path, '/')+1:]
	return strings.HasPrefix(name, "thumbnail") || strings.HasPrefix(name, "sprite")
}

// streamPaths are the stream's own, which lead to its latest recording.
func streamPaths(stream string) []string {
	return []string{"/acme/" + stream + "/index.m3u8", "/acme/" + stream + "/thumbnail.jpg"}
}

// shownClip is a clip with what it is loaded by.
type shownClip struct {
	id    string
	paths []string
}

// clipOf makes a clip of a recording's first seconds, and waits until it is archived.
func clipOf(tb testing.TB, api *oxbow, stream, id string) shownClip {
	tb.Helper()
	var made recording
	if status := api.api(http.MethodPost, "/v1/recordings/"+id+"/clips", map[string]any{"start": 0, "end": 8}, &made); status != http.StatusCreated {
		tb.Fatalf("clip: %d", status)
	}
	api.waitState(made.ID, "archived", time.Minute)
	base := "/acme/" + stream + "/" + made.ID
	return shownClip{id: made.ID, paths: []string{
		base + "/index.m3u8", base + "/video.m3u8", base + "/1/video/init.mp4", base + "/1/video/1.m4s",
		base + "/1/audio/2.m4s", base + "/recording.mp4",
	}}
}

// TestDeletionReachesEveryEdge deletes archived recordings, by the API and by retention: every edge answers 410 within
// five seconds, for what it has cached too, with and without the stream of events, and the bucket is empty. What is held
// is deleted by neither.
func TestDeletionReachesEveryEdge(t *testing.T) {
	t.Parallel()
	f := startFleet(t, clusterConfig{nodes: 1, edges: 2, noArchiver: true})
	api, third := f.member("api"), f.newMember("edge3", "edge", false)
	line := newEventLine(t, api.internal.address)
	third.http = steadyAddress(t)
	third.useArchive()
	third.args = append(third.args, "--http", third.http, "--directory", "http://"+line.address, "--node", third.name,
		"--drain-timeout", "0s")
	third.start()
	edges := []*member{f.member("edge1"), f.member("edge2"), third}

	film := shootFilm(t, "128x72", "40k")
	root := openRecordings(t, f.recordings("a"))
	streams := []string{"asked", "aged", "held", "refused", "mute"}
	ids := make(map[string]string)
	for i, stream := range streams {
		settings := map[string]any{"archive_delay": "0s"}
		if i == 0 {
			f.api.createStream("acme", stream, settings)
		} else if status := f.api.api(http.MethodPost, "/v1/publishers/acme/streams", map[string]any{"name": stream}, nil); status >= 300 {
			t.Fatalf("create stream: %d", status)
		}
		ids[stream] = string(film.show(t, root, media.StreamPath{Publisher: "acme", Stream: stream}, 2))
	}
	f.list("a")
	f.member("a-archiver").start()
	for _, stream := range streams {
		f.api.waitState(ids[stream], "archived", time.Minute)
	}
	eventually(t, time.Minute, "the local copies are gone", func() bool {
		found, _ := filepath.Glob(filepath.Join(f.recordings("a"), "acme", "*", "*", "recording.json"))
		return len(found) == 0
	})
	for _, edge := range edges {
		eventually(t, 10*time.Second, edge.name+" follows the events", func() bool {
			return edge.metric("oxbow_cacheproxy_events_sure") == 1
		})
	}
	load := func(paths []string) {
		t.Helper()
		for _, edge := range edges {
			for _, path := range paths {
				for range 2 { // the second comes out of the cache
					status, body, _ := fetch("http://"+edge.http+path, nil)
					if status == http.StatusNotFound && pictureOf(path) && !full() {
						continue // archiving goes on without pictures where a busy machine has no processor time for them
					}
					if status != http.StatusOK {
						t.Fatalf("%s: %s: %d %.200s", edge.name, path, status, body)
					}
				}
			}
		}
	}
	play := func(stream string) {
		t.Helper()
		load(showPaths(stream, ids[stream]))
		load(streamPaths(stream))
	}
	// gone waits until all is 410 at an edge, and sees that it stays so.
	gone := func(what string, paths []string, began time.Time) {
		t.Helper()
		for _, edge := range edges {
			for _, path := range paths {
				for status := 0; status != http.StatusGone; status, _, _ = fetch("http://"+edge.http+path, nil) {
					if time.Since(began) > leeway(goneWithin) {
						t.Fatalf("%s: %s: %s is %d after %s", what, edge.name, path, status, time.Since(began))
					}
				}
			}
			figure(t, "deletion, "+what, "%s: 410 for all after %d ms", edge.name, time.Since(began).Milliseconds())
		}
		for _, edge := range edges {
			for _, path := range paths {
				if status, _, _ := fetch("http://"+edge.http+path, nil); status != http.StatusGone {
					t.Errorf("%s: %s: %s is %d again", what, edge.name, path, status)
				}
			}
		}
	}
	// empty waits until a stream's own URLs lead nowhere.
	empty := func(stream string, began time.Time) {
		t.Helper()
		for _, edge := range edges {
			for _, path := range streamPaths(stream) {
				for status := 0; status != http.StatusNotFound; status, _, _ = fetch("http://"+edge.http+path, nil) {
					if time.Since(began) > leeway(goneWithin) {
						t.Fatalf("%s: %s is %d after %s", edge.name, path, status, time.Since(began))
					}
				}
			}
		}
	}
	remove := func(stream string) (began time.Time) {
		t.Helper()
		play(stream)
		began = time.Now()
		if status := f.api.api(http.MethodDelete, "/v1/recordings/"+ids[stream], nil, nil); status >= 300 {
			t.Fatalf("delete: %d", status)
		}
		return began
	}
	hold := "/v1/recordings/" + ids["held"]
	if status := f.api.api(http.MethodPatch, hold, map[string]any{"keep": true}, nil); status >= 300 {
		t.Fatalf("hold: %d", status)
	}

	clip := clipOf(t, f.api, "asked", ids["asked"])
	load(clip.paths)
	gone("by the API", showPaths("asked", ids["asked"]), remove("asked"))

	line.set(false, true)
	gone("the stream of events refused", showPaths("refused", ids["refused"]), remove("refused"))
	line.set(false, false)
	eventually(t, 15*time.Second, "edge3 follows the events again", func() bool {
		return third.metric("oxbow_cacheproxy_events_sure") == 1
	})
	play("mute")
	line.set(true, false)
	gone("the stream of events silent", showPaths("mute", ids["mute"]), remove("mute"))
	line.set(false, false)

	play("aged")
	began := time.Now() // both ended long ago: they are due with the change
	for _, stream := range []string{"held", "aged"} {
		if status := f.api.api(http.MethodPatch, "/v1/publishers/acme/streams/"+stream, map[string]any{"retention": "1s"}, nil); status >= 300 {
			t.Fatalf("retention: %d", status)
		}
	}
	gone("by retention", showPaths("aged", ids["aged"]), began)
	empty("aged", began)

	load(clip.paths) // the show that it is of is gone
	began = time.Now()
	if status := f.api.api(http.MethodDelete, "/v1/recordings/"+clip.id, nil, nil); status >= 300 {
		t.Fatalf("delete the clip: %d", status)
	}
	gone("a clip", clip.paths, began)
	empty("asked", began)
	f.api.waitGone(clip.id, 30*time.Second)

	if status := f.api.api(http.MethodDelete, hold, nil, nil); status != http.StatusConflict {
		t.Errorf("delete what is held: %d", status)
	}
	for _, stream := range streams {
		if stream != "held" {
			f.api.waitGone(ids[stream], 30*time.Second)
		}
		found, _ := filepath.Glob(filepath.Join(f.bucketFolder(), "acme", stream, "*", "*"))
		if (stream == "held") != (len(found) > 0) {
			t.Errorf("%s: in the bucket: %v", stream, found)
		}
	}
	play("held")
	third.stop(syscall.SIGTERM, memberStop) // its way to the directory is the test's own
	eventually(t, memberStop, "edge3 leaves the list", func() bool {
		return f.api.api(http.MethodGet, "/v1/nodes/edge3", nil, nil) == http.StatusNotFound
	})
	f.driveNodes(t)
}
