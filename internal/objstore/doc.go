// Package objstore keeps finished recordings as objects: in a directory (Dir) or in an S3-compatible bucket (S3). Both
// pass one conformance suite, objstoretest.
//
// Keys are publisher/stream/recording/..., relative to the store's prefix. Both stores have the shape of reclog.Files,
// so that origin serves an archived recording from either with the code that serves a cluster's storage.
//
//	archiver --Put (parts by CRC, id noted first)--> S3 or Dir --ReadFile, OpenRange--> origin at the edge
//
// # Invariants
//
//  1. An object appears whole or not at all, and a Put that returned nil survives a loss of power.
//  2. No object is put without its bytes being summed on the way (CRC-64/NVME), and a store that keeps checksums must
//     agree with the sum before Put returns nil.
//  3. A multipart upload's id is noted by the caller before its first part is sent. Ids are never found by listing:
//     some servers answer such a listing with nothing. An upload that nobody noted is aborted when its put fails.
//  4. Absent is media.ErrNotFound, and only that. A missing bucket, a refusal, a store that is away is
//     media.ErrUnavailable: nothing may take it for an answer about an object.
//  5. Delete of what is absent is success.
//  6. No read is without a limit: ReadFile stops at MaxFile, a range gives exactly its size or an error, and a
//     connection on which nothing moves is cut.
//  7. No key leaves the prefix: elements are not empty, not "." or "..", and begin with no dot.
//  8. What an open upload has follows without a hole from the object's first byte: no part is sent while one before it
//     is short. A short part that another follows, from an uploader that was fenced, is where the upload ends.
//  9. A part that another process sent counts once its checksum is that of the source. CompleteUpload alone takes the
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
// Objects up to a part's size go by PutObject, larger ones by multipart upload with the checksum type FULL_OBJECT: each
// part's CRC travels in a signed header, and the whole object's, combined from the parts', with the completion. Parts
// are io.SectionReaders over the local file, so the uploader's memory does not grow with the size of part or object;
// each part is read twice, once to sum and once to send. With checksums the payload is not hashed again for the
// signature; without, it is, so that bytes are guarded on the way in either case.
//
// Not goals: versions, ACLs, lifecycle rules, presigned URLs, server-side copies.
package objstore
