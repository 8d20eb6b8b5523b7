package reclog

import (
	"errors"

	"github.com/oxbow-video/oxbow/internal/media"
)

// FormatVersion is the version of the tree and the manifest of a recording with its own media, and ReferringVersion
// that of one whose media is another's. This package writes and reads both.
const (
	FormatVersion    = 1
	ReferringVersion = 2
)

// Limits of what is written and of what is believed when read.
const (
	// MaxParts is the most parts a segment may have.
	MaxParts = 128
	// MaxMSN is the highest media sequence number of a recording: the packager continues in another recording before.
	MaxMSN media.MSN = 1<<25 - 1
	// MaxTakes is the most takes of a recording.
	MaxTakes = 2048
	// MaxTracks is the most tracks of a take.
	MaxTracks = 16
	// MaxManifest is the most bytes of recording.json.
	MaxManifest = 4 << 20
	// MaxIndex is the most bytes of an index: more than a million segments.
	MaxIndex = 256 << 20
	// MaxLine is the most bytes of an index line, its newline included.
	MaxLine = 1 << 10
	// MaxIFrames is the most I-frames that an index line tells of: the first of the segment. Trick play needs one or two
	// of a segment, and the line has an end.
	MaxIFrames = 16
	// MaxEvents is the most bytes of the emsg boxes in front of a part's moof.
	MaxEvents = 256 << 10
	// MaxMetadata is the most pieces of timed metadata that a recording keeps, and MaxMetadataBytes the most bytes of
	// their payloads.
	MaxMetadata      = 65536
	MaxMetadataBytes = 16 << 20
	// MaxMetadataLine is the most bytes of a line of metadata.jsonl, its newline included.
	MaxMetadataLine = 96 << 10
	// MaxMetadataFile is the most bytes of metadata.jsonl: base64 and the fields beside it.
	MaxMetadataFile = 48 << 20
	// MaxInit is the most bytes of an init section.
	MaxInit = 1 << 20
	// MaxPartSize is the most bytes of a part, emsg, moof and mdat together.
	MaxPartSize = 256 << 20

	maxMoof      = 1 << 20
	maxConfig    = 64 << 10
	maxTimescale = 1_000_000_000
	// maxTicks bounds decode times and durations, so that sums of them stay in int64.
	maxTicks = 1 << 53
	// maxFill is the most gap segments that one reading of a track may make up for lines that are missing.
	maxFill = 1 << 17
	// maxSkip is the most MSNs that may lie between two takes without a line of their own.
	maxSkip = 1 << 15
	// maxPending is the most index lines of a track that wait for a stalled volume: nine hours of segments of 2 s.
	maxPending = 1 << 14
	// maxDamage is the most damaged places that are told apart.
	maxDamage = 100
)

// Sentinels of writing. Those that cross packages are media's.
var (
	// ErrBroken: a file can't be brought back to its last good byte, or too many index lines wait for the volume. The
	// take is of no more use unless a later call succeeds: seal it and start another.
	ErrBroken = errors.New("take unusable")
	// ErrSealed: the take gets no more media.
	ErrSealed = errors.New("take sealed")
	// ErrPending: the line is queued in its order, but the volume stalls or fails, so it is not on storage yet.
	ErrPending = errors.New("index line pending")
)

// SequenceNumber gives a part's mfhd sequence_number, which lets the track file alone say what each moof is.
func SequenceNumber(msn media.MSN, part int) uint32 { return uint32(msn)<<7 | uint32(part) }

// SplitSequenceNumber undoes SequenceNumber.
func SplitSequenceNumber(n uint32) (msn media.MSN, part int) { return media.MSN(n >> 7), int(n & 127) }
