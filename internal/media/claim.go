package media

import "time"

// Action is what is due for a finished recording.
type Action string

// The actions, in the order of a recording's life.
const (
	ActArchive   Action = "archive"    // copy it to object storage
	ActDropLocal Action = "drop_local" // the archive has it and the grace is over: remove the cluster's copy
	ActDelete    Action = "delete"     // remove it everywhere
	ActUpload    Action = "upload"     // upload it while it grows
	ActClip      Action = "clip"       // make a clip of another recording
)

// Claim is one archiver's lease on what is due for one recording. A claim that ran out may be claimed again; the epoch
// tells the old holder that it lost.
type Claim struct {
	Recording Recording
	Action    Action
	Owner     string
	Epoch     int64
	Until     time.Time
	// Begun says that archiving has begun at some time, so that the stores may have some of it.
	Begun bool
}

// Due selects what to claim. An empty Publisher is any, and no Actions are archive, drop_local and delete.
type Due struct {
	Cluster   string
	Publisher string
	Actions   []Action
}

// DuePublisher is a publisher that has something due.
type DuePublisher struct {
	Publisher string
	// Due is when the first of it was.
	Due time.Time
}

// Upload is a multipart upload under way, noted before its first part so that none is orphaned.
type Upload struct {
	Recording RecordingID
	// Store names the archive that it is in; empty is the default.
	Store    string
	Object   string
	UploadID string
}

// RecordingFilter selects recordings; its zero value selects all that are not deleted, newest first.
type RecordingFilter struct {
	Publisher string
	Stream    string
	Cluster   string
	States    []State
	// ClipOf keeps the clips of that recording, and Shows those that are clips of none.
	ClipOf RecordingID
	Shows  bool
	// Clips keeps those that are clips of any.
	Clips bool
	// Labels keeps those that have all of them, and Name those whose name contains it, in capitals or not.
	Labels []LabelFilter
	Name   string
	// MinDuration and MaxDuration bound the length, both included; zero is open.
	MinDuration time.Duration
	MaxDuration time.Duration
	// Listed keeps those whose publisher or stream is shown to everybody.
	Listed bool
	// Since and Until bound the start; zero is open.
	Since time.Time
	Until time.Time
	Sort  Sort
	// Limit is the most items to return, 1 to 1000; zero means 50.
	Limit int
	// Cursor continues a listing: the next value that the last page came with. It is of the listing's order alone.
	Cursor string
}
