package media

import (
	"encoding/json"
	"fmt"
	"time"
)

// LiveData is the data of stream.live and stream.interrupted.
type LiveData struct {
	// Take is the one that began, or that was cut off.
	Take int `json:"take"`
	// Node has the publisher; empty where another tells of it later.
	Node      string      `json:"node,omitempty"`
	Continues RecordingID `json:"continues,omitempty"`
	// Until is when an interrupted show ends if nobody comes back.
	Until *time.Time `json:"until,omitempty"`
}

// EndedData is the data of recording.ended.
type EndedData struct {
	StartedAt  time.Time   `json:"started_at"`
	EndedAt    time.Time   `json:"ended_at"`
	DurationMS int64       `json:"duration_ms"`
	Bytes      int64       `json:"bytes"`
	Continues  RecordingID `json:"continues,omitempty"`
	ClipOf     RecordingID `json:"clip_of,omitempty"`
	Name       string      `json:"name,omitempty"`
	// Error says why the cluster's storage has not got it.
	Error string `json:"error,omitempty"`
}

// ArchivedData is the data of recording.archived.
type ArchivedData struct {
	DurationMS int64       `json:"duration_ms"`
	Bytes      int64       `json:"bytes"`
	Archive    string      `json:"archive"` // empty is the default
	Mirror     string      `json:"mirror,omitempty"`
	ClipOf     RecordingID `json:"clip_of,omitempty"`
	// Notice tells what was lost, if not all of the recording came to be archived.
	Notice string `json:"notice,omitempty"`
}

// ActRecord is, in FailedData, what failed of a recording that was lost with its storage. Nobody claims it.
const ActRecord Action = "record"

// FailedData is the data of recording.failed.
type FailedData struct {
	Action   Action `json:"action"`
	Error    string `json:"error"`
	Attempts int    `json:"attempts"`
	// RetryAt is when it is tried again; nil is never: what it is about is lost.
	RetryAt *time.Time `json:"retry_at"`
}

// ExpiredData is the data of recording.expired.
type ExpiredData struct {
	Reason     string      `json:"reason"` // one of the Reason constants
	DurationMS int64       `json:"duration_ms"`
	Bytes      int64       `json:"bytes"`
	ClipOf     RecordingID `json:"clip_of,omitempty"`
}

// WarningData is the data of ingest.warning.
type WarningData struct {
	Code     string `json:"code"`
	Severity string `json:"severity"`
	Text     string `json:"text"`
	State    string `json:"state"` // WarningRaised or WarningOver
	Node     string `json:"node,omitempty"`
	// Since is when it was raised.
	Since time.Time `json:"since"`
}

// The states of a warning.
const (
	WarningRaised = "raised"
	WarningOver   = "over"
)

// PressureData is the data of storage.pressure.
type PressureData struct {
	Level  string  `json:"level"` // normal, alarm, archive_early, drop or refuse
	Before string  `json:"before"`
	Used   float64 `json:"used"` // fraction of the volume, of bytes or inodes, whichever is more
	Does   string  `json:"does"`
	Advice string  `json:"advice"`
	Node   string  `json:"node,omitempty"`
}

// MarshalEventData gives the data of an event.
func MarshalEventData(data any) json.RawMessage {
	text, err := json.Marshal(data)
	if err != nil {
		panic("BUG: data of an event: " + err.Error())
	}
	return text
}

// LiveEvent tells that a take of a recording began (EventLive), or was cut off (EventInterrupted). It has a key, so
// that the next owner, who can't know whether it was told, may tell it again.
func LiveEvent(kind string, path StreamPath, id RecordingID, cluster string, at time.Time, data LiveData) LogEvent {
	return LogEvent{
		Type: kind, Time: at.UTC(), Publisher: path.Publisher, Stream: path.Stream, Recording: id, Cluster: cluster,
		Data: MarshalEventData(data), Key: fmt.Sprintf("%s:%s:%d", id, kind, data.Take),
	}
}
