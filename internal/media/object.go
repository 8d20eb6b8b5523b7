package media

import (
	"context"
	"hash"
	"hash/crc64"
	"time"
)

// Object describes one stored object.
type Object struct {
	// Key is relative to the store's prefix: publisher/stream/recording/...
	Key  string
	Size int64
	// Checksum is the CRC-64/NVME of all its bytes, where HasChecksum is set. A store that keeps none leaves it to the
	// reader to sum the bytes.
	Checksum    uint64
	HasChecksum bool
	// SHA256 is the store's own SHA-256, or what was sent for it, in S3's form: base64 of that of all bytes, or of the
	// parts' with "-" and their number behind it. Two of one form that are equal mean equal bytes. Empty where there is
	// none.
	SHA256     string
	ModifiedAt time.Time
}

// PutOptions say how an object is written; the zero value is right for small objects.
type PutOptions struct {
	// ContentType is the object's; empty means by the key's extension.
	ContentType string
	// Exclusive refuses, with ErrExists, to replace an object. Stores that cannot tell write anyway.
	Exclusive bool
	// UploadID continues a multipart upload that was noted earlier. One that the store no longer knows is begun anew.
	UploadID string
	// NoteUpload, if set, is told the id of a new multipart upload before its first part is sent; its error stops the
	// put.
	NoteUpload func(ctx context.Context, uploadID string) error
	// Progress, if set, is told how many of the object's bytes the store has, those of an earlier try too, or are on
	// their way to it, whenever there are more; and when there are fewer, since some must be sent again. Calls don't
	// overlap.
	Progress func(done int64)
}

// ChecksumPolynomial is CRC-64/NVME's 0xad93d23594c93659, bits reversed: S3's CRC64NVME.
const ChecksumPolynomial = 0x9a6c9329ac4bc9b5

// ChecksumBuffer is a good size of buffer for NewChecksum: every Write of the standard library's CRC builds a table.
const ChecksumBuffer = 256 << 10

// NewChecksum gives the checksum that objects are compared by.
func NewChecksum() hash.Hash64 { return crc64.New(crc64.MakeTable(ChecksumPolynomial)) }
