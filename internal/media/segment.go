package media

import "time"

// MSN is a media sequence number. The first segment of a recording is 1; numbers never go back and leave no gap within
// a recording, whichever node or take wrote the segment. Zero means none.
type MSN int64

// Segment is one finished segment of one track: a byte range of the track's file in its take.
type Segment struct {
	MSN  MSN
	Take int
	// DTS is the first sample's decode time (tfdt) and Duration the sum of the samples', both in ticks.
	DTS      int64
	Duration int64
	// Offset and Size are bytes in the track's file.
	Offset int64
	Size   int64
	// Date is the wall clock of the segment's first presentation time (EXT-X-PROGRAM-DATE-TIME), to the millisecond.
	Date time.Time
	// Sync says that the segment begins with a random access point.
	Sync bool
	// Gap says that the media is missing (EXT-X-GAP): lost, or a filler while the publisher was away.
	Gap bool
	// Filler says that the gap stands for the publisher's absence, so that VOD playlists leave it out.
	Filler bool
	// IFrames are the video's random access points that begin a part, in the order of decoding: what an I-frame playlist
	// lists. The slice is shared and never modified.
	IFrames []IFrame
}

// IFrame is a random access point of a segment: bytes from the begin of its part to the end of its first sample.
type IFrame struct {
	// Time is its decode time, in ticks from the segment's DTS.
	Time uint32
	// Offset and Size are bytes, the offset from the segment's first byte.
	Offset uint32
	Size   uint32
}

// Part is one finished partial segment: the index counts from 0 in its segment.
type Part struct {
	Index    int
	Duration int64
	// Offset and Size are bytes in the track's file.
	Offset int64
	Size   int64
	// Independent says that the part begins with a random access point. All audio parts do.
	Independent bool
	// Gap says that the media is missing, as of all parts of a segment that is a gap. Its Offset is negative.
	Gap bool
	// Head is the number of bytes up to the end of the first sample where that is a random access point of video, else
	// zero.
	Head int64
}

// Take is one uninterrupted publishing connection inside a recording.
type Take struct {
	// Number counts from 1. A take gets its number with its first segment, so no take is empty.
	Number int `json:"number"`
	// Epoch is the lease's epoch under which it was written.
	Epoch     uint64    `json:"epoch"`
	StartedAt time.Time `json:"started_at"`
	// Anchor is the wall clock at media time zero: a segment's date is Anchor plus its DTS.
	Anchor   time.Time `json:"anchor"`
	FirstMSN MSN       `json:"first_msn"`
	Tracks   []Track   `json:"tracks"`
	// Sealed is set once no more may be appended.
	Sealed bool `json:"sealed,omitempty"`
	// Metadata says that storage has a file of timed metadata; it is set when the take is sealed, or later.
	Metadata bool `json:"metadata,omitempty"`
}

// Track gives the take's track of that name.
func (t *Take) Track(name string) (Track, bool) {
	for _, tr := range t.Tracks {
		if tr.Name == name {
			return tr, true
		}
	}
	return Track{}, false
}

// Constants are fixed before a recording's first playlist is served and stay for its life, over every reconnect:
// players stop for good when one changes.
type Constants struct {
	// TargetDuration is whole seconds.
	TargetDuration time.Duration `json:"target_duration_ns"`
	// SegmentDuration is the wanted length of a segment: the smallest multiple of the observed GOP that the setting
	// allows.
	SegmentDuration time.Duration `json:"segment_duration_ns"`
	// PartTarget is the longest a part may be; zero means no parts (latency mode "standard").
	PartTarget   time.Duration `json:"part_target_ns"`
	PartHoldBack time.Duration `json:"part_hold_back_ns"`
	HoldBack     time.Duration `json:"hold_back_ns"`
	CanSkipUntil time.Duration `json:"can_skip_until_ns"`
}
