// Package archiver moves finished recordings to object storage, and removes what has expired. It serves one cluster:
// the recordings of one storage.
//
//	catalog --ClaimDue--> Step --+-- archive:    local files -> objects -> verify -> manifest -> verify -> local manifest
//	                             |               -> catalog "archived" -> event
//	                             +-- drop_local: archive checked once more -> local files removed -> catalog
//	                             +-- delete:     uploads aborted -> archived manifest -> objects -> local files
//	                                             -> catalog "deleted" -> event
//
// Run is a few loops around Step, which does one due action. Any number of archivers may work on one catalog: a claim
// is a lease that is renewed while its action runs, and its epoch fences whoever lost it.
//
// # Invariants
//
//  1. Written before announced: every object is verified (size and checksum of the local bytes) before the manifest is
//     stored, the manifest is verified before the catalog says archived, and the catalog has said so for a grace before
//     anything local is removed, and then only after another look at the archive.
//  2. Deletion runs the other way: the archived manifest goes first, the catalog's row last.
//  3. Every action may be cut off at any point and begun again: what is stored already is compared, not sent again;
//     what is removed already is no error. Two archivers at one recording write the same bytes.
//  4. Media that the archive has under a manifest is never overwritten. If it differs from the local bytes, archiving
//     fails, and nothing is removed.
//  5. A recording that still grows is not archived.
//  6. An upload's id is in the catalog before the first part is sent, and stays there until the store no longer knows
//     the upload.
//  7. A failed action is tried again for ever, after a delay that doubles up to RetryMax. The row tells the last error.
//  8. Work ends before the lease does, when the lease can't be renewed.
//  9. A recording's files are archived whole, with what no index names: were the index at fault, the media is not lost.
//
// # What the archive has
//
// The cluster's tree of the recording, byte for byte, and static playlists over byte ranges of its files, so that the
// bucket plays without Oxbow:
//
//	publisher/stream/recording/1/video.mp4, 1/video.idx, 1/audio.mp4, 1/audio.idx, 1/metadata.jsonl, 2/...
//	publisher/stream/recording/index.m3u8, video.m3u8, audio.m3u8
//	publisher/stream/recording/recording.json       state archived; stored last, deleted first
package archiver
