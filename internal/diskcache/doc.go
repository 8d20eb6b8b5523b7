// Package diskcache keeps immutable bodies in a directory of its own, bounded by bytes and by files: the edge's tier
// behind memory. Whatever happens to the directory, a reader gets the bytes that were put, or nothing.
//
// Flow:
//
//	Put     into a bounded queue, and back at once; a full queue drops the write
//	write   (one goroutine) append to the newest segment; seal it when it is full, evict the oldest
//	Get     index in memory -> head and pieces by pread, every sum verified -> the caller's memory
//	Drop    everything of a group, at once, and for good: the drop log says so after a restart
//	Open    footers of the segments -> index; a segment without a good one is scanned behind that
//
// The directory has:
//
//	oxbow-disk-cache     one line that names the format; its lock is held by the process that uses the directory
//	{serial}.segment     entries one after the other, then a footer; serials are eight hexadecimal digits and grow
//	drops.log            which groups were dropped
//
// An entry is a head and a body. Numbers are little-endian; sums are CRC-32C.
//
//	magic 4 | sum of the rest of the head 4 | serial 4 | epoch 4 | key 2 | group 2 | meta 4 | body 4 | zero 4
//	key | group | meta | a sum per piece of the body of 256 KiB, the last one shorter
//
// A footer is a slot per entry that was worth something when the segment was sealed, and a trailer at the file's end:
//
//	hash of the key 8 | offset 4 | size 4 | head's size 4 | group 4 | epoch 4 | hits 4
//	magic 8 | serial 4 | slots 4 | where the slots begin 8 | sum of the slots 4 | sum of the trailer 4
//
// The drop log is a header and records. A drop raises the epoch: it takes all entries of its group, named by its hash,
// whose epoch is less.
//
//	magic 8 | epoch 4 | sum of that 4
//	magic 4 | group 4 | epoch 4 | sum of that 4
//
// Eviction is a clock over the log: the oldest segment goes, and what of it was asked for since it was written is
// written again, up to half a segment.
//
// Invariants:
//
//  1. What Get gives was verified while it was read. What does not verify is dropped, counted and never given.
//  2. Files take no more than Config.Bytes and are no more than Config.Files at every moment; so are descriptors.
//  3. Nobody waits for a write. Nobody waits for a read longer than Config.ReadTimeout.
//  4. A segment is written once, from its beginning to its end, under a name that was never used before. So there is
//     nothing to repair: what a crash left half written does not verify.
//  5. Of two entries of one key the later one counts, by serial and offset.
//  6. What was dropped stays dropped: if the drop log can't be read, all is thrown away. Drops reach the log within
//     a moment, so that a machine that dies just then may still have the entries; who needs more asks elsewhere.
//  7. A fault of the directory is never the caller's: Get misses, Put drops, and one warning says what to do. The
//     store tries again by itself.
//
// Lock order: Store.mu stands alone and is never held over a system call.
package diskcache
