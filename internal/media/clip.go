package media

import (
	"fmt"
	"time"
)

const (
	// MaxClip is the longest that a clip may be.
	MaxClip = 24 * time.Hour
	// MaxClipName is the most bytes of a clip's name.
	MaxClipName = 200
)

// CheckClip says as a *FieldError what is wrong with the bounds of a clip, which count from the recording's start by
// the clock. Now is the time; of a recording that grows, what is finished by then may be had.
func CheckClip(r Recording, start, end time.Duration, now time.Time) error {
	length := max(r.Duration, r.EndedAt.Sub(r.StartedAt))
	switch {
	case r.State.Growing():
		length = now.Sub(r.StartedAt)
	case r.ClipOf != "": // it ended when it was made
		length = max(r.Duration, r.ClipEnd-r.ClipStart)
	}
	is := fmt.Sprintf("the recording is %.3f seconds long, from %s on", length.Seconds(),
		r.StartedAt.UTC().Format(time.RFC3339Nano))
	switch {
	case start < 0 || start >= length:
		return &FieldError{Field: "start", Want: "it is outside of the recording: " + is}
	case end <= start:
		return &FieldError{Field: "end", Want: "it must be after start"}
	case end-start > MaxClip:
		return &FieldError{Field: "end", Want: fmt.Sprintf("a clip may be %s long: ask for several", MaxClip)}
	case end > length+time.Second: // rounded up by who took it from a player
		return &FieldError{Field: "end", Want: "it is behind the end of the recording: " + is}
	}
	return nil
}
