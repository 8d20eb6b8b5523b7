package test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// ask gives a segment of a recording, or of it what a range says.
func (e *siteEdge) ask(n int, span string) (status int, body []byte) {
	header := http.Header{}
	if span != "" {
		header.Set("Range", span)
	}
	status, body, _ = fetch("http://"+e.http+siteBase+"/1/video/"+strconv.Itoa(n)+".m4s", header)
	return status, body
}

// playThrough has two viewers at every edge go through a recording from the first segment on, as a player does that
// shows key frames while it seeks: a range of the segment first, and then all of it.
func playThrough(t *testing.T, edges []*siteEdge, o *diskOrigin, segments int) {
	t.Helper()
	const span = 4 << 10
	var all sync.WaitGroup
	for _, e := range edges {
		for range 2 {
			all.Go(func() {
				for n := 1; n <= segments; n++ {
					want := o.body(n)
					status, body := e.ask(n, fmt.Sprintf("bytes=0-%d", span-1))
					if status != http.StatusPartialContent || !bytes.Equal(body, want[:span]) {
						t.Errorf("%s: a range of segment %d: %d, %d bytes, or others", e.http, n, status, len(body))
					}
					if status, body = e.ask(n, ""); status != http.StatusOK || !bytes.Equal(body, want) {
						t.Errorf("%s: segment %d: %d, %d bytes, or others", e.http, n, status, len(body))
					}
				}
			})
		}
	}
	all.Wait()
}

// sumOf adds a metric of several edges up.
func sumOf(edges []*siteEdge, name string, labels ...string) (sum float64) {
	for _, e := range edges {
		sum += e.edgeMetric(name, labels...)
	}
	return sum
}

// TestSiteOfAnArchive has three edges of a site read an archived recording once between them, whole and by ranges. One
// is killed, and started again with its disk and without: what its siblings have is not read again.
func TestSiteOfAnArchive(t *testing.T) {
	t.Parallel()
	const segments, size, all = 256, 128 << 10, 256 * 128 << 10
	const read = "oxbow_blocks_upstream_bytes_total"
	o := newDiskOrigin(t, size)
	o.moved.Store(true)
	edges := newSiteEdgesOf(t, o, 3, "--cache-size", "160MiB")
	archiveSegments(t, edges[0].archive, o, segments)
	for _, e := range edges {
		e.archive = edges[0].archive
		e.start()
	}
	awaitSite(t, edges)
	playThrough(t, edges, o, segments)
	first := sumOf(edges, read)
	text := fmt.Sprintf("six viewers at three edges: %.2f of it", first/all)
	if first > 2*all { // each by itself: 3; at groups' ends up to four blocks are read ahead, which a sibling is asked for
		t.Errorf("the site read %.0f bytes of a recording of %d", first, all)
	}

	lost, rest := edges[1], edges[:1:1]
	rest = append(rest, edges[2])
	before := sumOf(rest, read)
	lost.diskEdge.stop(syscall.SIGKILL)
	playThrough(t, rest, o, segments)
	text += fmt.Sprintf("; one killed: %.2f more by the others", (sumOf(rest, read)-before)/all)
	if more := sumOf(rest, read) - before; more > 0.1*all {
		t.Errorf("%.0f bytes were read again that both had in memory", more)
	}
	for _, wiped := range []bool{false, true} {
		lost.diskEdge.stop(syscall.SIGKILL)
		if wiped {
			if err := os.RemoveAll(lost.cache); err != nil {
				t.Fatal(err)
			}
		}
		lost.start()
		awaitSite(t, edges)
		playThrough(t, []*siteEdge{lost}, o, segments)
		again := lost.edgeMetric(read)
		text += fmt.Sprintf("; started again, disk lost %v: %.2f", wiped, again/all)
		if again > 0.1*all {
			t.Errorf("disk lost %v: the edge read %.0f bytes again, which its site had", wiped, again)
		}
	}
	figure(t, "archived recording read by a site of three, as a part of its size", "%s", text)
}
