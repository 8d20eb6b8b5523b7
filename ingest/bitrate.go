package ingest

import (
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// bitrate holds what a session brings against max_bitrate. Only what lasts is over it: in two windows of 5 s, one after
// the other, more than a tenth above. An encoder that sends what it held back during an outage is not.
type bitrate struct {
	limit int64 // bits per second; zero is none

	began    time.Time // of the window
	bytes    int64     // in it
	overBits int64     // per second in the window before, if that was over; else zero
	exceeded bool      // add has failed
}

const (
	bitrateWindow    = 5 * time.Second
	bitrateTolerance = 10 // per cent
)

// add counts media that came, and is a media.ErrLimit when it is too much.
func (b *bitrate) add(bytes int, now time.Time) error {
	if b.limit == 0 {
		return nil
	}
	if b.began.IsZero() {
		b.began = now
	}
	if past := now.Sub(b.began); past >= bitrateWindow {
		bits := int64(float64(b.bytes) * 8 / past.Seconds())
		over := bits > b.limit+b.limit/100*bitrateTolerance
		if over && b.overBits > 0 {
			b.exceeded = true
			return fmt.Errorf("%w: %s over %v, and the stream may have %s: set the encoder's bitrate, audio included, "+
				"to %d kbit/s or less", media.ErrLimit, megabits((bits+b.overBits)/2), 2*bitrateWindow, megabits(b.limit),
				b.limit/1000)
		}
		b.began, b.bytes, b.overBits = now, 0, 0
		if over {
			b.overBits = bits
		}
	}
	b.bytes += int64(bytes)
	return nil
}

func megabits(bits int64) string { return fmt.Sprintf("%.2f Mbit/s", float64(bits)/1e6) }
