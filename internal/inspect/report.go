package inspect

import (
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// MaxFindings is the most findings of one name that a report tells; the others are only counted.
const MaxFindings = 20

// Severity says how bad a finding is.
type Severity string

// The severities. Only errors fail an inspection.
const (
	Info    Severity = "info"    // to be expected: a recording that grows, an absent publisher
	Warning Severity = "warning" // viewers may notice, or a person should look
	Error   Severity = "error"   // the recording is not what it says it is
)

// Finding is one thing that was found.
type Finding struct {
	Severity Severity `json:"severity"`
	// Name is stable: "hole", "sequence", "unsealed".
	Name string `json:"name"`
	// Where is a file with an offset or line, or a segment: "1/video.mp4 at 8192", "1/video segment 12".
	Where string `json:"where,omitempty"`
	Text  string `json:"text"`
	// Do is what to do about it.
	Do string `json:"do,omitempty"`
}

// Report is what is known of a recording after its inspection.
type Report struct {
	Source    string            `json:"source"`
	Recording media.RecordingID `json:"recording,omitempty"`
	Publisher string            `json:"publisher,omitempty"`
	Stream    string            `json:"stream,omitempty"`
	State     media.State       `json:"state,omitempty"`
	StartedAt time.Time         `json:"started_at,omitzero"`
	EndedAt   time.Time         `json:"ended_at,omitzero"`
	// Seconds is how long what can be played is, fillers left out.
	Seconds float64 `json:"seconds"`
	// Bytes is the size of all its files that are named somewhere.
	Bytes int64 `json:"bytes"`
	// MediaRead says that the media itself was looked at.
	MediaRead bool `json:"media_read"`
	// Interrupted says that the inspection was cut off: what it did not come to is not in the report.
	Interrupted bool   `json:"interrupted,omitempty"`
	Takes       []Take `json:"takes"`
	Gaps        []Gap  `json:"gaps,omitempty"`
	// Metadata is the number of pieces of timed metadata.
	Metadata int       `json:"metadata"`
	Findings []Finding `json:"findings"`
	// More counts, by name, the findings that were not told.
	More     map[string]int `json:"more,omitempty"`
	Errors   int            `json:"errors"`
	Warnings int            `json:"warnings"`

	counts map[string]int
}

// Take is one take of a report. Playlists have takes between their discontinuities, which are not told apart: one.
type Take struct {
	Number    int       `json:"number"`
	Epoch     uint64    `json:"epoch,omitempty"`
	StartedAt time.Time `json:"started_at,omitzero"`
	Sealed    bool      `json:"sealed"`
	Tracks    []Track   `json:"tracks"`
	// Skew is the most that the tracks' segments of one MSN begin apart, in seconds.
	Skew float64 `json:"skew_seconds"`
}

// Track is one track of a take.
type Track struct {
	Name     string    `json:"name"`
	Codec    string    `json:"codec"`
	Width    int       `json:"width,omitempty"`
	Height   int       `json:"height,omitempty"`
	FirstMSN media.MSN `json:"first_msn"`
	LastMSN  media.MSN `json:"last_msn"`
	Segments int       `json:"segments"`
	Gaps     int       `json:"gaps"`
	Fillers  int       `json:"fillers"`
	Parts    int       `json:"parts,omitempty"`
	// Start is the first decode time and Seconds the length with its gaps, without fillers.
	Start   float64 `json:"start_seconds"`
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes"`
	// Rate is the average in bits per second of what is no gap.
	Rate int64 `json:"bits_per_second"`
	// KeyAverage and KeyMax are the distances between random access points in seconds; zero with fewer than two.
	KeyAverage float64 `json:"key_average_seconds,omitempty"`
	KeyMax     float64 `json:"key_max_seconds,omitempty"`

	starts []time.Duration // of the segments, for the comparison of tracks
	ends   time.Duration
	holes  bool // segments are missing, so that starts do not tell whose they are
}

// Gap is a run of segments without media.
type Gap struct {
	Take    int       `json:"take"`
	Track   string    `json:"track"`
	From    media.MSN `json:"from"`
	To      media.MSN `json:"to"`
	Date    time.Time `json:"date,omitzero"`
	Start   float64   `json:"start_seconds"`
	Seconds float64   `json:"seconds"`
	// Filler says that the publisher was away; else media was lost.
	Filler bool `json:"filler,omitempty"`
}

func (r *Report) add(s Severity, name, where, do, format string, args ...any) {
	switch s {
	case Error:
		r.Errors++
	case Warning:
		r.Warnings++
	}
	if r.counts == nil {
		r.counts = make(map[string]int)
	}
	if r.counts[name]++; r.counts[name] > MaxFindings {
		if r.More == nil {
			r.More = make(map[string]int)
		}
		r.More[name]++
		return
	}
	r.Findings = append(r.Findings, Finding{Severity: s, Name: name, Where: where, Text: fmt.Sprintf(format,
		args...), Do: do})
}
