package media

import (
	"encoding/json"
	"errors"
	"time"
)

// LogEvent is an event as the catalog keeps it: what webhooks, server-sent events and the archive tell. It is durable,
// unlike Event, which edges follow.
type LogEvent struct {
	// ID counts up in the order in which events became durable.
	ID   int64     `json:"id" doc:"Counts up: whoever follows reads on after the last one"`
	Type string    `json:"type" doc:"What happened, like recording.ended"`
	Time time.Time `json:"time" doc:"When it happened"`
	// Publisher and those below are empty where it is of none.
	Publisher string      `json:"publisher" doc:"Whose it is; empty where it is of none"`
	Stream    string      `json:"stream" doc:"The stream; empty where it is of none"`
	Recording RecordingID `json:"recording" doc:"The recording; empty where it is of none"`
	Cluster   string      `json:"cluster" doc:"Whose nodes it happened on"`
	// Data is what else is told of it: a JSON object, whose fields follow from the type.
	Data json.RawMessage `json:"data" doc:"What else is told: an object whose fields follow from the type"`
	// Key, if it is set, is the event's own for as long as the log has it: what is told again under it is not logged.
	Key string `json:"-"`
}

// Subject names what the order of events matters for: the recording, else the stream, publisher or cluster.
func (e LogEvent) Subject() string {
	switch {
	case e.Recording != "":
		return string(e.Recording)
	case e.Stream != "":
		return e.Publisher + "/" + e.Stream
	case e.Publisher != "":
		return e.Publisher
	}
	return "cluster:" + e.Cluster
}

// The types of event that only the log has, beside those of Event.
const (
	EventExpired       = "recording.expired" // retention, or somebody, deleted it; all of its bytes are gone
	EventIngestWarning = "ingest.warning"    // raised, or over
	EventPressure      = "storage.pressure"  // the level of a cluster's volume changed
)

// LogEventTypes lists every type of event that the log may have.
func LogEventTypes() []string {
	return []string{
		EventLive, EventInterrupted, EventEnded, EventArchived, EventFailed, EventExpired, EventIngestWarning, EventPressure,
	}
}

// LogFilter selects events of the log; what is empty selects all.
type LogFilter struct {
	Publisher string
	Stream    string
	Recording RecordingID
	Cluster   string
	Types     []string
	Since     time.Time
	Until     time.Time
}

// LogPage selects a part of the log: at most Limit events (zero is 50) with ids above After and, unless it is zero,
// below Before; the oldest of them first, or, for Newest, the newest.
type LogPage struct {
	After  int64
	Before int64
	Newest bool
	Limit  int
}

// LogEnds are where the log is.
type LogEnds struct {
	Pruned int64 // the newest event that is not there any more; zero is none
	Last   int64 // the newest event
}

// ErrStopped is the cause of a claim's failure that is nobody's fault: its process was told to stop.
var ErrStopped = errors.New("the archiver was stopped in the middle")
