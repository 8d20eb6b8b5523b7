package media

import "time"

// OpenUpload is a multipart upload as the store has it: the bytes of an object from its begin on, while the object
// grows. It is for one goroutine.
type OpenUpload struct {
	Key string
	ID  string
	// PartSize is that of every part but the last.
	PartSize int64
	// Checksums names those that the store was told to expect: "crc64nvme", "sha256", or "none".
	Checksums string
	// Appends says that bytes are added at their own price. Else the last part, if it is short, is sent again with them.
	Appends bool
	// Parts are those that follow each other from the object's first byte, part 1 first.
	Parts []UploadPart
	// SentAt is when the last part was sent; zero if it was not by this process.
	SentAt time.Time
}

// UploadPart is a part that the store has.
type UploadPart struct {
	Size int64
	// Checksum is the CRC-64/NVME of its bytes, where HasChecksum is set.
	Checksum    uint64
	HasChecksum bool
	// SHA256 is that of its bytes, in base64, of a store that is told these.
	SHA256 string
	// Checked says that it was compared with the source, or sent from it, by this process.
	Checked bool
	// Tag is the store's word for it.
	Tag string
}

// Size is the number of bytes that the store has.
func (u *OpenUpload) Size() int64 {
	var size int64
	for i := range u.Parts {
		size += u.Parts[i].Size
	}
	return size
}
