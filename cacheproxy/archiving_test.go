package cacheproxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
)

// store answers for a recording's media as nodes and archives do: an ETag per URL, and ranges.
func store(w http.ResponseWriter, r *http.Request, size int) {
	w.Header().Set("Content-Type", "video/mp4")
	w.Header().Set("Cache-Control", immutable)
	w.Header().Set("Etag", `"`+r.URL.Path+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(bodyOf(r.URL.Path, size)))
}

const (
	movingSegment  = 50_000
	movingDownload = 8 << 20
)

// moving is a show that a test takes through its life: it grows on a node, ends, is archived, and leaves the node.
type moving struct {
	*realEdge
	show   *show
	server *httptest.Server
	gone   atomic.Bool // from the node, which still runs
	cut    chan struct{}
	rounds []atomic.Int64 // of each viewer
}

func newMoving(t *testing.T, viewers int) *moving {
	t.Helper()
	m := &moving{show: newShow(20, 0), cut: make(chan struct{}), rounds: make([]atomic.Int64, viewers)}
	m.show.plainAge, m.show.blockedAge = "public, max-age=0", "no-store"
	m.server = httptest.NewServer(http.HandlerFunc(m.node))
	t.Cleanup(m.server.Close)
	m.realEdge = newRealEdge(t, Config{}, http.HandlerFunc(m.archive))
	m.directory.change(func(d *directory) { d.location.Nodes = []string{m.server.URL} })
	return m
}

func (m *moving) node(w http.ResponseWriter, r *http.Request) {
	switch {
	case m.gone.Load():
		failing(http.StatusNotFound, "Cache-Control", "no-store")(w, r)
	case strings.HasSuffix(r.URL.Path, ".m3u8"):
		m.show.ServeHTTP(w, r)
	case strings.HasSuffix(r.URL.Path, ".mp4"), strings.HasSuffix(r.URL.Path, "/77777777.m4s"):
		// A body that is under way when the node goes.
		store(&halting{ResponseWriter: w, left: 10_000, cut: m.cut}, r, movingSize(r.URL.Path))
	default:
		store(w, r, movingSegment)
	}
}

func (m *moving) archive(w http.ResponseWriter, r *http.Request) {
	m.directory.mu.Lock()
	archived := m.directory.location.Archived
	m.directory.mu.Unlock()
	switch {
	case !archived:
		failing(http.StatusNotFound, "Cache-Control", "no-store")(w, r)
	case strings.HasSuffix(r.URL.Path, ".m3u8"):
		w.Header().Set("Cache-Control", "public, max-age=0")
		text := strings.Replace(m.show.text(false), "#EXT-X-TARGET", "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-TARGET", 1)
		writePlaylist(w, r, text)
	default:
		store(w, r, movingSize(r.URL.Path))
	}
}

func movingSize(path string) int {
	if strings.HasSuffix(path, ".mp4") {
		return movingDownload
	}
	return movingSegment
}

// halting sends the first bytes of a body, and then nothing until its node goes.
type halting struct {
	http.ResponseWriter
	left int
	cut  chan struct{}
}

