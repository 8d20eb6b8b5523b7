package reclog

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// EventsFile is the name of the object, in an archived recording's folder, that has its events. The cluster's storage
// has none; package archiver documents it.
const EventsFile = "events.json"

// maxHistory is how many takes a history goes back: what is older was told long ago.
const maxHistory = 32

// History gives the events that follow from the recording: each time that its stream went live, and was interrupted,
// the last time if it is so now. An owner that died may have told none of them, or some; they have the keys that its
// own would have. A take without a new lease went on from the one before, so it is none.
func (rec *Recording) History(cluster string) []media.LogEvent {
	var events []media.LogEvent
	tell := func(kind string, at time.Time, take int, continues media.RecordingID) {
		events = append(events, media.LiveEvent(kind, rec.Path(), rec.ID, cluster, at,
			media.LiveData{Take: take, Continues: continues}))
	}
	first := max(0, len(rec.Takes)-maxHistory)
	for i := first; i < len(rec.Takes); i++ {
		take := &rec.Takes[i]
		if i > 0 && take.Epoch == rec.Takes[i-1].Epoch {
			continue
		}
		if i > first {
			before := rec.Takes[i-1].Number
			tell(media.EventInterrupted, rec.takeEnd(before, take.StartedAt), before, "")
		}
		tell(media.EventLive, take.StartedAt, take.Number, rec.Continues)
	}
	if n := len(rec.Takes); n > 0 && rec.State == media.Interrupted {
		tell(media.EventInterrupted, rec.LastMedia(), rec.Takes[n-1].Number, "")
	}
	return events
}

// LastHistory is History of a recording that is about to be ended because nobody has it any more: where its owner died
// in the middle of a take, that was an interruption too, which nobody came back from.
func (rec *Recording) LastHistory(cluster string) []media.LogEvent {
	left := *rec
	if left.State == media.Live {
		left.State = media.Interrupted
	}
	return left.History(cluster)
}

// takeEnd is when a take's last media ends, or the given time if it has none.
func (rec *Recording) takeEnd(take int, otherwise time.Time) time.Time {
	if len(rec.Tracks) == 0 {
		return otherwise
	}
	segments := rec.Tracks[0].Segments
	for i := len(segments) - 1; i >= 0; i-- {
		if seg := &segments[i]; seg.Take == take && !seg.Gap {
			return seg.Date.Add(rec.duration(0, seg))
		}
	}
	return otherwise
}
