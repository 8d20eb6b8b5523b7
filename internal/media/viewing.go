package media

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

const (
	// ViewingSamples is how often a minute's viewers are counted: at each twelfth of it by the wall clock, so that the
	// counts of edges can be added up.
	ViewingSamples = 12
	// ViewingSpan is what a ViewingRow is of.
	ViewingSpan = time.Minute

	maxViewingName  = 253     // of an edge's id, in bytes
	maxViewingCount = 1 << 50 // of any figure of a minute
)

// Viewing is figures of what viewers saw, which are added up over minutes, edges and recordings. All but those of
// delivery are of players that send CMCD.
type Viewing struct {
	// Delivery, to all viewers.
	Starts   int64 `json:"starts" doc:"Viewings that began"`
	WatchMS  int64 `json:"watch_ms" doc:"How long viewers were there, added up, in milliseconds"`
	Bytes    int64 `json:"bytes" doc:"Bytes of answers' bodies"`
	Requests int64 `json:"requests" doc:"Requests, viewers' and others"`
	Refused  int64 `json:"refused" doc:"Answers of 400 to 499"`
	Failed   int64 `json:"failed" doc:"Answers of 500 and above"`
	Cut      int64 `json:"cut" doc:"Answers that were broken off"`

	// Quality, as players tell it.
	CMCDStarts  int64     `json:"cmcd_starts" doc:"Of starts, those whose players send CMCD"`
	CMCDWatchMS int64     `json:"cmcd_watch_ms" doc:"Of watch_ms, theirs"`
	Startups    int64     `json:"startups" doc:"Viewings that have shown a picture"`
	StartupMS   int64     `json:"startup_ms" doc:"From their first request to that, added up"`
	StartupOf   Histogram `json:"startup_of,omitempty" doc:"Startups by milliseconds: up to 50, then 1.41 times more each"`
	Stalls      int64     `json:"stalls" doc:"How often playing stopped for want of media"`
	StalledMS   int64     `json:"stalled_ms" doc:"How long it stood still for that"`
	Errors      int64     `json:"player_errors" doc:"Errors that players told"`
	// ThroughputOf counts requests with mtp.
	ThroughputOf Histogram `json:"throughput_of,omitempty" doc:"Requests by kbit/s: up to 50, then 1.41 times more each"`
	// MediaMS is of media that was asked for with its bitrate; BitrateSum is that times the kbit/s.
	MediaMS    int64 `json:"media_ms" doc:"Media that was asked for and whose bitrate is known, in milliseconds"`
	BitrateSum int64 `json:"bitrate_sum" doc:"Its bitrates in kbit/s, times those milliseconds"`
	Buffers    int64 `json:"buffers" doc:"Requests with the length of a buffer"`
	BufferMS   int64 `json:"buffer_ms" doc:"Those lengths, added up"`
}

// Add adds other figures.
func (v *Viewing) Add(o Viewing) {
	to, from := v.counts(), o.counts()
	for i := range to {
		*to[i] += *from[i]
	}
	v.StartupOf = v.StartupOf.plus(o.StartupOf)
	v.ThroughputOf = v.ThroughputOf.plus(o.ThroughputOf)
}

func (v *Viewing) counts() [18]*int64 {
	return [...]*int64{
		&v.Starts, &v.WatchMS, &v.Bytes, &v.Requests, &v.Refused, &v.Failed, &v.Cut, &v.CMCDStarts, &v.CMCDWatchMS,
		&v.Startups, &v.StartupMS, &v.Stalls, &v.StalledMS, &v.Errors, &v.MediaMS, &v.BitrateSum, &v.Buffers, &v.BufferMS,
	}
}

// Zero says that nothing happened.
func (v *Viewing) Zero() bool {
	for _, n := range v.counts() {
		if *n != 0 {
			return false
		}
	}
	return true
}

// check bounds what an edge tells.
func (v *Viewing) check() error {
	for _, n := range v.counts() {
		if *n < 0 || *n > maxViewingCount {
			return fmt.Errorf("%w: a figure of %d", ErrInvalid, *n)
		}
	}
	for _, h := range []Histogram{v.StartupOf, v.ThroughputOf} {
		if len(h) > HistogramSteps || slices.ContainsFunc(h, func(n int64) bool { return n < 0 || n > maxViewingCount }) {
			return fmt.Errorf("%w: a histogram that is none", ErrInvalid)
		}
	}
	return nil
}

// ViewingKey says of what, and where, a row is.
type ViewingKey struct {
	// Minute is when it begins, in Unix seconds.
	Minute int64  `json:"minute"`
	Stream string `json:"stream"` // publisher/stream
	// Recording is empty for what names none, like a stream's multivariant playlist.
	Recording RecordingID `json:"recording,omitempty"`
}

// ViewingRow is what an edge saw of a recording in a minute.
type ViewingRow struct {
	ViewingKey
	// Samples are the counts of viewers; those that are not there yet, or at the end and zero, are left out.
	Samples []int64 `json:"samples,omitempty"`
	Viewing
}

