package media

import "time"

// Purge says that edges are to forget what they have of a publisher; if Stream is not empty, of that stream only; and
// so of one recording.
type Purge struct {
	Publisher string
	Stream    string
	Recording RecordingID
	Time      time.Time
}

// KnownPurge is a Purge as edges are told of it that were away. It tells no time, for their clocks may differ.
type KnownPurge struct {
	Publisher string      `json:"publisher"`
	Stream    string      `json:"stream,omitempty"`
	Recording RecordingID `json:"recording,omitempty"`
	AgeMS     int64       `json:"age_ms"`
}

// KnownPurges is the directory's answer about purges.
type KnownPurges struct {
	Purges []KnownPurge `json:"purges"`
}

// CheckPurge says what is wrong with what is to be purged.
func CheckPurge(publisher, stream string, id RecordingID) error {
	err := CheckPublisherName(publisher)
	if err == nil && (stream != "" || id != "") {
		err = CheckStreamName(stream)
	}
	if err == nil && id != "" {
		_, err = ParseRecordingID(string(id))
	}
	return err
}
