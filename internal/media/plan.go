package media

import "time"

// Planned is what is going to be done to a recording, by the settings in force.
type Planned struct {
	Recording Recording
	// Action is ActArchive, ActDropLocal or ActDelete.
	Action Action
	Due    time.Time
	// Reason is a Reason constant.
	Reason string
	// Held says that it is not done as long as the recording is kept or held.
	Held bool
}

// PlanFilter selects what is planned; its zero value selects all, the first due first.
type PlanFilter struct {
	Publisher string
	Stream    string
	// Until bounds when it is due; zero is open.
	Until time.Time
	// Limit is the most items to return, 1 to 1000; zero means 50.
	Limit int
	// Cursor continues a listing: the next value that the last page came with.
	Cursor string
}

// Preview is what a change of settings would make due at once, which is not now.
type Preview struct {
	// Delete and Drop are the oldest, at most 1000 each.
	Delete []Planned
	Drop   []Planned
	// Deletes and Drops count all, and the bytes are those of all.
	Deletes     int
	Drops       int
	DeleteBytes int64
	DropBytes   int64
	// Spared counts those that are due for deletion now, and would not be.
	Spared int
}

// DeletedRecordings is what became of a request to delete many.
type DeletedRecordings struct {
	// Deleted are being deleted now, or would be.
	Deleted []Recording
	// Left are not, and why.
	Left []LeftRecording
	// Next is the cursor that goes on after those; empty at the end.
	Next string
}

// LeftRecording is one that was not deleted. Err is an ErrConflict that says what to do.
type LeftRecording struct {
	Recording Recording
	Err       error
}
