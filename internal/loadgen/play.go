package loadgen

import (
	"context"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// PlayConfig says what players watch.
type PlayConfig struct {
	// URL is that of a multivariant or media playlist, over http.
	URL string
	// Viewers is how many watch.
	Viewers int
	// Ramp is over which time they come, evenly.
	Ramp time.Duration
	// Duration is how long all of them watch after that.
	Duration time.Duration
	// CMCD has them tell of themselves in the query of each request, as hls.js does (CTA-5004).
	CMCD bool
	// Measured has them tell how long the start and the stalls were, too, as Oxbow's own page does.
	Measured bool
	// Watch is called once, with what tells how it goes until it has ended; nil is fine.
	Watch func(ask func() Live)

	dialer dialer // nil: the system's
}

// PlayResult is what came of a Play, from each viewer's first request on.
type PlayResult struct {
	Viewers  int            `json:"viewers"`
	Playing  int            `json:"playing"`          // at the end; a show that is over counts
	Fatal    map[string]int `json:"fatal,omitempty"`  // viewers whose player gave up, by reason
	Faults   map[string]int `json:"faults,omitempty"` // requests that failed, by reason
	Seconds  float64        `json:"seconds"`          // after the ramp
	Requests int64          `json:"requests"`
	Bytes    int64          `json:"bytes"`
	Missed   int64          `json:"missed"` // segments that left the playlist before they were loaded
	// Start is from a viewer's first request to the first picture.
	StartP50 float64 `json:"start_p50_ms"`
	StartMax float64 `json:"start_max_ms"`
	// Stalled is how many viewers stood still at all; the longest stall is of one viewer at a time.
	Stalled    int     `json:"stalled_viewers"`
	Stalls     int     `json:"stalls"`
	StalledMS  float64 `json:"stalled_ms"`
	StallMaxMS float64 `json:"stall_max_ms"`
	// Moved is how many viewers changed their pathway, Pathways where they were at the end.
	Moved    int            `json:"moved_viewers"`
	Pathways map[string]int `json:"pathways,omitempty"`
	Own
	Each []PlayViewer `json:"each"`
}

// PlayViewer is what one viewer did and saw: the truth that a server's figures are held against.
type PlayViewer struct {
	Session  string  `json:"session"` // CMCD's sid
	CameMS   int64   `json:"came_ms"` // Unix time of its first request
	LeftMS   int64   `json:"left_ms"`
	StartMS  float64 `json:"start_ms"` // -1: it never played
	WatchedS float64 `json:"watched_s"`
	Stalls   int     `json:"stalls"`
	// StalledMS is all stalls together, StallMaxMS the longest.
	StalledMS  float64        `json:"stalled_ms"`
	StallMaxMS float64        `json:"stall_max_ms"`
	Stalled    []PlayStall    `json:"stalled,omitempty"` // the first hundred
	BufferMS   float64        `json:"buffer_ms"`         // media ahead at the end
	Requests   int64          `json:"requests"`
	Bytes      int64          `json:"bytes"`          // of bodies, as they came
	SteerBytes int64          `json:"steering_bytes"` // of those, from the steering server
	Missed     int64          `json:"missed"`
	Faults     map[string]int `json:"faults,omitempty"`
	Fatal      string         `json:"fatal,omitempty"`
	Pathway    string         `json:"pathway"` // at the end
	Host       string         `json:"host"`    // that its last piece came from
	Moves      []PlayMove     `json:"moves,omitempty"`
}

// PlayStall is a time in which the picture stood.
type PlayStall struct {
	AtMS     int64   `json:"at_ms"` // Unix time of its begin
	LengthMS float64 `json:"length_ms"`
}

// PlayMove is a change of the pathway.
type PlayMove struct {
	AtMS int64  `json:"at_ms"` // Unix time
	From string `json:"from"`
	To   string `json:"to"`
	Why  string `json:"why"` // "steering", or the failure
	// MediaMS is how much later the first piece came from there; -1: none yet.
	MediaMS float64 `json:"media_ms"`
}

// Play watches a stream with many players that buffer, follow content steering, retry and give up as hls.js 1.7.4 does
// with its defaults. It ends when the time is up, or with ctx.
func Play(ctx context.Context, cfg PlayConfig) (PlayResult, error) {
	u, err := playlistURL(cfg.URL)
	if err != nil {
		return PlayResult{}, err
	}
	meter, err := NewMeter()
	if err != nil {
		return PlayResult{}, err
	}
	start := time.Now()
	ramp := start.Add(cfg.Ramp)
	ctx, cancel := context.WithDeadline(ctx, ramp.Add(cfg.Duration))
	defer cancel()
	each := make([]PlayViewer, cfg.Viewers)
	playing := make([]bool, cfg.Viewers)
	var came, left atomic.Int64
	watch(cfg.Watch).begin(func() Live {
		return Live{Passed: time.Since(start), Active: int(came.Load() - left.Load()), Failed: int(left.Load())}
	})
	var viewers sync.WaitGroup
	for i := range cfg.Viewers {
		at := start.Add(cfg.Ramp * time.Duration(i) / time.Duration(cfg.Viewers))
		viewers.Go(func() {
			if pause(ctx, time.NewTimer(0), at) {
				came.Add(1)
				if each[i], playing[i] = playOne(ctx, u, cfg); each[i].Fatal != "" {
					left.Add(1)
				}
			}
		})
	}
	viewers.Wait()
	result := sum(each, playing)
	result.Seconds = max(time.Since(ramp), 0).Seconds()
	result.Own = meter.End()
	return result, nil
}

// playOne watches as one viewer, and says whether it plays at the end.
func playOne(ctx context.Context, u *url.URL, cfg PlayConfig) (PlayViewer, bool) {
	p := newPlayer(u, cfg.CMCD)
	p.measured, p.dialer = cfg.Measured, cfg.dialer
	p.watch(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.truth, (p.head.playing || p.over) && p.truth.Fatal == ""
}

func sum(each []PlayViewer, playing []bool) PlayResult {
	r := PlayResult{
		Viewers: len(each), Each: each,
		Fatal: map[string]int{}, Faults: map[string]int{}, Pathways: map[string]int{},
	}
	var starts []float64
	for i, v := range each {
		if playing[i] {
			r.Playing++
		}
		if v.Fatal != "" {
			r.Fatal[v.Fatal]++
		}
		for reason, n := range v.Faults {
			r.Faults[reason] += n
		}
		if v.Stalls > 0 {
			r.Stalled++
		}
		if len(v.Moves) > 0 {
			r.Moved++
		}
		if v.StartMS >= 0 {
			starts = append(starts, v.StartMS)
		}
		r.Pathways[v.Pathway]++
		r.Requests, r.Bytes, r.Missed = r.Requests+v.Requests, r.Bytes+v.Bytes, r.Missed+v.Missed
		r.Stalls, r.StalledMS, r.StallMaxMS = r.Stalls+v.Stalls, r.StalledMS+v.StalledMS, max(r.StallMaxMS, v.StallMaxMS)
	}
	if slices.Sort(starts); len(starts) > 0 {
		r.StartP50, r.StartMax = starts[len(starts)/2], starts[len(starts)-1]
	}
	return r
}
