package reclog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// dateForm is RFC 3339 to the millisecond. A date is cut to it, not rounded, so that a line says what a playlist said.
const dateForm = "2006-01-02T15:04:05.000Z"

// appendLine writes a segment's index line, newline included.
func appendLine(b []byte, seg *media.Segment) []byte {
	b = append(b, `{"msn":`...)
	b = strconv.AppendInt(b, int64(seg.MSN), 10)
	b = append(b, `,"dts":`...)
	b = strconv.AppendInt(b, seg.DTS, 10)
	b = append(b, `,"duration":`...)
	b = strconv.AppendInt(b, seg.Duration, 10)
	b = append(b, `,"offset":`...)
	b = strconv.AppendInt(b, seg.Offset, 10)
	b = append(b, `,"size":`...)
	b = strconv.AppendInt(b, seg.Size, 10)
	b = append(b, `,"date":"`...)
	b = seg.Date.UTC().AppendFormat(b, dateForm)
	b = append(b, '"')
	for _, flag := range []struct {
		set  bool
		name string
	}{{seg.Sync, "sync"}, {seg.Gap, "gap"}, {seg.Filler, "filler"}} {
		if flag.set {
			b = append(b, `,"`...)
			b = append(b, flag.name...)
			b = append(b, `":true`...)
		}
	}
	return append(appendIFrames(b, seg.IFrames), '}', '\n')
}

// indexLine is a line as encoding/json reads it, whoever wrote it.
type indexLine struct {
	MSN      *media.MSN `json:"msn"`
	DTS      int64      `json:"dts"`
	Duration int64      `json:"duration"`
	Offset   int64      `json:"offset"`
	Size     int64      `json:"size"`
	Date     time.Time  `json:"date"`
	Sync     bool       `json:"sync"`
	Gap      bool       `json:"gap"`
	Filler   bool       `json:"filler"`
	IFrames  [][]uint32 `json:"iframes"`
}

// parseLine reads an index line without its newline.
func parseLine(line []byte, seg *media.Segment) error {
	if len(line) >= MaxLine {
		return fmt.Errorf("line of %d bytes", len(line))
	}
	if !parseOwnLine(line, seg) {
		var l indexLine
		if err := json.Unmarshal(line, &l); err != nil {
			return err
		}
		if l.MSN == nil {
			return fmt.Errorf("line without msn")
		}
		iframes, err := iframesOf(l.IFrames)
		if err != nil {
			return err
		}
		*seg = media.Segment{
			MSN: *l.MSN, DTS: l.DTS, Duration: l.Duration, Offset: l.Offset, Size: l.Size,
			Date: l.Date.UTC().Truncate(time.Millisecond), Sync: l.Sync, Gap: l.Gap, Filler: l.Filler,
			IFrames: iframes,
		}
	}
	return checkSegment(seg)
}

// checkSegment says which bound a segment's numbers break, whoever made it.
func checkSegment(seg *media.Segment) error {
	switch {
	case seg.MSN < 1 || seg.MSN > MaxMSN:
		return fmt.Errorf("msn %d", seg.MSN)
	case seg.DTS < -maxTicks || seg.DTS > maxTicks || seg.Duration < 0 || seg.Duration > maxTicks:
		return fmt.Errorf("dts %d, duration %d", seg.DTS, seg.Duration)
	case seg.Offset < 0 || seg.Size < 0 || seg.Offset > math.MaxInt64/2 || seg.Size > math.MaxInt64/2:
		return fmt.Errorf("offset %d, size %d", seg.Offset, seg.Size)
	case seg.Size == 0 && !seg.Gap:
		return fmt.Errorf("no bytes and no gap")
	case seg.Date.Year() < 1 || seg.Date.Year() > 9999:
		return fmt.Errorf("date in year %d", seg.Date.Year())
	}
	return checkIFrames(seg)
}

// parseOwnLine reads exactly what appendLine writes, some ten times as fast as encoding/json; false for all else.
func parseOwnLine(line []byte, seg *media.Segment) bool {
	*seg = media.Segment{}
	var msn int64
	var ok bool
	rest := line
	for _, field := range [...]struct {
		key string
		dst *int64
	}{
		{`{"msn":`, &msn}, {`,"dts":`, &seg.DTS}, {`,"duration":`, &seg.Duration},
		{`,"offset":`, &seg.Offset}, {`,"size":`, &seg.Size},
	} {
		if rest, ok = cutPrefix(rest, field.key); !ok {
			return false
		}
		if *field.dst, rest, ok = cutInt(rest); !ok {
			return false
		}
	}
	seg.MSN = media.MSN(msn)
	if rest, ok = cutPrefix(rest, `,"date":"`); !ok || len(rest) <= len(dateForm) {
		return false
	}
	if seg.Date, ok = parseDate(rest[:len(dateForm)]); !ok || rest[len(dateForm)] != '"' {
		return false
	}
	rest = rest[len(dateForm)+1:]
	rest, seg.Sync = cutPrefix(rest, `,"sync":true`)
	rest, seg.Gap = cutPrefix(rest, `,"gap":true`)
	rest, seg.Filler = cutPrefix(rest, `,"filler":true`)
	if string(rest) == "}" {
		return true
	}
	seg.IFrames, rest = cutIFrames(rest)
	return string(rest) == "}"
}

