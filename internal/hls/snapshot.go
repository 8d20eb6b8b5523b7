package hls

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Snapshot is one version of everything that a recording's playlists say. It is never modified once published: the
// packager makes one per part, origin makes one of a finished recording's index. Slices may share their backing arrays
// with later versions, which only append behind them.
type Snapshot struct {
	State     media.State
	Constants media.Constants
	// Window is the least length of the sliding live playlists.
	Window time.Duration
	// First is the segment that no sliding playlist begins before, whatever Window says; zero is any. It never goes back.
	First media.MSN
	// Takes holds every take that has a segment, oldest first. The last one's tracks are what the multivariant
	// playlist describes.
	Takes []media.Take
	// Renditions are in the takes' track order: video first. All have the same discontinuities.
	Renditions []Rendition
	// Bandwidth and AverageBandwidth are bits per second of the whole show, all tracks together: those of the variant
	// where there is one track of each kind.
	Bandwidth        int64
	AverageBandwidth int64
	// Metadata is what playlists tell of at points of time, in the order of arrival, from the recording's first piece on.
	Metadata []media.Metadata
	// Subtitles is the language of the recording's subtitles, which its text events are; empty is none.
	Subtitles string
	// Captions are the captions in the pictures, CEA-608's first, by number. They only become more.
	Captions []media.Caption
	// Independent says that every segment so far began with a random access point, and that the packager means to
	// keep it so.
	Independent bool
}

// Rendition is one track's side of a snapshot.
type Rendition struct {
	// Name is the track's.
	Name string
	// Segments are all finished segments of the recording, oldest first, with consecutive MSNs from 1; from a later one
	// if the recording is a clip of another. All renditions begin with the same.
	Segments []media.Segment
	// Parts are the parts of the last len(Parts) segments, oldest first; an entry may be empty: its segment is listed
	// whole. They cover at least three target durations while the recording grows.
	Parts [][]media.Part
	// Open is the segment being written; nil between takes and once the recording ended.
	Open *OpenSegment
	// Bandwidth and AverageBandwidth are its bits per second.
	Bandwidth        int64
	AverageBandwidth int64
	// IFrameBandwidth and IFrameAverageBandwidth are those of its random access points alone; zero if none is known.
	IFrameBandwidth        int64
	IFrameAverageBandwidth int64
}

// OpenSegment is the segment at the live edge.
type OpenSegment struct {
	MSN   media.MSN
	Take  int
	Date  time.Time
	Parts []media.Part
	// Whole says that its parts are neither listed nor hinted: players see it when it is finished. A setting makes the
	// first segment of a take so, because hls.js up to 1.6.16 fails on parts across a discontinuity.
	Whole bool
	// Full says that its last part is thought to have come: what is hinted at is part 0 of the next segment.
	Full bool
}
