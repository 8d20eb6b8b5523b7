package test

import (
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestFanOutAsksUpstreamOnce has 500 viewers follow one stream through one edge with blocking reloads, fetching every
// part, and counts what the edge asked of its upstream: one request per object and version.
func TestFanOutAsksUpstreamOnce(t *testing.T) {
	t.Parallel()
	const viewers, parts = 500, 6
	source := encodeSource(t, 20)
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
		return readPlaylist(t, video, string(server.get(video))).hint != ""
	})

	list := readPlaylist(t, video, string(server.get(video)))
	msn := list.mediaSequence + len(list.segments) + list.gaps + 1 // a segment that is not begun yet
	before := server.metrics("oxbow_cacheproxy_upstream_requests_total")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: viewers}}
	var objects sync.Map
	var requests atomic.Int64
	var crowd sync.WaitGroup
	for range viewers {
		crowd.Go(func() {
			get := func(uri string) string {
				objects.Store(uri, true)
				requests.Add(1)
				resp, err := client.Get(server.url(uri))
				if err != nil {
					t.Errorf("GET %s: %v", uri, err)
					return ""
				}
				defer resp.Body.Close()
				var body strings.Builder
				if _, err := io.Copy(&body, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("GET %s: %d %v", uri, resp.StatusCode, err)
				}
				return body.String()
			}
			for part := range parts {
				// Past a segment's last part the server counts on into the next segment (BLK-6).
				text := get(fmt.Sprintf("%s?_HLS_msn=%d&_HLS_part=%d", video, msn+part/4, part%4))
				if text == "" {
					return
				}
				l := readPlaylist(t, video, text)
				if len(l.parts) > 0 {
					get(l.parts[len(l.parts)-1])
				}
				get(path.Clean(l.segments[len(l.segments)-1]))
			}
		})
	}
	crowd.Wait()
	distinct := 0
	objects.Range(func(any, any) bool { distinct++; return true })
	asked := server.metrics("oxbow_cacheproxy_upstream_requests_total") - before
	t.Logf("%d viewers made %d requests for %d objects and versions: the edge asked its upstream %.0f times",
		viewers, requests.Load(), distinct, asked)
	if asked > float64(distinct) {
		t.Errorf("the edge asked upstream %.0f times for %d objects", asked, distinct)
	}
}
