// Package objstore keeps finished recordings as objects: in a directory (Dir) or in an S3-compatible bucket (S3). Both
// pass one conformance suite, objstoretest.
//
// Keys are publisher/stream/recording/..., relative to the store's prefix. Both stores have the shape of reclog.Files,
// so that origin serves an archived recording from either with the code that serves a cluster's storage.
//
//	archiver --Put (parts by checksum, id noted first)--> S3 or Dir --ReadFile, OpenRange--> origin at the edge
//
// # Invariants
//
//  1. An object appears whole or not at all, and a Put that returned nil survives a loss of power.
//  2. No object is put without its bytes being summed on the way (CRC-64/NVME), and a store that keeps checksums must
//     agree with the sum before Put returns nil.
//  3. A multipart upload's id is noted by the caller before its first part is sent. No upload is gone on with that was
//     found by listing: some servers answer such a listing with nothing. One that nobody noted is aborted when its put
//     fails.
//  4. Absent is media.ErrNotFound, and only that. A missing bucket, a refusal, a store that is away is
//     media.ErrUnavailable: nothing may take it for an answer about an object. StateOf says in a word what is wrong,
//     and the error's text what to do.
//  5. Delete of what is absent is success.
//  6. No read is without a limit: ReadFile stops at MaxFile, a range gives exactly its size or an error, and a
//     connection on which nothing moves is cut. No request has a time limit as a whole: a slow store is waited for.
//  7. No key leaves the prefix: elements are not empty, not "." or "..", and begin with no dot.
//  8. A checksum is believed of a store only that was seen to refuse a wrong one. Where there is none, Same and the
//     archiver read the object back.
//  9. All stores of a process that share Limits send no more bytes a second and have no more puts' requests under way
//     than those say, and uploads share the bandwidth alike however many connections they have.
//  10. What an open upload has follows without a hole from the object's first byte: no part is sent while one before it
//     is short. A short part that another follows, from an uploader that was fenced, is where the upload ends.
//  11. A part that another process sent counts once its checksum is that of the source. CompleteUpload alone takes the
//     store's word, for there may be no source any more.
//
// # Objects that grow
//
// BeginUpload or FindUpload, ExtendUpload as often as the object has grown, CompleteUpload. Part sizes are those of
// Put, which goes on with such an upload. At 10,000 parts of the size that it was begun with (160 GB with parts of
// 16 MiB) ExtendUpload gives media.ErrTooLarge: another upload has parts with room for four times as much.
//
// # Dir
//
// An object is a file of the same name below the directory; there are no companions. New files are written below
// ".tmp" in the directory, synced, and renamed (or, to be exclusive, linked) into place, after which the directory is
// synced. An upload is such a file, upload-ID, that is appended to and synced; one untouched for 30 days is removed.
//
// Dir keeps no checksums: Stat leaves HasChecksum unset, and whoever verifies reads the bytes. A sum written
// beside a file would be as old as the bytes and prove less; a sum in an extended attribute is lost by most copies.
//
// # S3
//
// Objects up to a part's size go by PutObject, larger ones by multipart upload. Parts are io.SectionReaders over the
// local file, so the uploader's memory does not grow with the size of part or object; each part is read twice, once to
// sum and once to send, the second time from the page cache. (A sum behind the bytes, in a trailer, would save the one,
// but not every store takes trailers.) A part that fails is sent up to six times with growing pauses, by itself; one
// that came damaged once more at once.
//
// Before the first put the store is asked for its checksums, by putting a byte under oxbow-checksum-probe-* with a
// wrong one, which must be refused:
//
//	CRC64NVME  its type is FULL_OBJECT: each part's in a signed header, the whole object's, combined from the parts',
//	           with the completion. Stat gives it.
//	SHA-256    whole for small objects, COMPOSITE (of the parts') for large ones. Stat gives it in SHA256. It proves
//	           equality with what was sent, and Same can compute it from local bytes while the size of the parts is the
//	           same; else the object is read.
//	none       a warning, once; the payload's hash is in the signature, which guards the way in, and what was put is
//	           read back, as often as somebody asks whether it is the same.
//
// An upload keeps the kind that it was begun with. S3Config.Checksums fixes the kind, or demands that there is one.
//
// # Uploads that nobody knows
//
// The answer to a begun upload may be lost, or its process killed before the id is noted. So every upload of an object
// is preceded by a listing of that key's uploads, which are aborted: whoever begins one has no use for another. And
// AbortUploads takes those below a prefix, for when a recording is deleted that was never finished. What a store hides
// from listings, or keys may not list (s3:ListBucketMultipartUploads), stays until the bucket's lifecycle rule
// AbortIncompleteMultipartUpload, which is worth having anyway.
//
// Not goals: versions, ACLs, lifecycle rules, presigned URLs, server-side copies.
package objstore
