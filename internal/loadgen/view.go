package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// startTimeout bounds the wait for the stream's first playlist.
	startTimeout = 30 * time.Second
	// viewTimeout bounds an exchange: a blocked reload waits for three target durations.
	viewTimeout = 35 * time.Second
	// viewPause is how long a rendition waits after a failure before it goes on.
	viewPause = 250 * time.Millisecond
)

// ViewConfig says what is watched.
type ViewConfig struct {
	// URL is that of a multivariant or media playlist, over http.
	URL string
	// Viewers is how many watch.
	Viewers int
	// Ramp is over which time they come, evenly.
	Ramp time.Duration
	// Duration is how long all of them watch after that.
	Duration time.Duration
	// Watch is called once, with what tells how it goes until it has ended; nil is fine.
	Watch func(ask func() Live)
}

// ViewResult is what came of a View. All but Failures and Playing counts from the end of the ramp on.
type ViewResult struct {
	Viewers    int            `json:"viewers"`
	Renditions int            `json:"renditions"` // that each viewer loads
	Playing    int            `json:"playing"`    // viewers who had every rendition at the end
	Failures   map[string]int `json:"failures,omitempty"`
	Seconds    float64        `json:"seconds"`
	// Playlists and Parts are answers; a part may be a whole segment where no parts are listed.
	Playlists int64   `json:"playlists"`
	Parts     int64   `json:"parts"`
	Missed    int64   `json:"missed"` // parts that left the playlist before they were loaded
	Bytes     int64   `json:"bytes"`
	Requests  float64 `json:"requests_per_second"`
	Bits      float64 `json:"bits_per_second"`
	// PartTarget is the playlist's, in milliseconds; zero without parts.
	PartTarget float64 `json:"part_target_ms"`
	// Late is how long after the first viewer of all learnt of a part each had it whole.
	LateP50 float64 `json:"late_p50_ms"`
	LateP99 float64 `json:"late_p99_ms"`
	LateMax float64 `json:"late_max_ms"`
	Own
}

// view is one View at work.
type view struct {
	host       string
	renditions []*watched
	ramp       time.Time // its end

	lags                            lags
	playlists, parts, missed, bytes atomic.Int64
	partTarget                      atomic.Int64
	mu                              sync.Mutex
	failures                        map[string]int
	playing                         []atomic.Int32 // of each viewer: renditions that play
}

// watched is one rendition as all viewers see it.
type watched struct {
	path string

	mu sync.Mutex
	// known is when the first viewer learnt of a piece; keys are kept for the run.
	known map[pieceKey]time.Time
}

type pieceKey struct {
	msn  int64
	part int
}

// at gives the time when the piece was first known, which is now if this viewer is the first.
func (w *watched) at(p piece, now time.Time) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := pieceKey{p.msn, p.part}
	if first, ok := w.known[key]; ok {
		return first
	}
	w.known[key] = now
	return now
}

// View watches a live stream as many viewers do: each reloads the playlists of its renditions, blocking and by delta
// updates where they are offered, and loads every part once. It ends when the time is up, or with ctx.
func View(ctx context.Context, cfg ViewConfig) (ViewResult, error) {
	u, err := playlistURL(cfg.URL)
	if err != nil {
		return ViewResult{}, err
	}
	v := &view{host: hostPort(u), failures: map[string]int{}, playing: make([]atomic.Int32, cfg.Viewers)}
	if err := v.discover(ctx, u.RequestURI()); err != nil {
		return ViewResult{}, err
	}
	meter, err := NewMeter()
	if err != nil {
		return ViewResult{}, err
	}
	start := time.Now()
	v.ramp = start.Add(cfg.Ramp)
	watch(cfg.Watch).begin(func() Live { return v.live(start) })
	ctx, cancel := context.WithDeadline(ctx, v.ramp.Add(cfg.Duration))
	defer cancel()
	var viewers sync.WaitGroup
	for i := range cfg.Viewers {
		at := start.Add(cfg.Ramp * time.Duration(i) / time.Duration(cfg.Viewers))
		for _, rendition := range v.renditions {
			viewers.Go(func() {
				if pause(ctx, time.NewTimer(0), at) {
					v.watch(ctx, i, rendition)
				}
			})
		}
	}
	<-ctx.Done()
	length := max(time.Since(v.ramp), 0).Seconds()
	result := v.result(length)
	viewers.Wait()
	result.Own = meter.End()
	return result, nil
}

func (v *view) live(start time.Time) Live {
	l := Live{Passed: time.Since(start), Bytes: v.bytes.Load(), Lag: ms(v.lags.quantile(0.99))}
	for i := range v.playing {
		if int(v.playing[i].Load()) == len(v.renditions) {
			l.Active++
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, n := range v.failures {
		l.Failed += n
	}
	return l
}

// playlistURL reads where viewers are to go.
func playlistURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("%w: it is no http:// URL of a playlist", media.ErrInvalid) // a token may be in it
	}
	return u, nil
}

// hostPort gives the address to dial.
func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), "80")
}

// discover finds the renditions. A stream that has just begun has no playlist yet, or that of the show before.
func (v *view) discover(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c := &httpClient{addr: v.host, timeout: viewTimeout}
	defer c.close()
	for {
		paths, err := v.find(ctx, c, path)
		if err == nil {
			for _, path := range paths {
				v.renditions = append(v.renditions, &watched{path: path, known: map[pieceKey]time.Time{}})
			}
			return nil
		}
		if !pause(ctx, time.NewTimer(0), time.Now().Add(viewPause)) {
			return err
		}
	}
}

func (v *view) find(ctx context.Context, c *httpClient, path string) ([]string, error) {
	a, err := c.get(ctx, path, true)
	if err != nil {
		return nil, err
	}
	if a.status >= 300 && a.status < 400 && a.location != "" {
		if path, err = resolve(path, a.location); err != nil {
			return nil, err
		}
		if a, err = c.get(ctx, path, true); err != nil {
			return nil, err
		}
	}
	if a.status != 200 {
		return nil, fmt.Errorf("%w: HTTP %d for %s", media.ErrNotFound, a.status, path)
	}
	paths, err := renditions(path, a.body)
	if err != nil {
		return nil, err
	}
	if a, err = c.get(ctx, paths[0], true); err != nil {
		return nil, err
	}
	var e edge
	if a.status != 200 || e.parse(a.body) != nil || e.ended {
		return nil, fmt.Errorf("%w: %s is not live", media.ErrNotFound, paths[0]) // the show before, for a moment yet
	}
	return paths, nil
}

func (v *view) result(seconds float64) ViewResult {
	r := ViewResult{
		Viewers: len(v.playing), Renditions: len(v.renditions), Seconds: seconds, Failures: map[string]int{},
		Playlists: v.playlists.Load(), Parts: v.parts.Load(), Missed: v.missed.Load(), Bytes: v.bytes.Load(),
		PartTarget: ms(time.Duration(v.partTarget.Load())),
		LateP50:    ms(v.lags.quantile(0.5)), LateP99: ms(v.lags.quantile(0.99)), LateMax: ms(v.lags.max()),
	}
	for i := range v.playing {
		if int(v.playing[i].Load()) == len(v.renditions) {
			r.Playing++
		}
	}
	if seconds > 0 {
		r.Requests = float64(r.Playlists+r.Parts) / seconds
		r.Bits = float64(8*r.Bytes) / seconds
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for reason, n := range v.failures {
		r.Failures[reason] = n
	}
	return r
}

func (v *view) fail(reason string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failures[reason]++
}

// errPlaylist is a playlist that was not answered with 200.
var errPlaylist = errors.New("playlist")