func cutPrefix(b []byte, prefix string) ([]byte, bool) {
	if len(b) < len(prefix) || string(b[:len(prefix)]) != prefix {
		return b, false
	}
	return b[len(prefix):], true
}

// cutInt reads a JSON integer of at most 18 digits.
func cutInt(b []byte) (n int64, rest []byte, ok bool) {
	rest, negative := cutPrefix(b, "-")
	i := 0
	for ; i < len(rest) && i < 19 && rest[i]-'0' <= 9; i++ {
		n = n*10 + int64(rest[i]-'0')
	}
	if i == 0 || i > 18 || (rest[0] == '0' && i > 1) {
		return 0, b, false
	}
	if negative {
		n = -n
	}
	return n, rest[i:], true
}

// parseDate reads dateForm.
func parseDate(b []byte) (time.Time, bool) {
	var at [7]int
	for i, f := range [...]struct {
		from, to int
		end      byte
	}{
		{0, 4, '-'}, {5, 7, '-'}, {8, 10, 'T'}, {11, 13, ':'}, {14, 16, ':'}, {17, 19, '.'}, {20, 23, 'Z'},
	} {
		for _, c := range b[f.from:f.to] {
			if c-'0' > 9 {
				return time.Time{}, false
			}
			at[i] = at[i]*10 + int(c-'0')
		}
		if b[f.to] != f.end {
			return time.Time{}, false
		}
	}
	if at[1] < 1 || at[1] > 12 || at[3] > 23 || at[4] > 59 || at[5] > 59 {
		return time.Time{}, false
	}
	t := time.Date(at[0], time.Month(at[1]), at[2], at[3], at[4], at[5], at[6]*int(time.Millisecond), time.UTC)
	return t, t.Day() == at[2]
}

// indexScan is what an index says.
type indexScan struct {
	// lines have ascending MSNs and byte ranges; MSNs may be missing between them.
	lines []media.Segment
	// lost are lines whose bytes lie behind the end of the track's file.
	lost []media.Segment
	// bad are the lines between good ones that do not parse or do not follow.
	bad []Damage
	// end is where the last good line ends; what lies behind is torn.
	end int64
}

// indexBounds is what an index may say.
type indexBounds struct {
	take     int
	first    media.MSN
	below    media.MSN // the next take's first MSN
	initSize int64
	size     int64 // of the track's file; negative is unknown
	file     string
}

// parseIndex reads an index. Lines of MSNs that belong to the next take are a fenced writer's and are passed over.
func parseIndex(data []byte, b indexBounds) indexScan {
	out := indexScan{lines: make([]media.Segment, 0, bytes.Count(data, []byte{'\n'}))}
	last, end := b.first-1, b.initSize
	var bad []Damage // not known yet whether they are the torn tail
	for pos := int64(0); pos < int64(len(data)); {
		n := bytes.IndexByte(data[pos:], '\n')
		if n < 0 {
			break
		}
		at := pos
		pos += int64(n) + 1
		var seg media.Segment
		err := parseLine(data[at:at+int64(n)], &seg)
		if err == nil && seg.MSN >= b.below {
			continue
		}
		if err == nil && (seg.MSN <= last || seg.MSN > last+maxFill || seg.Offset < end) {
			err = fmt.Errorf("msn %d at %d follows %d at %d", seg.MSN, seg.Offset, last, end)
		}
		if err != nil {
			if len(bad) < maxDamage {
				bad = append(bad, Damage{File: b.file, Offset: at, Reason: err.Error()})
			}
			continue
		}
		out.bad, bad = append(out.bad, bad...), nil
		out.end = pos
		seg.Take = b.take
		if b.size >= 0 && seg.Size > 0 && seg.Offset+seg.Size > b.size {
			out.lost = append(out.lost, seg)
			continue
		}
		last, end = seg.MSN, seg.Offset+seg.Size
		out.lines = append(out.lines, seg)
	}
	out.bad = out.bad[:min(len(out.bad), maxDamage)]
	return out
}