func (h *halting) Write(b []byte) (int, error) {
	n, err := h.ResponseWriter.Write(b[:min(len(b), h.left)])
	if h.left -= n; h.left == 0 {
		_ = http.NewResponseController(h.ResponseWriter).Flush()
		<-h.cut
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// stall is longer than a player's buffer may bear.
const stall = 4 * time.Second

// watch reads the playlist and a segment that nobody else reads, again and again.
func (m *moving) watch(ctx context.Context, viewer int) error {
	segments, ended := 0, false
	for i := 0; ctx.Err() == nil; i++ {
		begun := time.Now()
		resp, body, err := m.fetch(context.WithoutCancel(ctx), eventPath)
		if err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("round %d: playlist: %v, %w", i, resp, err)
		}
		n, over := bytes.Count(body, []byte("#EXTINF")), bytes.Contains(body, []byte("#EXT-X-ENDLIST"))
		if n < segments || ended && !over {
			return fmt.Errorf("round %d: the playlist went back, from %d to %d segments", i, segments, n)
		}
		segments, ended = n, over
		uri := segment(1 + viewer*1_000_000 + i)
		resp, body, err = m.fetch(context.WithoutCancel(ctx), uri)
		if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(body, bodyOf(uri, movingSegment)) {
			return fmt.Errorf("round %d: segment: %v, %d bytes, %w", i, resp, len(body), err)
		}
		if took := time.Since(begun); took > stall {
			return fmt.Errorf("round %d: stalled for %v", i, took)
		}
		m.rounds[viewer].Add(1)
	}
	if !ended {
		return fmt.Errorf("after %d segments the show has not ended", segments)
	}
	return nil
}

// settle waits until each viewer has watched for a while.
func (m *moving) settle(t *testing.T, stage string) {
	t.Helper()
	const rounds = 3
	until := make([]int64, len(m.rounds))
	for v := range m.rounds {
		until[v] = m.rounds[v].Load() + rounds
	}
	for v := range m.rounds {
		eventually(t, fmt.Sprintf("viewer %d watches %s", v, stage), func() bool {
			return m.rounds[v].Load() >= until[v] || t.Failed()
		})
	}
}

// A recording moves to the archive while viewers watch, read a segment and download it: none of them sees it.
func TestARecordingsWholeLifeIsSeenByNoViewer(t *testing.T) {
	const viewers = 4
	m := newMoving(t, viewers)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var watching, reading sync.WaitGroup
	for v := range viewers {
		watching.Go(func() {
			if err := m.watch(ctx, v); err != nil {
				t.Errorf("viewer %d: %v", v, err)
			}
		})
	}
	m.settle(t, "the beginning")
	for range 3 * partsPerSegment {
		m.show.advance()
	}
	m.settle(t, "what grows")

	m.show.mu.Lock()
	m.show.ended, m.show.parts = true, 0
	m.show.mu.Unlock()
	m.directory.change(func(d *directory) { d.location.State = media.Ended })
	m.settle(t, "what ended")
	// Two bodies begin at the node.
	begun := make(chan struct{}, 2)
	for _, uri := range []string{segment(77777777), recBase + "/recording.mp4"} {
		reading.Go(func() {
			resp, err := m.client.Get(m.url + uri)
			if err != nil {
				t.Error(err)
				begun <- struct{}{}
				return
			}
			defer func() { _ = resp.Body.Close() }()
			head := make([]byte, 1000)
			_, err = io.ReadFull(resp.Body, head)
			begun <- struct{}{}
			if err != nil {
				t.Error(err)
				return
			}
			rest, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(append(head, rest...), bodyOf(uri, movingSize(uri))) {
				t.Errorf("%s: %d bytes, %v", uri, len(head)+len(rest), err)
			}
		})
	}
	<-begun
	<-begun

	m.directory.change(func(d *directory) { d.location.State, d.location.Archived = media.Archived, true })
	m.settle(t, "what is archived")
	m.gone.Store(true)
	m.settle(t, "what its node has dropped")
	close(m.cut)
	m.server.CloseClientConnections()
	m.server.Close()
	m.settle(t, "what had its node stopped")
	m.directory.change(func(d *directory) { d.location.Nodes = nil })
	m.settle(t, "what has no node")
	leave()
	watching.Wait()
	reading.Wait()
	if resumed, continued := testutil.ToFloat64(m.metrics.resumed), testutil.ToFloat64(m.metrics.continued); resumed != 1 || continued != 1 {
		t.Errorf("%v segments and %v downloads went on at the archive, want one each", resumed, continued)
	}
	if n := testutil.ToFloat64(m.metrics.requests[resultError]); n != 0 {
		t.Errorf("%v requests ended in error", n)
	}
}
