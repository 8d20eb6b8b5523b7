package api

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// maxViewingEdges bounds the edges that are known at a time.
	maxViewingEdges = 1000
	// viewingSilence is how long an edge may tell nothing before its viewers are gone.
	viewingSilence = 12 * time.Second
	// viewingMemory is how long the rows of minutes are remembered.
	viewingMemory = 3 * time.Minute
)

// viewingNow is what the edges told last. Each API process has its own.
type viewingNow struct {
	mu    sync.Mutex
	edges map[string]*edgeNow
}

// edgeNow is of one edge.
type edgeNow struct {
	at      time.Time
	run     string
	viewers []media.ViewingCount
	rows    map[media.ViewingKey]media.ViewingRow
}

func newViewingNow() *viewingNow { return &viewingNow{edges: make(map[string]*edgeNow)} }

// told takes a report over. False: there are too many edges.
func (n *viewingNow) told(edge string, r *media.ViewingReport, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, e := range n.edges {
		if now.Sub(e.at) > viewingMemory {
			delete(n.edges, id)
		}
	}
	e := n.edges[edge]
	if e == nil || e.run != r.Run {
		if e == nil && len(n.edges) >= maxViewingEdges {
			return false
		}
		e = &edgeNow{run: r.Run, rows: make(map[media.ViewingKey]media.ViewingRow)}
		n.edges[edge] = e
	}
	e.at, e.viewers = now, r.Viewers
	for key := range e.rows {
		if now.Unix()-key.Minute > int64(viewingMemory/time.Second) {
			delete(e.rows, key)
		}
	}
	for _, row := range r.Rows {
		if now.Unix()-row.Minute <= int64(viewingMemory/time.Second) {
			e.rows[row.ViewingKey] = row
		}
	}
	return true
}

// ofStream says whether publisher/stream is one of the filter's.
func ofStream(f media.ViewingFilter, stream string, recording media.RecordingID) bool {
	return stream == f.Stream.String() && (f.Recording == "" || f.Recording == recording)
}

// addTo adds what is remembered of a filter to a sum.
func (n *viewingNow) addTo(s *viewingSum, f media.ViewingFilter, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, e := range n.edges {
		for _, row := range e.rows {
			if !ofStream(f, row.Stream, row.Recording) {
				continue
			}
			if begun := time.Unix(row.Minute, 0); !begun.Before(f.Since) && begun.Before(f.Until) {
				s.add(media.EdgeViewing{Edge: id, Run: e.run, Span: time.Minute, ViewingRow: row})
			}
			if isNow(row.Minute, now) {
				s.now.Add(row.Viewing)
			}
		}
		if now.Sub(e.at) > viewingSilence {
			continue
		}
		for _, c := range e.viewers {
			if ofStream(f, c.Stream, c.Recording) {
				s.viewers += c.Viewers
				s.recordings[c.Recording] += c.Viewers
				s.edgeCounts[id] += c.Viewers
			}
		}
	}
}

// isNow says that a minute is this one or the one before.
func isNow(minute int64, now time.Time) bool { return now.Unix()-minute < 120 }

// top gives the streams with the most viewers, and the number of all viewers.
func (n *viewingNow) top(publisher string, limit int, now time.Time) (viewers int64, rows []watchedRow) {
	n.mu.Lock()
	defer n.mu.Unlock()
	type watched struct {
		watchedRow
		sum media.Viewing
	}
	streams := make(map[string]*watched)
	for _, e := range n.edges {
		if now.Sub(e.at) > viewingSilence {
			continue
		}
		here := make(map[string]bool)
		for _, c := range e.viewers {
			owner, stream, _ := strings.Cut(c.Stream, "/")
			if publisher != "" && owner != publisher {
				continue
			}
			w := streams[c.Stream]
			if w == nil {
				w = &watched{watchedRow: watchedRow{Publisher: owner, Stream: stream}}
				streams[c.Stream] = w
			}
			w.Viewers += c.Viewers
			viewers += c.Viewers
			if !here[c.Stream] {
				here[c.Stream] = true
				w.Edges++
			}
		}
		for _, row := range e.rows {
			if w := streams[row.Stream]; w != nil && isNow(row.Minute, now) {
				w.sum.Add(row.Viewing)
			}
		}
	}
	rows = make([]watchedRow, 0, len(streams))
	for _, w := range streams {
		w.Now = summarise(&w.sum)
		rows = append(rows, w.watchedRow)
	}
	slices.SortFunc(rows, func(a, b watchedRow) int {
		return cmp.Or(cmp.Compare(b.Viewers, a.Viewers), cmp.Compare(a.Publisher, b.Publisher),
			cmp.Compare(a.Stream, b.Stream))
	})
	return viewers, rows[:min(limit, len(rows))]
}