// ViewingReport is what an edge tells of its viewers, again and again. Rows tell of their whole minute up to now: who
// gets one again replaces it.
type ViewingReport struct {
	// Run is of the edge's process: a minute in which it began anew has two rows.
	Run string `json:"run"`
	// Keep says that the rows that are Done are to be put into the history. One directory is told so; the answer 204
	// says that they are there.
	Keep bool `json:"keep"`
	// Viewers are there now, by publisher/stream and recording.
	Viewers []ViewingCount `json:"viewers"`
	// Done are the minutes that are over, oldest first, Rows the one that is not.
	Done []ViewingRow `json:"done,omitempty"`
	Rows []ViewingRow `json:"rows,omitempty"`
}

// ViewingCount is how many watch a recording now.
type ViewingCount struct {
	Stream    string      `json:"stream"` // publisher/stream
	Recording RecordingID `json:"recording,omitempty"`
	Viewers   int64       `json:"viewers"`
}

// Check says what is wrong with a report.
func (r *ViewingReport) Check() error {
	if r.Run == "" || len(r.Run) > maxViewingName {
		return fmt.Errorf("%w: a report of viewers names the run of its edge, in 1 to %d bytes", ErrInvalid, maxViewingName)
	}
	for _, c := range r.Viewers {
		if err := checkViewed(c.Stream, c.Recording); err != nil {
			return err
		}
		if c.Viewers < 0 || c.Viewers > maxViewingCount {
			return fmt.Errorf("%w: %d viewers", ErrInvalid, c.Viewers)
		}
	}
	for _, rows := range [][]ViewingRow{r.Done, r.Rows} {
		for i := range rows {
			if err := rows[i].Check(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Check says what is wrong with a row.
func (r *ViewingRow) Check() error {
	if err := checkViewed(r.Stream, r.Recording); err != nil {
		return err
	}
	if r.Minute <= 0 || r.Minute%60 != 0 || len(r.Samples) > ViewingSamples {
		return fmt.Errorf("%w: a row of viewers of %d with %d samples", ErrInvalid, r.Minute, len(r.Samples))
	}
	for _, n := range r.Samples {
		if n < 0 || n > maxViewingCount {
			return fmt.Errorf("%w: %d viewers", ErrInvalid, n)
		}
	}
	return r.check()
}

func checkViewed(stream string, recording RecordingID) error {
	if _, err := ParseStreamPath(stream); err != nil {
		return err
	}
	if recording != "" {
		if _, err := ParseRecordingID(string(recording)); err != nil {
			return err
		}
	}
	return nil
}

// HistogramSteps is how many numbers a Histogram has at most.
const HistogramSteps = 24

// Histogram counts values: first those up to 50, then each the values above that and up to the square root of two times
// more, the last all that are greater. Zeros at its end are left out.
type Histogram []int64

// HistogramBounds are the upper bounds of all steps but the last.
func HistogramBounds() [HistogramSteps - 1]int64 {
	return [...]int64{
		50, 71, 100, 141, 200, 283, 400, 566, 800, 1131, 1600, 2263, 3200, 4525, 6400, 9051, 12800, 18102, 25600, 36204,
		51200, 72408, 102400,
	}
}

// HistogramStep gives the step of a value.
func HistogramStep(value int64) int {
	bounds := HistogramBounds()
	step, _ := slices.BinarySearch(bounds[:], value)
	return step
}

func (h Histogram) plus(o Histogram) Histogram {
	sum := make(Histogram, max(len(h), len(o)))
	copy(sum, h)
	for i, n := range o {
		sum[i] += n
	}
	if len(sum) == 0 {
		return nil
	}
	return sum
}

// Quantile gives the value below which a share of all is: between a step's bounds by even division, and never past the
// last bound. False: there is nothing.
func (h Histogram) Quantile(share float64) (value float64, ok bool) {
	var all int64
	for _, n := range h {
		all += n
	}
	if all == 0 {
		return 0, false
	}
	bounds := HistogramBounds()
	rank := share * float64(all)
	for i, n := range h {
		if rank > float64(n) || n == 0 {
			rank -= float64(n)
			continue
		}
		low, high := int64(0), bounds[min(i, len(bounds)-1)]
		if i > 0 {
			low = bounds[i-1]
		}
		return float64(low) + float64(high-low)*max(rank, 0)/float64(n), true
	}
	return float64(bounds[len(bounds)-1]), true
}

// CompareViewingKeys puts rows in order: of time, stream, recording.
func CompareViewingKeys(a, b ViewingKey) int {
	return cmp.Or(cmp.Compare(a.Minute, b.Minute), cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Recording, b.Recording))
}

// EdgeViewing is a row as the history has it: of an edge and a minute, or, when that is long ago, of all edges and an
// hour. That one has one sample, which is the peak, and no edge.
type EdgeViewing struct {
	Edge, Run string
	Span      time.Duration
	ViewingRow
}

// ViewingFilter selects rows of the history. Times are those of minutes.
type ViewingFilter struct {
	Stream       StreamPath // zero is every one
	Recording    RecordingID
	Since, Until time.Time // zero is no bound
}
