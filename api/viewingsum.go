package api

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// ViewingSummary is media.Viewing for readers. It is exported because huma sees no other that is embedded.
type ViewingSummary struct {
	Starts   int64   `json:"starts" doc:"Viewings that began"`
	WatchS   float64 `json:"watch_s" doc:"How long viewers were there, added up, in seconds"`
	Bytes    int64   `json:"bytes" doc:"What was sent"`
	Requests int64   `json:"requests" doc:"Requests, viewers' and others"`
	Refused  int64   `json:"refused" doc:"Answers of 400 to 499"`
	Failed   int64   `json:"failed" doc:"Answers of 500 and above"`
	Cut      int64   `json:"cut" doc:"Answers that were broken off"`

	CMCDShare     float64 `json:"cmcd_share" doc:"Share of watch_s of players with CMCD, of which what follows is"`
	Startups      int64   `json:"startups" doc:"Viewings that have shown a picture"`
	StartupMS     float64 `json:"startup_ms" doc:"How long that took, on average; 0 without any"`
	StartupP50MS  float64 `json:"startup_p50_ms" doc:"Half of them took longer"`
	StartupP90MS  float64 `json:"startup_p90_ms" doc:"A tenth of them took longer"`
	Stalls        int64   `json:"stalls" doc:"How often playing stopped for want of media"`
	StalledS      float64 `json:"stalled_s" doc:"How long it stood still for that"`
	StallRatio    float64 `json:"stall_ratio" doc:"That, of the time that these viewers were there"`
	ThroughputP10 float64 `json:"throughput_p10_kbps" doc:"As players measured it, in kbit/s: a tenth was below"`
	ThroughputP50 float64 `json:"throughput_p50_kbps" doc:"Half was below"`
	ThroughputP90 float64 `json:"throughput_p90_kbps" doc:"A tenth was above"`
	Bitrate       float64 `json:"bitrate_kbps" doc:"Of the media that was asked for, on average"`
	BufferMS      float64 `json:"buffer_ms" doc:"What players had in store, on average"`
	PlayerErrors  int64   `json:"player_errors" doc:"Errors that players told"`
}

func summarise(v *media.Viewing) ViewingSummary {
	quantile := func(h media.Histogram, share float64) float64 {
		value, _ := h.Quantile(share)
		return math.Round(value)
	}
	return ViewingSummary{
		Starts: v.Starts, WatchS: float64(v.WatchMS) / 1000, Bytes: v.Bytes, Requests: v.Requests, Refused: v.Refused,
		Failed: v.Failed, Cut: v.Cut, CMCDShare: ratio(v.CMCDWatchMS, v.WatchMS), Startups: v.Startups,
		StartupMS:    math.Round(ratio(v.StartupMS, v.Startups)),
		StartupP50MS: quantile(v.StartupOf, 0.5), StartupP90MS: quantile(v.StartupOf, 0.9),
		Stalls: v.Stalls, StalledS: float64(v.StalledMS) / 1000, StallRatio: ratio(v.StalledMS, v.CMCDWatchMS),
		ThroughputP10: quantile(v.ThroughputOf, 0.1), ThroughputP50: quantile(v.ThroughputOf, 0.5),
		ThroughputP90: quantile(v.ThroughputOf, 0.9),
		Bitrate:       math.Round(ratio(v.BitrateSum, v.MediaMS)), BufferMS: math.Round(ratio(v.BufferMS, v.Buffers)),
		PlayerErrors: v.Errors,
	}
}

func ratio(part, of int64) float64 {
	if of == 0 {
		return 0
	}
	return float64(part) / float64(of)
}

// viewingBody is an answer about a stream or a recording.
type viewingBody struct {
	Viewers    int64                 `json:"viewers" doc:"Who watches now"`
	Recordings []recordingViewersRow `json:"recordings" nullable:"false" doc:"What they watch, live or not"`
	Edges      []edgeViewingRow      `json:"edges,omitempty" doc:"By edge; for tokens of all publishers"`
	Now        ViewingSummary        `json:"now" doc:"The last one to two minutes"`
	Peak       int64                 `json:"peak" doc:"Most viewers at a time, in the range"`
	PeakAt     *time.Time            `json:"peak_at" doc:"The row of the history in which that was; null: nobody watched"`
	Total      ViewingSummary        `json:"total" doc:"All of the range"`
	History    []viewingPoint        `json:"history" nullable:"false" doc:"Oldest first, without empty ones"`
}

type recordingViewersRow struct {
	Recording media.RecordingID `json:"recording"`
	Viewers   int64             `json:"viewers" doc:"Who watches it now"`
}

type edgeViewingRow struct {
	Edge    string         `json:"edge" doc:"Its id"`
	Viewers int64          `json:"viewers" doc:"Who watches there now"`
	Total   ViewingSummary `json:"total" doc:"Of the range, as far as it is kept by the minute"`
}

