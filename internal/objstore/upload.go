package objstore

import (
	"fmt"

	"github.com/oxbow-video/oxbow/internal/media"
)

// An object that grows is uploaded while it does:
//
//	BeginUpload (id noted) or FindUpload (id noted before) --> ExtendUpload ... ExtendUpload --> CompleteUpload
//
// What the store has is seen by nobody until it is completed, and lasts until it is completed or aborted. The parts
// are those that Put would send, so that a Put with the upload's id goes on with it.

// growthRoom is how many times its size an object may have grown before an upload's parts are too many.
const growthRoom = 4

// uploadSum gives the checksum of all that an upload has, if the parts' are known.
func uploadSum(u *media.OpenUpload) (sum uint64, ok bool) {
	for i := range u.Parts {
		if !u.Parts[i].HasChecksum {
			return 0, false
		}
		sum = combineSums(sum, u.Parts[i].Checksum, u.Parts[i].Size)
	}
	return sum, true
}

// contiguous keeps the parts that follow each other without a hole. Only the last may be shorter than the others: one
// behind a short part was sent by an uploader that was fenced.
func contiguous(parts []media.UploadPart, partSize int64) []media.UploadPart {
	for i := range parts {
		switch size := parts[i].Size; {
		case size <= 0 || size > partSize:
			return parts[:i]
		case size < partSize:
			return parts[:i+1]
		}
	}
	return parts
}

func errNoUpload(key, id string) error {
	return fmt.Errorf("upload %.80q of object %s: %w", id, key, media.ErrNotFound)
}
