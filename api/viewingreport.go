package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// maxViewingReport bounds an edge's report, in bytes: that of ten thousand streams.
	maxViewingReport = 16 << 20
	// viewingAhead is how far the clock of an edge may be ahead of ours.
	viewingAhead = 5 * time.Minute
)

// serveViewing takes an edge's report of its viewers. No error says that what it was to keep is kept; rows that are too
// old, or of a time to come, are not, and are not to be sent again.
func (s *Server) serveViewing(r *http.Request, edge string) (any, error) {
	report, err := readViewing(r)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if !s.viewing.told(edge, report, now) {
		return nil, fmt.Errorf("%w: more than %d edges report viewers", media.ErrUnavailable, maxViewingEdges)
	}
	if !report.Keep {
		return nil, nil
	}
	if err := s.keepViewing(r.Context(), edge, report, now); err != nil {
		s.log.Log(r.Context(), s.awayLevel(now), "viewing is not kept", "edge", edge, "err", err)
		return nil, fmt.Errorf("%w: the catalog does not take it now: send it again", media.ErrUnavailable)
	}
	return nil, nil
}

func readViewing(r *http.Request) (*media.ViewingReport, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxViewingReport+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxViewingReport:
		return nil, fmt.Errorf("%w: a report of viewers has at most %d bytes", media.ErrTooLarge, maxViewingReport)
	}
	report := &media.ViewingReport{}
	if err := json.Unmarshal(body, report); err != nil {
		return nil, fmt.Errorf("%w: a report of viewers: %w", media.ErrInvalid, err)
	}
	return report, report.Check()
}

// keepViewing puts the minutes that are over into the history.
func (s *Server) keepViewing(ctx context.Context, edge string, r *media.ViewingReport, now time.Time) error {
	oldest, newest := now.Add(-minutesKept+time.Hour).Unix(), now.Add(viewingAhead).Unix()
	rows := slices.DeleteFunc(r.Done, func(row media.ViewingRow) bool {
		return row.Minute < oldest || row.Minute > newest // it may have been folded already
	})
	if len(rows) == 0 {
		return nil
	}
	return s.deps.Viewing.AddViewing(ctx, edge, r.Run, rows)
}
