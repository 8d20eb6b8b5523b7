package hls

import (
	"crypto/sha256"
	"math"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// repeatWithin is how far apart two pieces of the same bytes may be that are one, told again in case that it is lost.
const repeatWithin = 10 * time.Second

// maxListedID3 bounds the ID3 tags that playlists have, in bytes; larger ones are in the media alone.
const maxListedID3 = 2 << 10

// dateRange is one EXT-X-DATERANGE tag. A range that is told of in several steps has a tag for each, with one ID:
// later tags add attributes and change none (DR-1).
type dateRange struct {
	id    string
	start time.Time
	// end is where the range ends as far as is known, also by what the publisher planned; zero if it is not known yet.
	end time.Time
	// text is the tag's line. It is empty where nothing but the end of a range became known, by the begin of another.
	text []byte
}

// dateRanges makes tags of the pieces of a recording's metadata, one after the other. Its zero value is ready. What it
// makes depends on the pieces alone, so that all renditions, and the recording for ever, have the same.
type dateRanges struct {
	events  map[string]media.TimedEvent // by ID, as told so far
	classes map[string]*eventClass      // of events
	splices map[spliceKey]*spliceRange  // the newest of each event
	used    map[string]int              // how many ranges have an ID that begins so
	seen    map[[sha256.Size]byte]time.Time
}

// add gives the tags that a piece makes: one cue may end a range and begin another. Pieces come in the order of their
// numbers.
func (d *dateRanges) add(m *media.Metadata) []dateRange {
	if d.events == nil {
		*d = dateRanges{
			events: make(map[string]media.TimedEvent), classes: make(map[string]*eventClass),
			splices: make(map[spliceKey]*spliceRange), used: make(map[string]int),
			seen: make(map[[sha256.Size]byte]time.Time),
		}
	}
	switch m.Kind {
	case media.SCTE35:
		return d.splice(m)
	case media.CuePoint:
		return d.cuePoint(m)
	case media.ID3:
		return d.id3(m)
	case media.DateRange:
		return d.event(m)
	case media.KLV, media.Text, media.Captions, media.OnMeta:
	}
	return nil
}

// repeated says that the same bytes came a moment ago.
func (d *dateRanges) repeated(m *media.Metadata) bool {
	sum := sha256.Sum256(append([]byte(m.Kind), m.Payload...))
	last, told := d.seen[sum]
	d.seen[sum] = m.Date
	return told && m.Date.Sub(last).Abs() < repeatWithin
}

// unused gives an ID that no range has: base, base.2 and so on. No base has a dot.
func (d *dateRanges) unused(base string) string {
	d.used[base]++
	if n := d.used[base]; n > 1 {
		return base + "." + strconv.Itoa(n)
	}
	return base
}

// id3 makes an instant range of an ID3 tag.
func (d *dateRanges) id3(m *media.Metadata) []dateRange {
	const header = 10
	if len(m.Payload) < header || len(m.Payload) > maxListedID3 || string(m.Payload[:3]) != "ID3" || d.repeated(m) {
		return nil
	}
	t := newRangeText("id3-"+strconv.FormatInt(m.Number, 10), id3Class, m.Date)
	t.seconds("DURATION", 0)
	t.hex("X-ID3", m.Payload)
	return []dateRange{t.finish(m.Date)}
}

// rangeText is a tag being written. Its values are fit to be quoted.
type rangeText struct {
	tag dateRange
}

func newRangeText(id, class string, start time.Time) *rangeText {
	t := &rangeText{tag: dateRange{id: id, start: start}}
	t.tag.text = append(t.tag.text, `#EXT-X-DATERANGE:ID="`+id+`"`...)
	if class != "" {
		t.quoted("CLASS", class)
	}
	t.date("START-DATE", start)
	return t
}

func (t *rangeText) finish(end time.Time) dateRange {
	t.tag.end = end
	t.tag.text = append(t.tag.text, '\n')
	return t.tag
}

func (t *rangeText) name(name string) {
	t.tag.text = append(append(append(t.tag.text, ','), name...), '=')
}

func (t *rangeText) quoted(name, value string) {
	t.name(name)
	t.tag.text = append(append(append(t.tag.text, '"'), value...), '"')
}

func (t *rangeText) date(name string, at time.Time) {
	t.name(name)
	t.tag.text = at.UTC().AppendFormat(t.tag.text, `"2006-01-02T15:04:05.000Z"`)
}

func (t *rangeText) seconds(name string, length time.Duration) {
	t.name(name)
	t.tag.text = appendSeconds(t.tag.text, length)
}

// decimal writes a number that is not negative, without an exponent.
func (t *rangeText) decimal(name string, value float64) {
	t.name(name)
	t.tag.text = strconv.AppendFloat(t.tag.text, math.Abs(value), 'f', -1, 64) // -0 has a sign
}

// bare writes a value that has no quotes.
func (t *rangeText) bare(name, value string) {
	t.name(name)
	t.tag.text = append(t.tag.text, value...)
}

func (t *rangeText) hex(name string, value []byte) {
	const digits = "0123456789ABCDEF"
	t.name(name)
	t.tag.text = append(t.tag.text, "0x"...)
	for _, v := range value {
		t.tag.text = append(t.tag.text, digits[v>>4], digits[v&0xf])
	}
}
