package test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"
	"time"
)

// viewingFigures is what the API tells of who watches.
type viewingFigures struct {
	Viewers int
	Peak    int
	Total   struct {
		Starts    int
		Bytes     int64
		Startups  int
		WatchS    float64 `json:"watch_s"`
		StartupMS float64 `json:"startup_ms"`
		Stalls    int
		StalledS  float64 `json:"stalled_s"`
		CMCDShare float64 `json:"cmcd_share"`
		Bitrate   float64 `json:"bitrate_kbps"`
		Errors    int     `json:"player_errors"`
	}
}

func (o *oxbow) viewing(publisher, stream string) (f viewingFigures) {
	o.tb.Helper()
	if status := o.api(http.MethodGet, "/v1/publishers/"+publisher+"/streams/"+stream+"/viewing", nil, &f); status != 200 {
		o.tb.Fatalf("viewing: %d", status)
	}
	return f
}

// watcher is a viewer that knows what it did.
type watcher struct {
	t      *testing.T
	server *oxbow
	id     string // of its session; empty: it sends no CMCD
	header bool   // CMCD by headers
	client *http.Client

	begun, ended time.Time
	sent, got    time.Time // the last request, and its answer's end
	first        time.Time // the first answer's end
	bytes        int64
	startup      time.Duration
	stalls       int
	stalled      time.Duration
	least, most  time.Duration // of the stalls: a server knows when requests arrive, which is between their sending and their answer
}

// get asks with a report, and gives the body.
func (w *watcher) get(uri, report string) (string, bool) {
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.server.url(uri), http.NoBody)
	if err != nil {
		w.t.Error(err)
		return "", false
	}
	req.Header.Set("User-Agent", "one player for all")
	report = fmt.Sprintf("%s,sid=%q", report, w.id)
	switch {
	case w.id == "":
	case w.header:
		req.Header.Set("CMCD-Request", report)
	default:
		req.URL.RawQuery = strings.TrimPrefix(req.URL.RawQuery+"&CMCD="+url.QueryEscape(report), "&")
	}
	w.sent = time.Now()
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Errorf("GET %s: %v", uri, err)
		return "", false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	w.got = time.Now()
	if w.first.IsZero() {
		w.first = w.got
	}
	w.bytes += int64(len(body))
	w.ended = time.Now()
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Errorf("GET %s: %d, %v", uri, resp.StatusCode, err)
		return "", false
	}
	return string(body), true
}

// watch plays the newest parts one after the other, with a stall in the middle if it is to have one.
func (w *watcher) watch(rounds int, stall time.Duration) {
	w.begun = time.Now()
	const stream = "/acme/show/index.m3u8"
	multivariant, ok := w.get(stream, "ot=m,su")
	if !ok {
		return
	}
	var video string
	for _, v := range variants(stream, multivariant) {
		if strings.HasSuffix(v, "video.m3u8") {
			video = v
		}
	}
	var fetched, got time.Time // a part: when it was asked for, and when it was there
	stalls := false
	waited, next := false, ""
	for round := range rounds {
		report := "ot=m"
		switch round {
		case 0:
			report += ",su"
		case 1:
			report += fmt.Sprintf(",oxbow-msd=%d", w.startup.Round(time.Millisecond).Milliseconds())
		}
		text, ok := w.get(video+next, report)
		if !ok {
			return
		}
		hint := readPlaylist(w.t, video, text).hint
		var msn, part int
		if _, err := fmt.Sscanf(path.Base(hint), "%d.%d.m4s", &msn, &part); err != nil {
			w.t.Errorf("hint %q: %v", hint, err)
			return
		}
		next = fmt.Sprintf("?_HLS_msn=%d&_HLS_part=%d", msn, part)
		report = "ot=v,br=800,d=500,bl=300,mtp=9000"
		switch {
		case round == 0:
			report += ",su"
		case round == rounds/2 && stall > 0:
			// 300 ms of media were left when it asked last.
			select {
			case <-time.After(time.Until(fetched.Add(300*time.Millisecond + stall))):
			case <-w.t.Context().Done():
			}
			w.stalls++
			w.stalled = time.Since(fetched) - 300*time.Millisecond
			report += ",bs,su"
			waited, stalls = true, true
		}
		asked := time.Now()
		if _, ok := w.get(hint, report); !ok {
			return
		}
		if stalls {
			w.least, w.most = asked.Sub(got)-300*time.Millisecond, w.got.Sub(fetched)-300*time.Millisecond
			stalls = false
		}
		fetched, got = asked, w.got
		if round == 0 {
			w.startup = time.Since(w.begun)
		}
	}
	if stall > 0 && !waited {
		w.t.Error("no stall was had")
	}
}