type viewingPoint struct {
	At      time.Time `json:"at"`
	SpanS   int64     `json:"span_s" doc:"How long it is, in seconds"`
	Viewers float64   `json:"viewers" doc:"How many watched, on average"`
	Peak    int64     `json:"peak" doc:"Most viewers at a time"`
	ViewingSummary
}

// viewingSum adds up rows.
type viewingSum struct {
	filter media.ViewingFilter
	step   int64 // seconds
	seen   map[viewingID]bool
	points map[int64]*viewingPart // by their beginning
	edges  map[string]*viewingPart
	counts map[int64]*[media.ViewingSamples]int64 // of minutes
	peaks  map[int64]int64                        // of points
	total  media.Viewing

	now        media.Viewing
	viewers    int64
	recordings map[media.RecordingID]int64
	edgeCounts map[string]int64
}

// viewingID tells one row from another.
type viewingID struct {
	edge, run string
	media.ViewingKey
}

type viewingPart struct {
	media.Viewing
	span int64
}

func newViewingSum(f media.ViewingFilter, step time.Duration) *viewingSum {
	return &viewingSum{
		filter: f, step: int64(step / time.Second), seen: make(map[viewingID]bool), points: make(map[int64]*viewingPart),
		edges: make(map[string]*viewingPart), counts: make(map[int64]*[media.ViewingSamples]int64),
		peaks: make(map[int64]int64), recordings: make(map[media.RecordingID]int64), edgeCounts: make(map[string]int64),
	}
}

// recent is how far back rows of memory go: they may be in the history as well.
const recent = 10 * time.Minute

func (s *viewingSum) add(v media.EdgeViewing) {
	if v.Span == time.Minute && time.Since(time.Unix(v.Minute, 0)) < recent {
		id := viewingID{v.Edge, v.Run, v.ViewingKey}
		if s.seen[id] {
			return
		}
		s.seen[id] = true
	}
	span := max(s.step, int64(v.Span/time.Second))
	start := v.Minute / span * span
	p := s.points[start]
	if p == nil {
		p = &viewingPart{}
		s.points[start] = p
	}
	p.span = max(p.span, span)
	p.Add(v.Viewing)
	s.total.Add(v.Viewing)
	if v.Edge == "" { // an hour of all edges
		for _, n := range v.Samples {
			s.peaks[start] = max(s.peaks[start], n) // of a stream with several recordings it may have been more
		}
		return
	}
	e := s.edges[v.Edge]
	if e == nil {
		e = &viewingPart{}
		s.edges[v.Edge] = e
	}
	e.Add(v.Viewing)
	counts := s.counts[v.Minute]
	if counts == nil {
		counts = new([media.ViewingSamples]int64)
		s.counts[v.Minute] = counts
	}
	for i, n := range v.Samples[:min(len(v.Samples), len(counts))] {
		counts[i] += n
		s.peaks[start] = max(s.peaks[start], counts[i])
	}
}

// body is the answer, with edges or without.
func (s *viewingSum) body(edges bool) viewingBody {
	b := viewingBody{
		Viewers: s.viewers, Recordings: []recordingViewersRow{}, History: []viewingPoint{},
		Now: summarise(&s.now), Total: summarise(&s.total),
	}
	for id, n := range s.recordings {
		b.Recordings = append(b.Recordings, recordingViewersRow{id, n})
	}
	slices.SortFunc(b.Recordings, func(a, b recordingViewersRow) int {
		return cmp.Or(cmp.Compare(b.Viewers, a.Viewers), cmp.Compare(a.Recording, b.Recording))
	})
	for start, p := range s.points {
		b.History = append(b.History, viewingPoint{
			At: time.Unix(start, 0).UTC(), SpanS: p.span, Viewers: math.Round(ratio(p.WatchMS, p.span)) / 1000,
			Peak: s.peaks[start], ViewingSummary: summarise(&p.Viewing),
		})
	}
	slices.SortFunc(b.History, func(a, b viewingPoint) int { return a.At.Compare(b.At) })
	for i := range b.History {
		if p := &b.History[i]; p.Peak > b.Peak {
			b.Peak, b.PeakAt = p.Peak, &p.At
		}
	}
	if !edges {
		return b
	}
	for edge := range s.edgeCounts {
		if s.edges[edge] == nil {
			s.edges[edge] = &viewingPart{}
		}
	}
	for edge, p := range s.edges {
		b.Edges = append(b.Edges, edgeViewingRow{Edge: edge, Viewers: s.edgeCounts[edge], Total: summarise(&p.Viewing)})
	}
	slices.SortFunc(b.Edges, func(a, b edgeViewingRow) int { return cmp.Compare(a.Edge, b.Edge) })
	return b
}
