package packager

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// eventScheme is that of ID3 in CMAF (AOM, Carriage of ID3 Timed Metadata in CMAF, 2.2).
	eventScheme = "https://aomedia.org/emsg/ID3"
	// eventUnknown is the duration of an event of which only the begin is known.
	eventUnknown = math.MaxUint32
	// eventHead is an emsg's bytes without the message: box header, version and flags, timescale, presentation time,
	// duration, id, scheme and an empty value with their ends.
	eventHead = 12 + 4 + 8 + 4 + 4 + len(eventScheme) + 1 + 1

	// maxPartEvents is the most bytes of events in a part, unless one alone has more.
	maxPartEvents = 64 << 10
	// maxTags and maxTagBytes bound what waits for its part.
	maxTags     = 1024
	maxTagBytes = 1 << 20
)

// eventMessages are the ID3 tags that wait for their part of a take's first track. What finds no room is in playlists
// only.
type eventMessages struct {
	timescale uint32
	list      []event // in order of time
	bytes     int
}

// event is one tag; at is in ticks.
type event struct {
	at  int64
	id  uint32
	tag []byte
}

// add lets a tag wait; it is kept. number names it in the recording.
func (e *eventMessages) add(at time.Duration, number int64, tag []byte) {
	if len(e.list) >= maxTags || e.bytes+len(tag) > maxTagBytes {
		return
	}
	ev := event{at: media.Ticks(at, int64(e.timescale)), id: uint32(number), tag: tag}
	i := len(e.list)
	for i > 0 && e.list[i-1].at > ev.at {
		i--
	}
	e.list = slices.Insert(e.list, i, ev)
	e.bytes += len(tag)
}

// appendDue takes the tags that belong to a part which ends at a time, or to an earlier one that was closed before they
// came, and appends their boxes. What is too much for one part is left to the next; each says its true time.
func (e *eventMessages) appendDue(b []byte, end int64) []byte {
	n := 0
	for _, ev := range e.list {
		size := eventHead + len(ev.tag)
		if ev.at >= end || (n > 0 && len(b)+size > maxPartEvents) {
			break
		}
		b = header(b, size, "emsg")
		b = be32(be32(b, 1<<24), e.timescale)
		b = binary.BigEndian.AppendUint64(b, uint64(ev.at))
		b = be32(be32(b, eventUnknown), ev.id)
		b = append(append(b, eventScheme...), 0, 0)
		b = append(b, ev.tag...)
		e.bytes -= len(ev.tag)
		n++
	}
	e.list = slices.Delete(e.list, 0, n)
	return b
}