// within says that a figure is at most 2 % from what is true.
func within(t *testing.T, what string, got, truth float64) {
	t.Helper()
	off := math.Abs(got-truth) / max(math.Abs(truth), 1e-9)
	t.Logf("%-20s told %12.3f, was %12.3f: %.2f %% off", what, got, truth, 100*off)
	if off > 0.02 {
		t.Errorf("%s: told %v, was %v", what, got, truth)
	}
}

// between says that a figure is one that a server may have measured: on a busy machine its time and that of its viewers
// differ by what lies between a request's sending and its answer. In make e2e it is at most 2 % from what is true.
func between(t *testing.T, what string, got, truth, least, most float64) {
	t.Helper()
	if full() {
		within(t, what, got, truth)
		return
	}
	t.Logf("%-20s told %12.3f, was %12.3f: from %.3f to %.3f", what, got, truth, least, most)
	if slack := 0.02 * truth; got < least-slack || got > most+slack {
		t.Errorf("%s: told %v, was %v, which is from %v to %v to a server", what, got, truth, least, most)
	}
}

// startsWithin is within for the mean of what starts took, which the API tells in whole milliseconds.
func startsWithin(t *testing.T, got, truth float64) {
	t.Helper()
	t.Logf("%-20s told %12.3f, was %12.3f", "startup, ms", got, truth)
	if math.Abs(got-truth) > max(1, 0.02*truth) {
		t.Errorf("startup: told %v ms, was %v", got, truth)
	}
}

// TestViewersAreCounted has viewers with CMCD, by query and by header, and viewers without, all behind one address, and
// holds what the API tells against what they did.
func TestViewersAreCounted(t *testing.T) {
	t.Parallel()
	const told, untold, rounds = 40, 20, 20
	source := encodeSource(t, 20, "320x180", "200k")
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", nil)
	publish(t, "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)
	const stream = "/acme/show/index.m3u8"
	eventually(t, 15*time.Second, "a part is hinted", func() bool {
		status, text := server.try(server.url(stream))
		if status != http.StatusOK {
			return false
		}
		for _, v := range variants(stream, string(text)) {
			if strings.HasSuffix(v, "video.m3u8") {
				return readPlaylist(t, v, string(server.get(v))).hint != ""
			}
		}
		return false
	})
	var before viewingFigures // what the looks above were
	eventually(t, 15*time.Second, "the test itself is counted", func() bool {
		<-time.After(300 * time.Millisecond)
		before = server.viewing("acme", "show")
		return before.Total.Starts > 0
	})
	// The edge counts what it sends: no playlist is to be unzipped unseen.
	transport := &http.Transport{MaxIdleConnsPerHost: told + untold, DisableCompression: true}
	client := &http.Client{Transport: transport}
	defer transport.CloseIdleConnections()
	var watching sync.WaitGroup
	watchers := make([]*watcher, told+untold)
	for i := range watchers {
		w := &watcher{t: t, server: server, client: client}
		var stall time.Duration
		if i < told {
			w.id, w.header = fmt.Sprintf("session-%d", i), i%4 == 3
			if i%5 == 0 {
				stall = time.Second
			}
		}
		watchers[i] = w
		watching.Go(func() { w.watch(rounds, stall) })
	}
	most := 0
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		watching.Wait()
	}()
	for over := false; !over; { // a look each half second
		select {
		case <-ended:
			over = true
		case <-time.After(500 * time.Millisecond):
		}
		most = max(most, server.viewing("acme", "show").Viewers)
	}
	var truth watcher
	var watched, startup, leastWatched time.Duration
	for _, w := range watchers {
		truth.bytes += w.bytes
		truth.stalls += w.stalls
		truth.stalled += w.stalled
		truth.least += w.least
		truth.most += w.most
		watched += w.ended.Sub(w.begun)
		leastWatched += w.sent.Sub(w.first)
		if w.id != "" {
			startup += w.startup / told
		}
	}
	eventually(t, 15*time.Second, "all viewers have left", func() bool {
		<-time.After(300 * time.Millisecond)
		return server.viewing("acme", "show").Viewers == 0
	})
	f := server.viewing("acme", "show")
	within(t, "starts", float64(f.Total.Starts-before.Total.Starts), told+untold)
	within(t, "startups", float64(f.Total.Startups), told)
	within(t, "viewers at once", float64(most), told+untold)
	within(t, "peak", float64(f.Peak), told+untold)
	within(t, "bytes", float64(f.Total.Bytes-before.Total.Bytes), float64(truth.bytes))
	within(t, "stalls", float64(f.Total.Stalls), float64(truth.stalls))
	// A part that comes late lets a buffer of 300 ms run empty before a stall that is soon told of, and it began then.
	early := time.Duration(truth.stalls) * 2 * time.Second
	between(t, "stalled, s", f.Total.StalledS, truth.stalled.Seconds(), truth.least.Seconds(), (truth.most + early).Seconds())
	between(t, "watched, s", f.Total.WatchS-before.Total.WatchS, watched.Seconds(), leastWatched.Seconds(), watched.Seconds())
	within(t, "bitrate, kbit/s", f.Total.Bitrate, 800)
	startsWithin(t, f.Total.StartupMS, startup.Seconds()*1000)
}

