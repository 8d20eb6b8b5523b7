// Package blocks reads an archive's track files through aligned blocks that all who want their bytes share: segments,
// I-frame ranges, downloads, byte ranges. Each block is read once from the store however many ask, is kept in memory as
// long as it is worth that, and goes to viewers by reference.
//
//	origin --OpenRange--> Files --demand--> blocks in memory --miss--> run --Tier.Get--> disk
//	                                                                    '---OpenVersion--> archive
//
// A block is identified by store, object, version of the object and number. The version is what the store tells with
// the bytes (an ETag; of a directory time and size), so bytes of two objects that had one name are never mixed. It is
// asked for alone when the recording's manifest changed, and every Config.Believe.
//
// A run is one reading of the store that fills neighbouring blocks, one behind the other. It belongs to nobody: readers
// take bytes as they arrive, may leave, and begin another run where one ended that broke. The rest of a range, and what
// lies behind the reach of a reader who goes on and on (trail), is read in the same run or ahead of being wanted.
//
// Memory is S3-FIFO (Yang et al., SOSP 2023): new blocks have a quarter of the bytes, those that were wanted twice the
// rest. Reading on in a block is no second want, the same bytes again are, also by somebody who found them by a
// slab.Weak. What is wanted twice is offered to the second tier, also if memory dropped it in between. What is there is
// used when the store has told this process the object's version: while the store is away, and nothing was read of the
// object yet, nothing is.
//
// Invariants:
//
//  1. What is filled of a block never changes, and is filled by one run at a time. Pieces hold their buffer: eviction
//     and Drop take nothing from a reader.
//  2. A reader's bytes are of one version of the object. If that is gone before it has the first byte it gets the new
//     one; later it gets an error.
//  3. At most one run fills a block, and a block that is whole is not read again while it is kept.
//  4. Nothing that failed is remembered: the next who asks has another try.
//  5. Kept blocks are within Config.MaxBytes, but while all of them are being read: each store has up to half as much
//     under way.
//  6. Reading ahead takes slots that are free and an eighth of the memory at the most, stops for a trail whose blocks
//     were dropped unused, and a demand that would wait behind it is read by itself.
//  7. Every wait ends: a store that gives nothing for Config.StallTimeout is left, and whoever waits longer is told.
//
// Lock order: Cache.mu, then block.mu.
//
// Not goals: negative results, small objects (manifests, indexes: origin keeps what it made of them), files that grow.
package blocks
