package ingest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/oxbow-video/oxbow/internal/media"
)

// sessions are the publishers that are connected now.
type sessions struct {
	mu struct {
		sync.Mutex
		live map[*quality]struct{}
	}
}

func (s *sessions) enter(q *quality) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.live == nil {
		s.mu.live = make(map[*quality]struct{})
	}
	s.mu.live[q] = struct{}{}
}

func (s *sessions) leave(q *quality) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.live, q)
}

// Sessions reports on the publishers that are connected to this node, in order of publisher and stream.
func (s *Server) Sessions() []media.IngestReport {
	s.sessions.mu.Lock()
	live := slices.Collect(maps.Keys(s.sessions.mu.live))
	s.sessions.mu.Unlock()
	now := time.Now()
	reports := make([]media.IngestReport, len(live))
	for i, q := range live {
		reports[i] = q.snapshot(now)
	}
	// Of one stream there may be two live ones for a moment, or two of a feed that stand by; who came last is told of.
	slices.SortFunc(reports, func(a, b media.IngestReport) int {
		return cmp.Or(cmp.Compare(a.Publisher, b.Publisher), cmp.Compare(a.Stream, b.Stream), cmp.Compare(rank(a), rank(b)),
			cmp.Compare(b.Epoch, a.Epoch), b.StartedAt.Compare(a.StartedAt))
	})
	return slices.CompactFunc(reports, func(a, b media.IngestReport) bool {
		return a.Publisher == b.Publisher && a.Stream == b.Stream && rank(a) == rank(b)
	})
}

// rank orders a stream's sessions: who is live, then the standbys by feed.
func rank(r media.IngestReport) int {
	switch {
	case !r.Standby:
		return 0
	case r.Feed == media.FeedPrimary:
		return 1
	}
	return 2
}

// Session reports on the publisher of a stream, if it is connected to this node: on who is live, else on a standby.
func (s *Server) Session(path media.StreamPath) (media.IngestReport, bool) {
	reports := s.Sessions()
	at := slices.IndexFunc(reports, func(r media.IngestReport) bool {
		return r.Publisher == path.Publisher && r.Stream == path.Stream
	})
	if at < 0 {
		return media.IngestReport{}, false
	}
	return reports[at], true
}

// KickFor is Kick with a reason that the publisher's user reads in the encoder.
func (s *Server) KickFor(path media.StreamPath, reason string) bool {
	reason = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(reason, "?"))
	if reason = strings.TrimSpace(reason); reason == "" {
		return s.Kick(path)
	}
	r := refuse(errKicked)
	r.err = fmt.Errorf("%w: %s", errKicked, reason)
	r.say += ": " + reason
	return s.kick(path, r)
}

// snapshot gives the report made last; any goroutine may ask.
func (q *quality) snapshot(now time.Time) media.IngestReport {
	report := *q.published.Load()
	report.SilentMS = max(now.UnixMilli()-time.Unix(0, q.heard.Load()).UnixMilli(), 0)
	return report
}

// publish makes the report of the last review.
func (q *quality) publish(slots []*slot, wall time.Time) {
	r := q.identity
	r.UpdatedAt = wall.UTC().Truncate(time.Millisecond)
	r.BitrateBPS = bitsPerSecond(q.seconds[q.index].bytes, q.seconds[q.index].elapsed)
	r.Bitrate10sBPS = bitsPerSecond(q.sum.bytes, q.span)
	r.MaxBitrateBPS = q.maxBitrate
	r.LagMS, r.Pace, r.AVSkewMS = q.lag.Milliseconds(), round(q.pace, 1000), q.skews.median().Milliseconds()
	r.DataGaps, r.LongestGapMS, r.Bursts = q.gaps.count, q.gaps.longest.Milliseconds(), q.bursts
	r.Repairs = maps.Clone(q.repairs)
	r.Tracks = make([]media.IngestTrack, len(slots))
	for i, s := range slots {
		r.Tracks[i] = s.meter.report(s, q)
	}
	r.Transport = q.below
	if srt := r.Transport.SRT; srt != nil {
		srt.LossRatio = round(q.lossRatio(), 10000)
	}
	r.Warnings = []media.IngestWarning{}
	for i := range q.alarms {
		if a := &q.alarms[i]; a.raised {
			r.Warnings = append(r.Warnings, media.IngestWarning{
				Code: a.code, Severity: a.severity, Text: a.text, Since: a.since.UTC().Truncate(time.Millisecond),
			})
		}
	}
	slices.SortStableFunc(r.Warnings, func(a, b media.IngestWarning) int { return a.Since.Compare(b.Since) })
	q.published.Store(&r)
}
