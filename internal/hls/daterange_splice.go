package hls

import (
	"fmt"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// A splice_info_section makes tags as the draft's "Mapping SCTE-35 into EXT-X-DATERANGE" has it: leaving the programme
// (a splice_insert that goes out, the start of a break, an advertisement or a placement opportunity) begins a range
// with SCTE35-OUT; the return, or the segmentation's end, ends it with SCTE35-IN. The start of a programme, a chapter
// or the like begins a range with SCTE35-CMD, to which the end adds where it is. All else is an instant with
// SCTE35-CMD. Heartbeats (splice_null, bandwidth_reservation) are none.

// spliceKey names what begins and ends: kind is the segmentation type that begins it, 0 a splice_insert.
type spliceKey struct {
	kind  byte
	event uint32
}

// spliceRange is a range that a cue began.
type spliceRange struct {
	id         string
	start, end time.Time // end is zero while none is told
	planned    time.Duration
}

// again says that a start at a date tells of the same range once more.
func (r *spliceRange) again(at time.Time) bool {
	return at.Sub(r.start).Abs() < max(repeatWithin, r.planned)
}

// role is what an event does.
type role int

const (
	commands role = iota // no range
	leaves               // begins with SCTE35-OUT
	returns              // ends with SCTE35-IN
	begins               // begins with SCTE35-CMD
	ends                 // ends such a range
)

// roleOf tells an event's role, and the segmentation type by which its range is known.
func roleOf(command byte, x splice) (role, byte) {
	if command == spliceInsert {
		if x.out {
			return leaves, 0
		}
		return returns, 0
	}
	const program, terminated = 0x10, 0x12
	start, first, second := x.kind&^1, leaves, returns
	switch start {
	case 0x22, // break
		0x30, 0x32, 0x34, 0x36, // advertisement, placement opportunity: the provider's and the distributor's
		0x38, 0x3a, 0x3c, 0x3e, // overlay, promotion
		0x44, 0x46: // block of advertisements
	case program, 0x20, 0x24, 0x26, 0x40, 0x50: // chapter, opening and closing credits, unscheduled event, network
		first, second = begins, ends
	default:
		if x.kind == terminated {
			return ends, program
		}
		return commands, x.kind
	}
	if x.kind == start {
		return first, start
	}
	return second, start
}

// splice gives the tags of a splice_info_section.
func (d *dateRanges) splice(m *media.Metadata) (tags []dateRange) {
	info, ok := parseSplice(m.Payload)
	if !ok || !info.opaque && (info.command == spliceNull || info.command == bandwidthReservation) {
		return nil
	}
	alone := info.opaque || len(info.splices) == 0
	for _, x := range info.splices {
		if x.cancel {
			tags = append(tags, d.cancelSplice(info.command, x.event, m.Date)...)
			continue
		}
		what, kind := roleOf(info.command, x)
		key := spliceKey{kind: kind, event: x.event}
		switch what {
		case commands:
			alone = true
		case leaves, begins:
			if tag, is := d.beginSplice(key, x, what, info.section, m.Date); is {
				tags = append(tags, tag)
			}
		case returns, ends:
			tag, is, known := d.endSplice(key, what, info.section, m.Date)
			if is {
				tags = append(tags, tag)
			}
			alone = alone || !known || what == ends && is
		}
	}
	if alone && !d.repeated(m) {
		t := newRangeText("scte35-cmd-"+strconv.FormatInt(m.Number, 10), "", m.Date)
		t.seconds("DURATION", 0)
		t.hex("SCTE35-CMD", info.section)
		tags = append(tags, t.finish(m.Date))
	}
	return tags
}

// beginSplice begins a range, unless that is told already.
func (d *dateRanges) beginSplice(key spliceKey, x splice, what role, section []byte, at time.Time) (dateRange, bool) {
	if r := d.splices[key]; r != nil && r.again(at) && (r.end.IsZero() || at.Before(r.end) || at.Equal(r.start)) {
		return dateRange{}, false
	}
	base := fmt.Sprintf("scte35-splice-%d", key.event)
	if key.kind != 0 {
		base = fmt.Sprintf("scte35-%02x-%d", key.kind, key.event)
	}
	r := &spliceRange{id: d.unused(base), start: at, planned: media.Duration(x.duration, 90000).Round(time.Millisecond)}
	d.splices[key] = r
	t := newRangeText(r.id, "", at)
	if r.planned > 0 {
		t.seconds("PLANNED-DURATION", r.planned)
	}
	if what == leaves {
		t.hex("SCTE35-OUT", section)
	} else {
		t.hex("SCTE35-CMD", section)
	}
	if x.autoReturn && r.planned > 0 {
		return t.finish(at.Add(r.planned)), true // nothing else need tell its end
	}
	return t.finish(time.Time{}), true
}

// endSplice ends a range. known is false if the end belongs to none.
func (d *dateRanges) endSplice(
	key spliceKey, what role, section []byte, at time.Time,
) (tag dateRange, is, known bool) {
	r := d.splices[key]
	switch {
	case r == nil:
		return dateRange{}, false, false
	case !r.end.IsZero():
		return dateRange{}, false, at.Sub(r.end) < repeatWithin
	}
	t := r.finish(at)
	if what == returns {
		t.hex("SCTE35-IN", section)
	}
	return t.finish(r.end), true, true
}

// finish gives the tag that tells where the range ends.
func (r *spliceRange) finish(at time.Time) *rangeText {
	if at.Before(r.start) {
		at = r.start
	}
	r.end = at
	t := newRangeText(r.id, "", r.start)
	t.date("END-DATE", r.end)
	t.seconds("DURATION", r.end.Sub(r.start))
	return t
}

// cancelSplice makes ranges empty that are told of, did not begin yet and will not: playlists take back nothing.
func (d *dateRanges) cancelSplice(command byte, event uint32, at time.Time) (tags []dateRange) {
	cancel := func(kind byte) {
		if r := d.splices[spliceKey{kind, event}]; r != nil && r.end.IsZero() && !at.After(r.start) {
			tags = append(tags, r.finish(r.start).finish(r.start))
		}
	}
	if command == spliceInsert {
		cancel(0)
		return tags
	}
	for kind := byte(0x10); kind < 0x60; kind += 2 { // a cancelled segmentation has no type
		cancel(kind)
	}
	return tags
}
