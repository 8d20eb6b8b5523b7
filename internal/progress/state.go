package progress

import (
	"fmt"
	"strings"
	"time"
)

// Bytes is the unit of counts of bytes, which are shown with a prefix.
const Bytes = "B"

// State is how far work is.
type State struct {
	// Done and Total count in Unit: Bytes, or a plural like "recordings". Total is zero while nobody knows it. Without a
	// unit neither is shown.
	Done, Total int64
	Unit        string
	// Of and For, of work that lasts as long as it is told to, are how much of it has passed; For is zero for other work.
	Of, For time.Duration
	// Text is what else is to be told: "take 1 video", "3 failed".
	Text string
}

// line writes a state as one line. Rate is of Done in a second; negative is not known yet.
func (s State) line(name string, elapsed time.Duration, rate float64) string {
	var parts []string
	switch {
	case s.For > 0:
		parts = append(parts, fmt.Sprintf("%s of %s", span(min(s.Of, s.For)), span(s.For)))
	case s.Unit == "":
		parts = append(parts, span(elapsed))
	}
	if s.Unit != "" {
		parts = append(parts, s.count())
		if rate >= 0 {
			parts = append(parts, s.rate(rate))
		}
	}
	if left := s.Total - s.Done; s.For == 0 && s.Unit != "" && left > 0 && rate > 0 {
		const most = 100 * time.Hour // further nobody believes it
		if wait := float64(left) / rate; wait < most.Seconds() {
			parts = append(parts, span(time.Duration(wait*float64(time.Second)))+" left")
		}
	}
	if s.Text != "" {
		parts = append(parts, s.Text)
	}
	return name + ": " + strings.Join(parts, ", ")
}

func (s State) count() string {
	if s.Total <= 0 {
		if s.Unit == Bytes {
			return Size(s.Done)
		}
		return fmt.Sprintf("%d %s", s.Done, s.Unit)
	}
	share := 100 * float64(s.Done) / float64(s.Total)
	if s.Unit == Bytes {
		return fmt.Sprintf("%s of %s (%.0f%%)", Size(s.Done), Size(s.Total), share)
	}
	return fmt.Sprintf("%d of %d %s (%.0f%%)", s.Done, s.Total, s.Unit, share)
}

func (s State) rate(rate float64) string {
	switch {
	case s.Unit == Bytes:
		return Size(int64(rate)) + "/s"
	case rate < 10:
		return fmt.Sprintf("%.1f/s", rate)
	}
	return fmt.Sprintf("%.0f/s", rate)
}

// Size writes a count of bytes with a decimal prefix, in three or four digits.
func Size(n int64) string {
	f := float64(n)
	for _, prefix := range []string{"", "k", "M", "G", "T"} {
		switch {
		case f < 1000 && prefix == "":
			return fmt.Sprintf("%.0f B", f)
		case f < 9.995:
			return fmt.Sprintf("%.2f %sB", f, prefix)
		case f < 99.95:
			return fmt.Sprintf("%.1f %sB", f, prefix)
		case f < 999.5:
			return fmt.Sprintf("%.0f %sB", f, prefix)
		}
		f /= 1000
	}
	return fmt.Sprintf("%.0f PB", f)
}

// span writes a duration in whole seconds, and from two hours on in minutes.
func span(d time.Duration) string {
	if d < 2*time.Hour {
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}
