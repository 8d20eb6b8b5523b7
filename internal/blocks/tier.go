package blocks

import (
	"context"
	"strconv"
	"strings"
	"unsafe"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// Tier keeps blocks where there is more room than in memory: a disk. Keys are unique to the bytes. A block comes whole
// and verified, or not at all.
type Tier interface {
	// Get gives what was put, which the caller takes to be of that size.
	Get(ctx context.Context, key string, size int) (slab.Piece, bool)
	// Put has it kept, maybe: it does not wait, and false says that it is not. The piece does not change any more.
	Put(key, group string, piece slab.Piece) bool
	// Drop forgets all of a group, for good, also of what was put when this process did not run yet.
	Drop(group string)
}

// tierGroup is what a store calls a recording there, for two stores may have the same.
func tierGroup(store, group string) string { return store + ":" + group }

func tierKey(o *object, number int64) string {
	return "block\x00" + o.key.store + "\x00" + o.key.name + "\x00" + o.version + "\x00" + strconv.FormatInt(number, 36)
}

// TierGroup gives the group that a tier's key is of, and the recording in it: "publisher/stream/recording".
func TierGroup(key string) (group, recording string, ok bool) {
	parts := strings.SplitN(key, "\x00", 4)
	if len(parts) < 3 {
		return "", "", false
	}
	recording = groupOf(parts[2])
	return tierGroup(parts[1], recording), recording, true
}

// maxHead bounds a head's text.
const maxHead = 4 << 10

// headKey names what is known of an object without its store: a version that the tier has blocks of.
func headKey(k objectKey) string { return "head\x00" + k.store + "\x00" + k.name }

func headText(o *object) string { return strconv.FormatInt(o.total, 36) + " " + o.version }

func parseHead(text string) (version string, total int64, ok bool) {
	size, version, found := strings.Cut(text, " ")
	total, err := strconv.ParseInt(size, 36, 64)
	return version, total, found && err == nil && total > 0 && version != ""
}

// baseOf gives where in its buffer a piece lies.
func baseOf(p slab.Piece) (base int, ok bool) {
	if p.Buffer == nil || len(p.Data) == 0 {
		return 0, false
	}
	all := p.Buffer.Bytes()
	if len(all) == 0 {
		return 0, false
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(p.Data))) - uintptr(unsafe.Pointer(unsafe.SliceData(all)))
	return int(at), at <= uintptr(len(all)) && int(at)+len(p.Data) <= len(all)
}
