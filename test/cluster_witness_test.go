package test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// witness is a viewer that trusts nothing. It follows the media playlists of a stream by way of an edge with blocking
// reloads, as a low-latency player does that never reloads the multivariant playlist, loads every part and segment that
// is listed, and keeps what it was told: every later answer must agree with that.
//
// What a player bears is no finding: an answer that does not come or is an error is asked for again. What may never be
// is: a listed thing that is 404 or has other bytes, a playlist that goes back or says another thing of a segment.
type witness struct {
	tb     testing.TB
	name   string
	bases  []string // the edges' URLs, without a slash at the end: when one fails the next is asked, as players do
	stream string   // /publisher/stream
	client *http.Client

	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	base     int      // index of the edge that is asked
	shows    []string // folders of the recordings that it saw, in order
	tracks   map[string]*seenTrack
	objects  map[string]*seenObject
	findings []string
	gapped   []gapped
	excuse   func(listed time.Time) bool // says when what was listed may become a gap; nil is never
	statuses map[int]int                 // how often each status of a playlist or media came; 0 is no answer
}

// seenTrack is one media playlist over time.
type seenTrack struct {
	path     string
	segments map[int]seenSegment
	edge     edge
	sequence int
	ended    bool
	versions int
	arrivals []arrival // of new media that is no gap
}

// arrival is the moment when new media was listed.
type arrival struct {
	at            time.Time
	msn, part     int // part -1: the segment as a whole
	discontinuity int
}

// gapped is a segment that was listed with media first and as a gap later.
type gapped struct{ path, text string }

// seenObject is one URL that was listed.
type seenObject struct {
	path   string
	listed time.Time
	asked  time.Time // first
	loaded time.Time
	sum    string // of its bytes; empty until it was loaded
	body   []byte // of parts, for the segment that they make
}

const witnessRetry = 100 * time.Millisecond

// startWitness begins to watch; it waits for the stream to begin.
func startWitness(tb testing.TB, name, stream string, bases ...string) *witness {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	transport := &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true}
	w := &witness{
		tb: tb, name: name, bases: bases, stream: stream, cancel: cancel,
		client: &http.Client{Transport: transport, Timeout: 10 * time.Second},
		tracks: map[string]*seenTrack{}, objects: map[string]*seenObject{}, statuses: map[int]int{},
	}
	w.wg.Go(func() { w.run(ctx) })
	tb.Cleanup(func() {
		w.stop()
		transport.CloseIdleConnections()
		if tb.Failed() {
			tb.Logf("%s", w)
		}
	})
	return w
}

// stop ends the watching; what was seen stays.
func (w *witness) stop() {
	w.cancel()
	w.wg.Wait()
}

// run watches one show after the other.
func (w *witness) run(ctx context.Context) {
	for ctx.Err() == nil {
		index := w.stream + "/index.m3u8"
		status, body := w.get(ctx, index)
		playlists := variants(index, string(body))
		if status != http.StatusOK || len(playlists) == 0 || !w.begin(playlists) {
			w.rest(ctx)
			continue
		}
		var tracks sync.WaitGroup
		for _, p := range playlists {
			if strings.HasSuffix(p, ".iframes.m3u8") {
				continue
			}
			tracks.Go(func() { w.follow(ctx, p) })
		}
		tracks.Wait()
	}
}

// begin notes a show, and says whether it is a new one that is live.
func (w *witness) begin(playlists []string) bool {
	folder := path.Dir(playlists[0])
	if path.Base(folder) != "live" { // a finished recording
		return false
	}
	folder = path.Dir(folder)
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.Contains(w.shows, folder) {
		return false
	}
	w.shows = append(w.shows, folder)
	return true
}

// follow reloads one media playlist until its end, and loads what it lists.
func (w *witness) follow(ctx context.Context, list string) {
	t := &seenTrack{path: list, segments: map[int]seenSegment{}}
	w.mu.Lock()
	w.tracks[list] = t
	w.mu.Unlock()
	queue := make(chan string, 1<<14)
	var loader sync.WaitGroup
	for range 2 { // a player has a connection for the next part while one hangs
		loader.Go(func() {
			for p := range queue {
				w.load(ctx, p)
			}
		})
	}
	defer loader.Wait()
	defer close(queue)
	query := ""
	for ctx.Err() == nil && !t.ended {
		status, body := w.get(ctx, list+query)
		if ctx.Err() != nil {
			return
		}
		if status != http.StatusOK {
			if status == http.StatusNotFound || status == http.StatusGone || status == http.StatusBadRequest {
				w.find("%s%s: status %d in mid-show: %.120s", list, query, status, body)
			}
			query = "" // as players do: without a wait
			w.rest(ctx)
			continue
		}
		seen, err := parseSeen(list, string(body))
		if err != nil {
			w.find("%s%s: %v", list, query, err)
			w.rest(ctx)
			continue
		}
		before := t.edge
		for _, p := range w.judge(t, seen) {
			queue <- p
		}
		if t.edge == before && !t.ended { // a show that is interrupted answers those who wait
			w.rest(ctx)
		}
		query = fmt.Sprintf("?_HLS_msn=%d&_HLS_part=%d", t.edge.msn, t.edge.parts)
	}
}

