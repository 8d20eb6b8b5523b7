package test

import (
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFanOutAsksUpstreamOnce has many viewers follow one stream through one edge. In each round all of them wait for the
// next part by a blocking reload and by its hinted URL, and fetch the newest segment. The edge asks its upstream once per
// object and version.
func TestFanOutAsksUpstreamOnce(t *testing.T) {
	t.Parallel()
	const rounds = 6
	viewers := 150
	if full() {
		viewers = 500
	}
	source := encodeSource(t, 20, "320x180", "200k") // 500 copies of each byte are read under the race detector
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", nil)
	publish(t, "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)
	const stream = "/acme/show/index.m3u8"
	var video string
	eventually(t, 15*time.Second, "a part is hinted", func() bool {
		status, text := server.try(server.url(stream))
		if status != http.StatusOK {
			return false
		}
		for _, v := range variants(stream, string(text)) {
			if strings.HasSuffix(v, "video.m3u8") {
				video = v
			}
		}
		list := readPlaylist(t, video, string(server.get(video)))
		return list.hint != "" && len(list.segments) > 0
	})

	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * viewers}}
	defer client.CloseIdleConnections()
	fetch := func(uri string) {
		resp, err := client.Get(server.url(uri))
		if err != nil {
			t.Errorf("GET %s: %v", uri, err)
			return
		}
		defer resp.Body.Close()
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n == 0 || resp.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %d, %d bytes, %v", uri, resp.StatusCode, n, err)
		}
	}
	before := server.metrics("oxbow_cacheproxy_upstream_requests_total")
	objects, stale := map[string]bool{}, 0
	for round := range rounds {
		list := readPlaylist(t, video, string(server.get(video)))
		objects[fmt.Sprintf("%s, as it is in round %d", video, round)] = true
		var msn, part int
		if _, err := fmt.Sscanf(path.Base(list.hint), "%d.%d.m4s", &msn, &part); err != nil {
			t.Fatalf("hint %q: %v", list.hint, err)
		}
		asked := []string{
			fmt.Sprintf("%s?_HLS_msn=%d&_HLS_part=%d", video, msn, part), list.hint, list.segments[len(list.segments)-1],
		}
		begun := time.Now()
		var crowd sync.WaitGroup
		for _, uri := range asked {
			objects[uri] = true
			for range viewers {
				crowd.Go(func() { fetch(uri) })
			}
		}
		crowd.Wait()
		stale += int(time.Since(begun) / (5 * time.Second)) // a playlist's answer is good for no longer than a round on a slow machine
	}
	upstream := server.metrics("oxbow_cacheproxy_upstream_requests_total") - before
	t.Logf("%d viewers made %d requests for %d objects and versions: the edge asked its upstream %.0f times",
		viewers, viewers*3*rounds, len(objects), upstream)
	if upstream > float64(len(objects)+stale) {
		t.Errorf("the edge asked upstream %.0f times for %d objects, of which %d were asked for after their time", upstream, len(objects), stale)
	}
}
