package api

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// progressRow is how far a recording's archiving is.
type progressRow struct {
	DoneBytes  int64  `json:"done_bytes" doc:"What the archive has"`
	TotalBytes int64  `json:"total_bytes"`
	RateBPS    int64  `json:"rate_bps" doc:"Bytes per second, of late"`
	ETASeconds *int64 `json:"eta_s" doc:"Seconds to go at that rate; null when nobody knows"`
}

// progressAge is how old a figure may be and still say how fast it goes.
const progressAge = 30 * time.Second

// newProgressRow is nil for a recording of which nothing is being uploaded.
func newProgressRow(r media.Recording, now time.Time) *progressRow {
	p := r.Progress
	whileLive := r.Continuous && (r.State.Growing() || r.State == media.Ended)
	if p.At.IsZero() || p.Total == 0 || r.State != media.Archiving && !whileLive {
		return nil
	}
	row := &progressRow{DoneBytes: p.Done, TotalBytes: p.Total, RateBPS: p.Rate}
	if now.Sub(p.At) > progressAge {
		row.RateBPS = 0
	}
	if left := p.Total - p.Done; row.RateBPS > 0 && left >= 0 && r.State == media.Archiving {
		eta := (left + row.RateBPS - 1) / row.RateBPS
		row.ETASeconds = &eta
	}
	return row
}
