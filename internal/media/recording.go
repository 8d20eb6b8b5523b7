package media

import "time"

// State is where a recording is in its life.
type State string

// The states, in the order of a recording's life. Archiving fails back to Ended, with the error kept in the row.
const (
	Live        State = "live"        // its publisher is connected
	Interrupted State = "interrupted" // the connection was lost; the reconnect window is open
	Ended       State = "ended"       // final, on the cluster's storage
	Archiving   State = "archiving"   // claimed by an archiver
	Archived    State = "archived"    // complete in object storage
	Deleting    State = "deleting"    // answers 410; bytes are being removed
	Deleted     State = "deleted"     // answers 410; the row is the tombstone
)

// States lists every state in the order of a recording's life.
func States() []State {
	return []State{Live, Interrupted, Ended, Archiving, Archived, Deleting, Deleted}
}

// Growing says that the recording may still get media.
func (s State) Growing() bool { return s == Live || s == Interrupted }

// Recording is the catalog's row of one show.
type Recording struct {
	ID   RecordingID
	Path StreamPath
	// Cluster names the nodes whose shared storage it was recorded to; empty, in a save, is DefaultCluster.
	Cluster   string
	State     State
	StartedAt time.Time
	EndedAt   time.Time // zero while it grows
	Duration  time.Duration
	Bytes     int64
	// Keep holds the recording against retention and deletion; Held says that the settings in force do.
	Keep bool
	Held bool
	// Local says that the cluster's storage still has it.
	Local bool
	// Continues is the recording that this one follows, because codecs or tracks changed.
	Continues RecordingID
	// ArchiveDue is when archiving may begin and ExpireDue when retention deletes it; zero is never.
	ArchiveDue time.Time
	ExpireDue  time.Time
	// ExpireReason says which policy set ExpireDue: a Reason constant.
	ExpireReason string
	// DropDue is when the cluster's copy of an archived recording goes; zero is never.
	DropDue time.Time
	// Archive names the store that it is or will be in, and Mirror that of a copy. Both are empty for the default, and
	// for no copy. They stay as they are once archiving has begun.
	Archive string
	Mirror  string
	// Continuous says that it is to be uploaded while it grows, Uploaded that some of it was.
	Continuous bool
	Uploaded   bool
	// Progress is how far its archiving is.
	Progress Progress
	// Clip, if ClipOf is set, says whose media it shows, and from where to where on that recording's timeline.
	ClipOf    RecordingID
	ClipStart time.Duration
	ClipEnd   time.Duration
	// Name is what people call it; clips may have one.
	Name string
	// Labels are what people sort it by.
	Labels Labels
	// Revision grows with every change of keep, name and labels.
	Revision   int64
	ArchivedAt time.Time
	DeletedAt  time.Time
	// Attempts counts failed tries of the archiver and LastError tells of the last.
	Attempts  int
	LastError string
}

// Follow sets what the settings in force say of a recording: where it goes, whether while it grows, and whether it is
// held.
func (r *Recording) Follow(s Settings) {
	r.Archive, r.Mirror, r.Held = s.Archive, s.Mirror, s.Keep
	r.Continuous = s.ArchiveMode == ArchiveContinuous && s.Record != RecordOff
}

// Progress is how far an upload is.
type Progress struct {
	Done  int64 // bytes that the archive has
	Total int64
	Rate  int64 // bytes per second, of late
	At    time.Time
}

// Why a recording expires.
const (
	ReasonAge     = "retention"
	ReasonCount   = "retention_count"
	ReasonBytes   = "retention_bytes"
	ReasonRequest = "deleted" // somebody asked for it
	ReasonRecord  = "record"  // its stream is not recorded
)

// Publisher is a tenant.
type Publisher struct {
	Name      string
	CreatedAt time.Time
	UpdatedAt time.Time
	// Revision grows with every change of what can be set, also if the publisher is deleted and made again.
	Revision int64
	Settings SettingsPatch
}

// Stream is a named channel of a publisher.
type Stream struct {
	Path      StreamPath
	CreatedAt time.Time
	UpdatedAt time.Time
	// Revision grows with every change of the stream's own, also if it is deleted and made again.
	Revision int64
	// Overrides are the stream's own settings; Settings are those in force: defaults, publisher, overrides.
	Overrides SettingsPatch
	Settings  Settings
	// SRTPassphrase is what the stream's SRT publishers encrypt with; empty is the server's. It is told to nobody.
	SRTPassphrase string `json:"-"`
	// Key is the one that its publish was authorised with; zero where none was.
	Key KeyGrant `json:"-"`
}

// StreamChange is what is to be set of a stream; a nil passphrase stays as it is.
type StreamChange struct {
	Settings      SettingsPatch
	SRTPassphrase *string
}

// Location says where a recording is served from: the directory service's answer.
type Location struct {
	Publisher string      `json:"publisher"`
	Stream    string      `json:"stream"`
	Recording RecordingID `json:"recording"`
	State     State       `json:"state"`
	// Nodes are base URLs of ingest nodes that serve it, best first; empty once it is only in the archive.
	Nodes []string `json:"nodes,omitempty"`
	// Archived says that object storage has all of it.
	Archived bool `json:"archived"`
	// Archive and Mirror name the stores that have it, as Recording does; a guess names none, for any may have it.
	Archive string `json:"archive,omitempty"`
	Mirror  string `json:"mirror,omitempty"`
	// Guess says that the catalog is away and nobody knows: the nodes may have it, and so may any archive. State is empty.
	Guess bool `json:"guess,omitempty"`
}

// Event tells what happened to a recording.
type Event struct {
	// ID grows with every event of one registry.
	ID        int64       `json:"id"`
	Type      string      `json:"type"`
	Time      time.Time   `json:"time"`
	Publisher string      `json:"publisher"`
	Stream    string      `json:"stream"`
	Recording RecordingID `json:"recording"`
	// Node and Started are of EventDrain alone: the edge that is to drain, and when that process started.
	Node    string    `json:"node,omitempty"`
	Started time.Time `json:"started,omitzero"`
}

// The types of event.
const (
	EventLive        = "stream.live"
	EventInterrupted = "stream.interrupted"
	EventEnded       = "recording.ended"
	EventArchived    = "recording.archived"
	EventFailed      = "recording.failed"
	EventDeleted     = "recording.deleted"
	// EventPurged says that edges are to forget what they have cached of a publisher, of a stream if it names one, or of a
	// recording. It is not in the catalog's log.
	EventPurged = "cache.purged"
	// EventDrain says that an edge is to send its viewers away and to stop. It is not in the catalog's log.
	EventDrain = "edge.drain"
)
