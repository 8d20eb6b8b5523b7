package media

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// SubtitlesName is the track name that subtitles have in URLs: no track of a publisher has it.
const SubtitlesName = "subtitles"

// MaxName is the most bytes a publisher's or a stream's name has.
const MaxName = 63

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
	if !isName(name) {
		return fmt.Errorf("%w: %.80q: use 1 to %d of a-z 0-9 _ -, the first a letter or digit", ErrBadName, name, MaxName)
	}
	return nil
}

// isName matches ^[a-z0-9][a-z0-9_-]{0,62}$. By hand, like the id below: every request for media passes here, and a
// regular expression takes longer than all the rest of reading its path.
func isName(s string) bool {
	if len(s) == 0 || len(s) > MaxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')
		if !letter && (i == 0 || (c != '_' && c != '-')) {
			return false
		}
	}
	return true
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

// DefaultCluster is the cluster of nodes that were told no other.
const DefaultCluster = "main"

// CheckClusterName says whether a cluster may have the name, and if not, why.
func CheckClusterName(name string) error {
	if err := CheckStreamName(name); err != nil {
		return fmt.Errorf("cluster: %w", err)
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

// ParseRecordingID reads a recording's id. It can't be mistaken for "live" or for a playlist's name.
func ParseRecordingID(s string) (RecordingID, error) {
	if !isRecordingID(s) {
		return "", fmt.Errorf("%w: %.40q is no recording id", ErrBadName, s)
	}
	return RecordingID(s), nil
}

// Time is when the id was made, by the clock of who made it, to the millisecond.
func (id RecordingID) Time() time.Time {
	const digits = "0123456789abcdefghjkmnpqrstvwxyz"
	var ms int64
	for i := range min(len(id), 10) {
		ms = ms<<5 | int64(max(strings.IndexByte(digits, id[i]), 0))
	}
	return time.UnixMilli(ms)
}

// isRecordingID matches ^[0-7][0-9abcdefghjkmnpqrstvwxyz]{25}$.
func isRecordingID(s string) bool {
	const length = 26
	if len(s) != length || s[0] < '0' || s[0] > '7' {
		return false
	}
	for i := range length {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z' || c == 'i' || c == 'l' || c == 'o' || c == 'u') {
			return false
		}
	}
	return true
}
