package hls

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/oxbow-video/oxbow/internal/media"
)

// ContentTypeVTT is the media type of WebVTT.
const ContentTypeVTT = "text/vtt; charset=utf-8"

// Limits of subtitles.
const (
	// maxCueText bounds the text of a cue in bytes, before it is escaped.
	maxCueText = 1024
	// maxCues bounds the cues of a segment.
	maxCues = 100
	// cueTime is how long a text is shown that neither says for how long nor is followed by another.
	cueTime = 10 * time.Second
	// maxCueTime bounds how long a text may ask to be shown.
	maxCueTime = time.Minute
)

// AppendSubtitles writes the WebVTT text of the first rendition's segments from..to (SUB-1): one segment's file live,
// and all of a recording's in one beside the files of a bucket. It is the header alone where nothing is said.
//
// Cue times are media time, which is the tfdt's. The map ties the begin of the segments, to the millisecond, to its
// time stamp of 33 bits: a player that subtracts the two is right whatever the stamp's wraps, and one that takes cue
// times as media time is, too.
//
// A text is shown until the next one, for as long as it says, or for cueTime; an empty one ends it. The cue is cut at
// the ends of the segments, and the next segment's file goes on with it: a file depends on no text that is later than
// its segment, so that it is the same when the segment is listed and ever after. For this the packager never places a
// text before the open segment, nor before another text.
func AppendSubtitles(dst []byte, s *Snapshot, from, to media.MSN) []byte {
	const ticksPerMilli, wrap = 90, 1 << 33
	dst = slices.Grow(dst, 256)
	dst = append(dst, "WEBVTT\n"...)
	begin, end, ok := s.extent(from, to)
	if !ok {
		return append(dst, '\n')
	}
	dst = append(dst, "X-TIMESTAMP-MAP=MPEGTS:"...)
	dst = strconv.AppendInt(dst, begin*ticksPerMilli%wrap, 10)
	dst = append(dst, ",LOCAL:"...)
	dst = appendCueTime(dst, begin)
	dst = append(dst, "\n\n"...)
	list := s.Metadata
	most := maxCues * int(to-from+1)
	for i := firstText(list, time.Duration(begin)*time.Millisecond); i < len(list) && most > 0; {
		next := nextText(list, i+1)
		start := milli(list[i].Time)
		if start >= end {
			break
		}
		if text, length, ok := cueOf(list[i].Payload); ok && text != "" {
			stop := start + length.Milliseconds()
			if next < len(list) {
				stop = min(stop, milli(list[next].Time))
			}
			if start, stop = max(start, begin), min(stop, end); start < stop {
				dst = appendCue(dst, start, stop, text)
				most--
			}
		}
		i = next
	}
	return dst
}

// extent gives the media time of the first rendition's segments from..to in milliseconds.
func (s *Snapshot) extent(from, to media.MSN) (begin, end int64, ok bool) {
	if len(s.Renditions) == 0 {
		return 0, 0, false
	}
	r := &s.Renditions[0]
	first, okFirst := r.Segment(from)
	last, okLast := r.Segment(to)
	if !okFirst || !okLast || to < from {
		return 0, 0, false
	}
	at := func(take int, ticks int64) int64 {
		return milli(media.Duration(ticks, max(s.timescale(take, r.Name), 1)))
	}
	return at(first.Take, first.DTS), at(last.Take, last.DTS+last.Duration), true
}

// milli gives the millisecond that a media time is in.
func milli(d time.Duration) int64 { return d.Milliseconds() }

// firstText gives the text that holds at a media time: the last one that is not later, or the first there is. Texts
// come in the order of time, other pieces between them do not: the search looks at texts alone.
func firstText(list []media.Metadata, at time.Duration) int {
	low, high := 0, len(list) // the last text before low is not later, those from high on are
	for low < high {
		middle := low + (high-low)/2
		i := nextText(list, middle)
		if i >= high || list[i].Time > at {
			high = middle
			continue
		}
		low = i + 1
	}
	if low > 0 {
		return low - 1
	}
	return nextText(list, 0)
}

// nextText gives the first text from an index on; len(list) if there is none.
func nextText(list []media.Metadata, i int) int {
	for i < len(list) && list[i].Kind != media.Text {
		i++
	}
	return i
}

// TellsText says that a piece of kind media.Text has a text to show, or an empty one that ends what is shown. Other
// events of such a kind are nothing for subtitles.
func TellsText(payload []byte) bool {
	_, _, ok := cueOf(payload)
	return ok
}

// cueOf reads a text event: JSON of a string, or of an object whose "text" it is. "duration" is seconds, or, since
// encoders differ, milliseconds if it is more than maxCueTime in seconds. "language" and "trackid" are left aside: the
// subtitles are one rendition, whose language a setting says. The text comes clean, as a cue has it.
func cueOf(payload []byte) (text string, length time.Duration, ok bool) {
	var event struct {
		Text     *string `json:"text"`
		Duration any     `json:"duration"`
	}
	if len(payload) > 0 && payload[0] == '"' {
		payload = slices.Concat([]byte(`{"text":`), payload, []byte("}"))
	}
	if json.Unmarshal(payload, &event) != nil || event.Text == nil {
		return "", 0, false
	}
	length = cueTime
	if d, isNumber := event.Duration.(float64); isNumber && d > 0 {
		if d > maxCueTime.Seconds() {
			d /= 1000
		}
		length = time.Duration(min(d, maxCueTime.Seconds()) * float64(time.Second))
	}
	return cleanText(*event.Text), length, true
}

// cleanText makes a text one that can stand in a cue: lines without blank ones, which would end it, no control
// characters, and characters of WebVTT's own escaped, so that "-->" and tags are text (WebVTT, 4.2.2).
func cleanText(text string) string {
	text = strings.ToValidUTF8(text[:min(len(text), maxCueText)], "")
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\u0085", "\n",
		"\t", " ").Replace(text)
	text = strings.Map(func(r rune) rune {
		if r != '\n' && unicode.IsControl(r) || r == unicode.ReplacementChar || r == '\ufeff' {
			return -1
		}
		return r
	}, text)
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(strings.Join(lines, "\n"))
}

func appendCue(dst []byte, start, stop int64, text string) []byte {
	dst = appendCueTime(dst, start)
	dst = append(dst, " --> "...)
	dst = appendCueTime(dst, stop)
	dst = append(dst, '\n')
	dst = append(dst, text...)
	return append(dst, "\n\n"...)
}

// appendCueTime writes milliseconds as hours, two digits or more, minutes, seconds and thousandths (WebVTT, 4.1).
func appendCueTime(dst []byte, ms int64) []byte {
	if hours := ms / 3600000; hours > 99 {
		dst = strconv.AppendInt(dst, hours, 10)
	} else {
		dst = appendDigits(dst, int(hours))
	}
	dst = appendDigits(append(dst, ':'), int(ms/60000%60))
	dst = appendDigits(append(dst, ':'), int(ms/1000%60))
	dst = append(dst, '.', byte('0'+ms/100%10))
	return appendDigits(dst, int(ms%100))
}