// judge holds a version against what was seen before, and gives what is listed for the first time.
func (w *witness) judge(t *seenTrack, l *seenList) (fresh []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	find := func(format string, args ...any) {
		w.findings = append(w.findings, now.Format("15:04:05.000 ")+t.path+": "+fmt.Sprintf(format, args...))
	}
	t.versions++
	if l.sequence < t.sequence {
		find("EXT-X-MEDIA-SEQUENCE went back from %d to %d", t.sequence, l.sequence)
	}
	if at := l.edge(); at.before(t.edge) {
		find("the live edge went back from %d.%d to %d.%d", t.edge.msn, t.edge.parts, at.msn, at.parts)
	} else {
		t.edge = at
	}
	t.sequence, t.ended = max(t.sequence, l.sequence), l.ended
	for _, s := range l.segments {
		old, known := t.segments[s.msn]
		if known {
			w.compare(find, &old, &s)
		}
		for i, p := range s.parts {
			if w.note(p.path, p.gap, now, &fresh) {
				t.arrivals = append(t.arrivals, arrival{now, s.msn, i, s.discontinuity})
			}
		}
		if s.whole && w.note(s.path, s.gap, now, &fresh) {
			t.arrivals = append(t.arrivals, arrival{now, s.msn, -1, s.discontinuity})
		}
		if !s.gap {
			w.note(s.init, s.init == "", now, &fresh)
		}
		s.complete = s.whole && len(s.parts) > 0
		if known && len(s.parts) == 0 {
			s.parts, s.complete = old.parts, old.complete // they leave the playlist before the segment does
		}
		t.segments[s.msn] = s
	}
	return fresh
}

// compare holds what is said of a segment against what was said.
func (w *witness) compare(find func(string, ...any), old, s *seenSegment) {
	switch {
	case s.discontinuity != old.discontinuity:
		find("segment %d had discontinuity number %d, has %d", s.msn, old.discontinuity, s.discontinuity)
	case old.whole && !s.whole:
		find("segment %d was listed and is open again", s.msn)
	case old.whole && s.gap && !old.gap && s.path == old.path && s.duration == old.duration:
		w.gapped = append(w.gapped, gapped{s.path, fmt.Sprintf("segment %d was listed and is a gap now", s.msn)})
	case old.whole && (s.path != old.path || s.duration != old.duration || s.gap != old.gap):
		find("segment %d was %s, %vs, gap %v; is %s, %vs, gap %v",
			s.msn, old.path, old.duration, old.gap, s.path, s.duration, s.gap)
	case !s.gap && !old.gap && s.init != old.init:
		find("segment %d had init %s, has %s", s.msn, old.init, s.init)
	}
	for i := range min(len(old.parts), len(s.parts)) {
		if old.parts[i] != s.parts[i] {
			find("part %d.%d was %v, is %v", s.msn, i, old.parts[i], s.parts[i])
		}
	}
	if len(s.parts) > 0 && len(s.parts) < len(old.parts) {
		find("segment %d had %d parts, has %d", s.msn, len(old.parts), len(s.parts))
	}
}

// note enters a path, and says whether it is new media. Gaps are not loaded.
func (w *witness) note(p string, gap bool, now time.Time, fresh *[]string) bool {
	if gap || w.objects[p] != nil {
		return false
	}
	w.objects[p] = &seenObject{path: p, listed: now}
	*fresh = append(*fresh, p)
	return true
}

// load fetches what was listed until it has it.
func (w *witness) load(ctx context.Context, p string) {
	told := false
	w.mu.Lock()
	w.objects[p].asked = time.Now()
	w.mu.Unlock()
	for ctx.Err() == nil {
		status, body := w.get(ctx, p)
		switch {
		case ctx.Err() != nil:
			return
		case status == http.StatusOK:
			w.mu.Lock()
			o := w.objects[p]
			o.sum, o.loaded = digest(body), time.Now()
			if strings.Count(path.Base(p), ".") == 2 {
				o.body = body
			}
			w.mu.Unlock()
			return
		case (status == http.StatusNotFound || status == http.StatusGone) && !told:
			w.find("%s is listed and %d: %.120s", p, status, body)
			told = true
		}
		w.rest(ctx)
	}
}

// get asks an edge for a path. Status 0 is no answer, or one that was cut.
func (w *witness) get(ctx context.Context, p string) (status int, body []byte) {
	w.mu.Lock()
	asked := w.base
	w.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.bases[asked]+p, nil)
	if err != nil {
		panic(err)
	}
	status, body = w.do(req)
	if ctx.Err() == nil {
		w.mu.Lock()
		w.statuses[status]++
		if status == 0 && w.base == asked {
			w.base = (asked + 1) % len(w.bases)
		}
		w.mu.Unlock()
	}
	return status, body
}

func (w *witness) do(req *http.Request) (status int, body []byte) {
	resp, err := w.client.Do(req)
	if err == nil {
		status = resp.StatusCode
		body, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if err != nil {
		return 0, []byte(err.Error())
	}
	return status, body
}

func (w *witness) rest(ctx context.Context) {
	timer := time.NewTimer(witnessRetry)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (w *witness) find(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.findings = append(w.findings, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// String gives what was seen, for a test that failed.
func (w *witness) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := fmt.Sprintf("witness %s: %d objects, answers by status %v, shows %v", w.name, len(w.objects), w.statuses, w.shows)
	for _, name := range slices.Sorted(maps.Keys(w.tracks)) {
		t := w.tracks[name]
		text += fmt.Sprintf("\n  %s: %d versions, edge %d.%d, ended %v, longest wait %v", name, t.versions, t.edge.msn,
			t.edge.parts, t.ended, t.longestWait())
	}
	for _, f := range w.findings {
		text += "\n  " + f
	}
	return text
}
