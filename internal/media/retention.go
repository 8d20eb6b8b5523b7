package media

import (
	"cmp"
	"fmt"
	"time"
)

// DefaultArchive is the name of the store that a publisher has who names none.
const DefaultArchive = "default"

const (
	maxRetentionCount = 1_000_000
	maxRetentionBytes = 1 << 60
)

// CheckArchiveName says whether a store may have the name.
func CheckArchiveName(name string) error {
	if !isName(name) {
		return fmt.Errorf("%w: archive %.80q: use 1 to %d of a-z 0-9 _ -, the first a letter or digit", ErrBadName, name,
			MaxName)
	}
	return nil
}

// checkArchive says what is wrong with the name of an archive in a setting.
func checkArchive(name string) string {
	if err := CheckArchiveName(name); err != nil {
		return err.Error()
	}
	return ""
}

// ArchiveName gives the name of the store that a setting or a row means.
func ArchiveName(name string) string { return cmp.Or(name, DefaultArchive) }

// CheckMirror refuses a copy in the very store that has the first, as a *FieldError.
func (s Settings) CheckMirror() error {
	if s.Mirror != "" && ArchiveName(s.Mirror) == ArchiveName(s.Archive) {
		return &FieldError{Field: "mirror", Want: fmt.Sprintf(
			"%q is the archive itself: name another store, or none with \"\"", s.Mirror)}
	}
	return nil
}

// The states of an archive that archivers tell of themselves. What else there is comes from the store's errors.
const (
	ArchiveOK   = "ok"
	ArchiveSlow = "slow" // it works, but takes little
)

// ArchiveStatus is a store that a cluster's archivers have, and how it fares.
type ArchiveStatus struct {
	Cluster string
	Name    string
	// Place is where it is, without secrets.
	Place string
	// State is "ok", or what is wrong in a word; LastError is what the store said.
	State     string
	LastError string
	// Since is when the state began, and CheckedAt when it was last seen.
	Since     time.Time
	CheckedAt time.Time
}

// Why the cluster's copy of an archived recording goes.
const (
	ReasonGrace      = "grace" // the archiver's, after archiving
	ReasonLocalAge   = "local_retention"
	ReasonLocalCount = "local_count"
	ReasonLocalBytes = "local_bytes"
	ReasonLocalFree  = "local_free"
	ReasonPressure   = "pressure" // the cluster's volume is nearly full
)

// Why a recording is archived when it is.
const (
	ReasonDelay = "archive_delay"
	ReasonMode  = "archive_mode" // continuous
)
