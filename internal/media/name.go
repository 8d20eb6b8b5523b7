package media

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// SubtitlesName is the track name that subtitles have in URLs: no track of a publisher has it.
const SubtitlesName = "subtitles"

// MaxName is the most bytes a publisher's or a stream's name has.
const MaxName = 63

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// ReservedNames lists the first path elements that the servers keep for themselves. No publisher has such a name, so
// that /{publisher}/... never meets another route.
func ReservedNames() []string {
	return []string{
		"v1", "t", "internal", "docs", "assets", "healthz", "readyz", "watch", "console", "steering",
		"open", "send", "idle", "close", "fcs",
	}
}

// CheckStreamName says whether a stream may have the name, and if not, why.
func CheckStreamName(name string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("%w: %.80q: use 1 to %d of a-z 0-9 _ -, the first a letter or digit", ErrBadName, name, MaxName)
	}
	return nil
}

// CheckPublisherName says whether a publisher may have the name, and if not, why.
func CheckPublisherName(name string) error {
	if err := CheckStreamName(name); err != nil {
		return err
	}
	if slices.Contains(ReservedNames(), name) {
		return fmt.Errorf("%w: %q is reserved: choose another", ErrBadName, name)
	}
	return nil
}

// StreamPath names a stream in the whole system: "publisher/stream" in URLs, logs and leases.
type StreamPath struct {
	Publisher string
	Stream    string
}

// String gives "publisher/stream".
func (p StreamPath) String() string { return p.Publisher + "/" + p.Stream }

// ParseStreamPath reads "publisher/stream".
func ParseStreamPath(s string) (StreamPath, error) {
	publisher, stream, ok := strings.Cut(s, "/")
	if !ok {
		return StreamPath{}, fmt.Errorf("%w: %.130q: want publisher/stream", ErrBadName, s)
	}
	if err := CheckPublisherName(publisher); err != nil {
		return StreamPath{}, err
	}
	if err := CheckStreamName(stream); err != nil {
		return StreamPath{}, err
	}
	return StreamPath{Publisher: publisher, Stream: stream}, nil
}

// RecordingID is a ULID in lower case: 26 characters of Crockford's base 32, sortable by time of creation.
type RecordingID string

var recordingForm = regexp.MustCompile(`^[0-7][0-9abcdefghjkmnpqrstvwxyz]{25}$`)

// ParseRecordingID reads a recording's id. It can't be mistaken for "live" or for a playlist's name.
func ParseRecordingID(s string) (RecordingID, error) {
	if !recordingForm.MatchString(s) {
		return "", fmt.Errorf("%w: %.40q is no recording id", ErrBadName, s)
	}
	return RecordingID(s), nil
}