// hold is in front of a server, and can be told to hold back media.
type hold struct {
	*httptest.Server
	mu   sync.Mutex
	open chan struct{} // closed: nothing is held
}

func newHold(t *testing.T, target string) *hold {
	h := &hold{open: make(chan struct{})}
	close(h.open)
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.FlushInterval = -1
	proxy.ModifyResponse = func(resp *http.Response) error { // the answer: the edge sees when it is asked
		h.mu.Lock()
		open := h.open
		h.mu.Unlock()
		// A browser that asks whether it may send headers has written them already: they would come as news when they are old.
		if !strings.HasSuffix(resp.Request.URL.Path, ".m4s") || resp.Request.Method == http.MethodOptions {
			return nil
		}
		select {
		case <-open:
			return nil
		case <-resp.Request.Context().Done():
			return resp.Request.Context().Err()
		}
	}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	return h
}

// shut holds media back, for a time.
func (h *hold) shut(d time.Duration) {
	open := make(chan struct{})
	h.mu.Lock()
	h.open = open
	h.mu.Unlock()
	time.AfterFunc(d, func() { close(open) })
}

// TestQualityOfABrowser plays in a real hls.js that media is held back from, and holds what CMCD told against what its
// pictures show: our own page, which measures, and hls.js alone, of which the server must guess. Where pictures are drawn
// without a graphics card they stand still for a moment with media enough: such a hitch is a stall only if it is told.
func TestQualityOfABrowser(t *testing.T) {
	onlyFull(t)
	const hold = 9 * time.Second // longer than what any of them has ahead
	film := faultFilm(t)
	for name, row := range map[string]struct {
		config string
		slack  time.Duration // of what a stall's length and the start are guessed by
	}{
		"hls.js, version 1":   {`{"lowLatencyMode":true,"cmcd":{}}`, time.Second},
		"hls.js, version 2":   {`{"lowLatencyMode":true,"cmcd":{"version":2}}`, time.Second},
		"hls.js, by headers":  {`{"lowLatencyMode":true,"cmcd":{"useHeaders":true}}`, time.Second},
		"hls.js, without any": {`{"lowLatencyMode":true}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			server := newOxbow(t)
			startClipShow(t, server, film)
			front := newHold(t, server.url(""))
			v := watchInBrowser(t, "hls.js", front.URL+"/acme/show/index.m3u8", row.config)
			eventually(t, 40*time.Second, "it plays", func() bool { n, _ := v.newest(); return n > 0 })
			passed(t, 5*time.Second)
			for range 2 {
				front.shut(hold)
				passed(t, hold+6*time.Second)
			}
			v.stop()
			passed(t, 5*time.Second)
			f := server.viewing("acme", "show")
			var last time.Time
			stalls, stalled, hitches, hitched := 0, time.Duration(0), 0, time.Duration(0)
			shown := v.shown()
			for _, frame := range shown {
				gap := frame.at.Sub(last)
				switch {
				case last.IsZero() || gap <= stallWorth:
				case gap > time.Second:
					stalls++
					stalled += gap
				default:
					hitches++
					hitched += gap
				}
				last = frame.at
			}
			startup := shown[0].at.Sub(v.loaded)
			t.Logf("%s: starts %d; startup told %v ms, was %v; stalls told %d, were %d; stalled told %.3f s, was %v; watched %v s of %v",
				name, f.Total.Starts, f.Total.StartupMS, startup, f.Total.Stalls, stalls, f.Total.StalledS, stalled,
				f.Total.WatchS, last.Sub(v.loaded))
			if f.Total.Starts != 1 {
				t.Errorf("%d starts", f.Total.Starts)
			}
			if row.slack == 0 {
				return
			}
			if stalls == 0 {
				t.Fatalf("no stall was had in %v without media", hold)
			}
			if f.Total.Stalls < stalls || f.Total.Stalls > stalls+hitches {
				t.Errorf("stalls: told %d, were %d and %d hitches", f.Total.Stalls, stalls, hitches)
			}
			told, slack := time.Duration(f.Total.StalledS*1e9), time.Duration(f.Total.Stalls)*row.slack
			if told < stalled-slack || told > stalled+hitched+slack {
				t.Errorf("stalled: told %v, was %v and %v of hitches", told, stalled, hitched)
			}
			if off := time.Duration(f.Total.StartupMS*1e6) - startup; off.Abs() > row.slack {
				t.Errorf("startup: told %v ms, was %v", f.Total.StartupMS, startup)
			}
		})
	}
}

// passed waits for time to pass with a player at work.
func passed(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
