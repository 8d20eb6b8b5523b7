package test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// countedStore stands between an edge and the S3 server, and notes what is asked for.
type countedStore struct {
	address string

	mu    sync.Mutex
	asked []storeRequest
}

type storeRequest struct {
	method, file, span string
	conditional        bool
}

func newCountedStore(tb testing.TB, endpoint, folder string) *countedStore {
	tb.Helper()
	c := &countedStore{}
	target, err := url.Parse(endpoint)
	if err != nil {
		tb.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if file, ok := strings.CutPrefix(r.URL.Path, folder); ok {
			c.mu.Lock()
			c.asked = append(c.asked, storeRequest{
				method: r.Method, file: file, span: r.Header.Get("Range"), conditional: r.Header.Get("If-None-Match") != "",
			})
			c.mu.Unlock()
		}
		proxy.ServeHTTP(w, r)
	}))
	tb.Cleanup(server.Close)
	c.address = server.Listener.Addr().String()
	return c
}

// take gives what was asked for since the last call: how often, by method, file and range.
func (c *countedStore) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := make(map[string]int)
	for _, r := range c.asked {
		name := r.method + " " + r.file
		if r.span != "" {
			name += " " + r.span
		}
		if r.conditional {
			name += " if changed"
		}
		counts[name]++
	}
	c.asked = nil
	return counts
}

// whole takes what was read whole out of the counts, and gives it; ranges stay.
func whole(counts map[string]int) map[string]int {
	all := make(map[string]int)
	for name, n := range counts {
		if !strings.Contains(name, " bytes=") {
			all[name] = n
			delete(counts, name)
		}
	}
	return all
}

// TestArchivedPlaybackReadsWhatItNeeds counts what an edge reads of a bucket: of a recording its manifest and indexes
// once, whatever the number of viewers, and of media each block once, whatever is asked for and how.
func TestArchivedPlaybackReadsWhatItNeeds(t *testing.T) {
	t.Parallel()
	f := startFleet(t, clusterConfig{nodes: 1, edges: 1, noArchiver: true})
	film := shootFilm(t, "128x72", "40k")
	f.api.createStream("acme", "show", map[string]any{"archive_delay": "0s"})
	const times = 10
	id := string(film.show(t, openRecordings(t, f.recordings("a")), media.StreamPath{Publisher: "acme", Stream: "show"}, times))
	f.list("a")
	f.member("a-archiver").start()
	f.api.waitState(id, "archived", time.Minute)
	eventually(t, time.Minute, "the local copy is gone", func() bool {
		found, _ := filepath.Glob(filepath.Join(f.recordings("a"), "acme", "show", "*", "recording.json"))
		return len(found) == 0
	})

	store := newCountedStore(t, f.s3.Endpoint, "/"+bucket+"/live/acme/show/"+id+"/")
	edge := f.newMember("edge2", "edge", false)
	edge.http = steadyAddress(t)
	edge.args = append(edge.args, "--http", edge.http, "--directory", "http://"+f.member("api").internal.address,
		"--drain-timeout", "0s",
		"--archive", "s3://"+bucket+"/live?region=us-east-1&endpoint=http://"+store.address)
	edge.env = []string{"AWS_ACCESS_KEY_ID=" + f.s3.AccessKey, "AWS_SECRET_ACCESS_KEY=" + f.s3.SecretKey}
	edge.start()
	base := "http://" + edge.http + "/acme/show/" + id
	get := func(path string) {
		t.Helper()
		if status, body, _ := fetch(base+path, nil); status != http.StatusOK || len(body) == 0 {
			t.Errorf("%s: %d, %d bytes", path, status, len(body))
		}
	}

	// A hundred viewers seek into a cold recording at once.
	const middle = times // of twice as many segments
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			get("/index.m3u8")
			for _, track := range []string{"video", "audio"} {
				get("/" + track + ".m3u8")
				get("/1/" + track + "/init.mp4")
				get(fmt.Sprintf("/1/%s/%d.m4s", track, middle))
			}
		})
	}
	wg.Wait()
	counts := store.take()
	t.Logf("100 cold viewers: %v", counts)
	read := whole(counts)
	want := []string{"GET recording.json", "GET 1/video.idx", "GET 1/audio.idx"}
	for _, name := range want {
		if read[name] != 1 {
			t.Errorf("%s: %d times, want once", name, read[name])
		}
		delete(read, name)
	}
	for name, n := range read { // what was told beside the media, if anything was
		if n > 1 || !strings.Contains(name, "metadata") {
			t.Errorf("%s: %d times", name, n)
		}
	}
	if len(counts) != 2 { // each track is less than a block, which has the init section and all segments
		t.Errorf("%d ranges, want 2: %v", len(counts), counts)
	}
	for name, n := range counts {
		if n != 1 {
			t.Errorf("%s: %d times", name, n)
		}
	}

	// All of it is played, sought in and downloaded.
	for _, track := range []string{"video", "audio"} {
		for msn := range 2 * times {
			get(fmt.Sprintf("/1/%s/%d.m4s", track, msn+1))
		}
	}
	frame := http.Header{"Range": {"bytes=0-99"}}
	if status, body, _ := fetch(base+"/1/video/3.m4s", frame); status != http.StatusPartialContent || len(body) != 100 {
		t.Errorf("I-frame: %d, %d bytes", status, len(body))
	}
	get("/recording.mp4")
	counts = store.take()
	for name, n := range whole(counts) {
		if n != 1 || !strings.HasSuffix(name, ".samples") {
			t.Errorf("%s: %d times", name, n)
		}
	}
	if len(counts) > 0 {
		t.Errorf("media was read again: %v", counts)
	}
	figure(t, "archived playback", "100 cold viewers and then all of it, I-frames and a download: manifest and indexes once, 2 ranges")

	// Later it is looked whether the manifest is still that.
	clip := 0
	eventually(t, time.Minute, "the manifest is looked at", func() bool {
		clip++ // one that the edge's cache does not have
		get(fmt.Sprintf("/video.m3u8?start=1&end=%d.%03d", 10+clip/1000, clip%1000))
		counts = store.take()
		return len(counts) > 0
	})
	if len(counts) != 1 || counts["GET recording.json if changed"] != 1 {
		t.Errorf("a look at the manifest: %v", counts)
	}
}
