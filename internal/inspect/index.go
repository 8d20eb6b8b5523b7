package inspect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// line is one line of an index.
type line struct {
	MSN      media.MSN  `json:"msn"`
	DTS      int64      `json:"dts"`
	Duration int64      `json:"duration"`
	Offset   int64      `json:"offset"`
	Size     int64      `json:"size"`
	Date     time.Time  `json:"date"`
	Sync     bool       `json:"sync"`
	Gap      bool       `json:"gap"`
	Filler   bool       `json:"filler"`
	IFrames  [][3]int64 `json:"iframes"`

	number int // counts from 1
}

var errTornLine = errors.New("no newline at the end")

// lines gives an index's lines in order. One that can't be read comes with its error, errTornLine for the last.
func lines(data []byte) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		for number := 1; len(data) > 0; number++ {
			text, rest, whole := bytes.Cut(data, []byte{'\n'})
			data = rest
			l, err := parseLine(text)
			if !whole {
				err = errTornLine
			}
			l.number = number
			if !yield(l, err) {
				return
			}
		}
	}
}

func parseLine(text []byte) (line, error) {
	const most = 1 << 53 // of ticks and bytes, so that sums stay in int64
	var l line
	if len(text) >= reclog.MaxLine {
		return l, fmt.Errorf("it has %d bytes", len(text))
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return l, err
	}
	switch {
	case l.MSN < 1 || l.MSN > reclog.MaxMSN:
		return l, fmt.Errorf("msn %d", l.MSN)
	case l.DTS < 0 || l.DTS > most || l.Duration < 0 || l.Duration > most:
		return l, fmt.Errorf("dts %d, duration %d", l.DTS, l.Duration)
	case l.Offset < 0 || l.Offset > most || l.Size < 0 || l.Size > most:
		return l, fmt.Errorf("offset %d, size %d", l.Offset, l.Size)
	case l.Size == 0 && !l.Gap:
		return l, errors.New("no bytes and no gap")
	case len(l.IFrames) > reclog.MaxIFrames:
		return l, fmt.Errorf("%d i-frames", len(l.IFrames))
	}
	for i, f := range l.IFrames {
		if f[1] < 0 || f[2] <= 0 || f[1]+f[2] > l.Size || f[0] < 0 || f[0] > l.Duration ||
			i > 0 && f[1] <= l.IFrames[i-1][1] {
			return l, fmt.Errorf("i-frame %d at %d+%d of %d bytes", i, f[1], f[2], l.Size)
		}
	}
	return l, nil
}
