package media

import "time"

// MetadataKind says what a piece of timed metadata is and how its Payload is written.
type MetadataKind string

// The kinds of timed metadata.
const (
	SCTE35   MetadataKind = "scte35"    // a splice_info_section, checksum and all
	ID3      MetadataKind = "id3"       // an ID3v2 tag
	KLV      MetadataKind = "klv"       // SMPTE 336M: one or more key-length-value triplets
	Text     MetadataKind = "text"      // onTextData: JSON of the object
	CuePoint MetadataKind = "cue_point" // onCuePoint: JSON of the object
	// Captions is CEA-608/708 in the pictures, where it stays: the ids of all captions in use so far, "CC1 SERVICE1". A
	// protocol's demuxer still has cc_data here.
	Captions MetadataKind = "captions"
	OnMeta   MetadataKind = "metadata" // onMetaData: JSON of the object
	// DateRange is one that the API was told of: JSON of its attributes.
	DateRange MetadataKind = "date_range"
)

// Listed says that playlists tell of such pieces, as date ranges or as subtitles, so that a recording keeps them.
func (k MetadataKind) Listed() bool {
	switch k {
	case SCTE35, ID3, CuePoint, Text, DateRange:
		return true
	case KLV, Captions, OnMeta:
	}
	return false
}

// MaxMetadata bounds the payload of one piece in bytes.
const MaxMetadata = 64 << 10

// TimedMetadata is what a publisher's stream tells beside its media at a point of its time.
type TimedMetadata struct {
	Kind MetadataKind
	// PTS is on the publisher's clock, as a Frame's is.
	PTS time.Duration
	// Payload is borrowed: valid only until the call that takes it returns.
	Payload []byte
	// Wall is when it arrived.
	Wall time.Time
}

// Metadata is a piece of timed metadata in a recording. Its payload is never modified.
type Metadata struct {
	// Number counts a recording's pieces from 1, in the order of arrival, through all takes. After a crash numbers are
	// passed over, so that none is given twice.
	Number int64
	// Take is the one whose clock Time is on.
	Take int
	Kind MetadataKind
	// Time is on the recording's timeline, and Date the wall clock there, to the millisecond.
	Time time.Duration
	Date time.Time
	// Payload is written as its kind says.
	Payload []byte
}
