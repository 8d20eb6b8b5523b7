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
	Captions MetadataKind = "captions"  // cc_data of CEA-608/708, also left in the pictures
	OnMeta   MetadataKind = "metadata"  // onMetaData: JSON of the object
)

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
