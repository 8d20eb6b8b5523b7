// Package reclog is the recording log: how a recording lies on storage, how it is written while it is live, how it is
// made whole after a crash, and how it is read, from a directory or an object store, while it grows and ever after.
//
// Its flow: Root.Create, Writer.StartTake, then for each part TakeWriter.AppendPart (one write, on the live path) and
// for each segment FinishSegment (sync and index line, in the background), Writer.AppendMetadata whenever something
// is told, TakeWriter.Seal, the next StartTake... After a crash, or in another process: Root.Unfinished or
// Root.Growing, Root.Reopen, and on with the next take. Readers call Load, at any time.
// Whoever copies a recording while it grows uses a Follower, which reads only what is new, and Salvage makes a whole
// recording of such a copy when nothing else is left.
//
// # Format, version 1
//
// All numbers are decimal, all times RFC 3339 in UTC. The tree:
//
//	<root>/.oxbow.lock                      flock(2)ed by the process that has the root, exclusively, or by the nodes of
//	                                        a cluster, shared; holds the pid, or "cluster"
//	<root>/<publisher>/<stream>/<recording>/
//	    recording.json                      manifest
//	    recording.json.<writer>.tmp         a manifest being written; left by a crash, removed by recovery
//	    recording.json.removed              the manifest of a recording that is being removed
//	    thumbnail.jpg                       a picture of it, replaced while it grows
//	    sprite-1.jpg  thumbnails.vtt        sheets of small pictures, and which is where (WebVTT); made at the end
//	    1/                                  take 1; takes are numbered upwards, not always without gaps
//	        video.mp4  video.idx            track file and index of the track "video"
//	        audio.mp4  audio.idx
//	        metadata.jsonl              timed metadata of the take, if there is any
//	        video.source.idx                index of a clip that has no media of its own, in the place of video.*
//	        video.idx.<writer>.tmp          an index being written by recovery
//	        video.idx.corrupt               a damaged index, as recovery met it
//	        video.mp4.8192.corrupt          a tail that was no torn part, cut off at 8192
//	    2/
//	    3.<writer>.tmp/                     a take that is being begun
//	    3.orphan/                           a take with media that is in no manifest
//
// Publisher and stream are names and recording is an id in the forms of package media, as are the tracks' names. Other
// files are left alone. In an object store the same names lie under a prefix; only recording.json, *.mp4, *.idx,
// metadata.jsonl (Manifest.FileNames) and the pictures (Root.Pictures) are copied there; the archiver adds playlists and
// sample tables (package progressive), which nothing here reads.
//
// A clip is a recording of a piece of another, its "clip" in the manifest: {"of":id,"start_ns":n,"end_ns":n}, what was
// asked for on that one's timeline. It has some of that one's segments, as they are: numbers, takes, times and dates.
// While its manifest names a "source" it has no track files. Its indexes are *.source.idx, and their offsets, like the
// init sections, are in the track files of the source, a recording of the same stream in the same storage. Such a
// manifest's "format" is 2. Before the source is removed, the clip gets track files: of each the init section, and the
// bytes from its first segment to its last. Then it gets indexes of those, and a manifest without source, which is
// when they count; then the old indexes go. What it is a clip of may be gone from then on.
//
// The manifest is the JSON of Manifest, at most 4 MiB; its "format" is 1, or 2 with a source. Fields that a
// reader does not know are passed over; a greater format is refused (media.ErrUnsupported). All takes of a recording
// have the same tracks, by name and order. The last MSN of a take is the one before the first of the next take; that of the last take is in
// its indexes.
//
// A track file is ftyp moov (emsg* moof mdat)*: the init section, of the track's init_size bytes, then one moof+mdat
// for each part, behind the part's events, at most 256 KiB of emsg boxes of version 1. A moof has one mfhd, its first
// box, and one traf with a tfdt. The mfhd's sequence_number is
//
//	MSN<<7 | index of the part in its segment
//
// so that the file alone says what each part is. That allows 128 parts in a segment and MSNs up to 2^25-1; sequence
// numbers ascend through a file. Sample durations are in the trun or the tfhd (defaults of the trex are zero).
//
// An index has one JSON line for each finished segment, in order of MSN, at most 1 KiB with its newline:
//
//	{"msn":12,"dts":1980000,"duration":180000,"offset":812345,"size":75123,"date":"2026-11-20T10:38:22.823Z","sync":true}
//
//	msn        media sequence number; first_msn of the take in the first line, then without gap. A recording's first
//	           is 1, a clip's that of the segment in its source
//	dts        decode time of the first sample, in ticks of the track (tfdt)
//	duration   sum of the samples' durations, in ticks
//	offset     of the segment's first byte in the track file
//	size       in bytes
//	date       the take's anchor plus dts, cut to the millisecond
//	sync       true: it begins with a random access point; as the other flags left out when false
//	gap        true: media is missing. Size is 0, and offset where the file ended, if there is none at all; a segment
//	           of which some parts are lost keeps the bytes that it has
//	filler     true: the gap stands for the absence of the publisher, between takes
//	iframes    [[time,offset,size],...]: the parts of video that begin with a random access point, in order. The time
//	           is in ticks from dts, the offset in bytes from the segment's first, and the size reaches from the
//	           part's first byte, events included, to the end of its first sample. At most 16, the first ones: those
//	           behind are left out. So is a random access point in mid-part, and all in a gap. The field is left out
//	           if there are none, in tracks that are no video, and by writers that did not know it yet
//
// metadata.jsonl has one JSON line for each piece of timed metadata that playlists tell of
// (media.MetadataKind.Listed), in order of number, at most 96 KiB with its newline; 65536 pieces and 16 MiB of
// payload in a recording:
//
//	{"number":3,"kind":"scte35","time_ns":4100000000,"date":"2026-11-20T10:38:22.823Z","payload":"/DAl..."}
//	{"number":4,"kind":"cue_point","time_ns":4500000000,"date":"2026-11-20T10:38:23.223Z","payload":{"name":"ad"}}
//
//	number     ascends through all takes of the recording, from 1, not always without gaps
//	kind       media.MetadataKind, or a later version's: ^[a-z0-9_]{1,32}$
//	time_ns    on the recording's timeline, in nanoseconds, as the tracks' decode times are
//	date       the wall clock there, cut to the millisecond
//	payload    a string: base64 of at most 64 KiB. An object or array: the payload is this very text
//
// A take that is sealed has the file if its "metadata" in the manifest is true, and else none that counts. A take that
// is not sealed may have it.
//
// # Invariants
//
//  1. A byte of a track file that was part of an accepted part never changes and never moves. Files only grow, but for
//     tails that no AppendPart had accepted.
//  2. A part that AppendPart accepted is in a segment of every later Load, at its offset, once its segment is finished
//     or the recording was reopened. The index can be lost: it is rebuilt from the track file.
//  3. A line in an index names bytes that are in the track file, synced before under SyncSegment and SyncPart. A gap's
//     line is written (and synced) before the gap is announced, since nothing else tells of it.
//  4. Within a recording, MSNs ascend by one through all takes, the same for each track. A line that is missing is
//     made up as a gap, by the neighbours' times.
//  5. One writer, whichever process it is in and wherever it is stopped. Each take has a fresh directory, made by its
//     writer alone. Reopen and Create write a new random "writer" into the manifest; a Writer that meets another's
//     there changes nothing more (media.ErrFenced), and what it was about to put in a file's place finds nothing to
//     rename (swap.go). Reopen replaces the indexes of takes that were not sealed, so the lines of a fenced writer
//     that still runs go to a file without a name, and the parts that it appends lie behind the last line, where they
//     belong to no segment. Where other processes share the root it replaces those of the newest take in any case,
//     for gaps are appended to a sealed one too, and cuts no track file: one that is about to take over may have
//     listed its tail.
//  6. A torn tail is not corruption. The last line of an index or of metadata without newline, or that does not
//     parse, and the last part of a track file that is not whole, are cut off without further ado. A fault before is
//     Damage (media.ErrCorrupt): logged, kept in the manifest, the bytes kept (in place, or aside when they would be
//     cut), the segment a gap, a piece of metadata left out, and the rest of the recording served.
//  7. The live path never waits for a sync, a line or the manifest, but under SyncPart, which is asked to. AppendGap
//     waits a second at most.
//  8. Nothing is believed before it is checked: sizes of files, lines, boxes, counts of takes, tracks and made-up gaps
//     have limits (limits.go) before anything is allocated for them.
//
// # Crashes
//
// What a crash of the process can leave, and what Reopen makes of it:
//
//   - A manifest's .tmp, an index's, a take's: removed. The manifest itself is the old one or the new one (write,
//     fsync, rename, fsync of the directory).
//   - A directory of a take that is not in the manifest: StartTake makes directory and files, then names them.
//     Removed, or renamed to .orphan if it has media. No part of it was ever accepted.
//   - A take in the manifest without a segment: it gets one, a gap, so that its number and MSN are never given again.
//     (Its first segment may have been announced and lost with the power.) Seal takes such a take out instead.
//   - A torn part at the end of a track file: cut off, but under a shared root, where it is of no segment. Parts
//     behind the last line: their segments get lines. The open segment is closed with the parts that it has, as
//     viewers saw them.
//   - Tracks that end with different MSNs: the shorter get gaps.
//   - A torn index, or one that lacks lines in the middle: rebuilt from the file; what the file has not is a gap.
//   - Metadata: what AppendMetadata had accepted is there, but for a torn last line. A take that was not sealed gets a
//     new file of the same lines, like an index, so that a fenced writer's lines go nowhere.
//   - An empty metadata.jsonl beside a sealed take whose "metadata" is not true: the first piece after the seal was on
//     its way. It is made anew with the next.
//   - A crash of Reopen: it may be run again.
//
// After a loss of power also: files that are empty, or shorter than their index says (those segments are gaps, and
// Damage), or end with zeros. Under SyncSegment the open segment and those whose sync was under way may be gone,
// although viewers saw them: their MSNs are then given again, by the next take, hence under other URLs. Sync "part" if
// that must not be. Metadata is synced with the next segment of its take, at once after the take's end or under
// SyncPart; pieces that came after that may be gone, and only a writer that passes numbers over gives none of them
// again.
//
// A write that fails in a live process is cut off before anything else is appended; when the cut fails too, appends
// fail with ErrBroken until it succeeds. An index line that can't be written waits in memory, in order, and is tried
// again with each later line and by Seal; Config.OnError and TakeWriter.Err tell. A piece of metadata that can't be
// written is not tried again. A sync that failed is never forgotten
// (the kernel may have dropped the bytes, and a second sync would succeed): the take is not marked sealed, so Reopen
// looks at its segments again. A recording that has ended but is not Recovered is reopened before it is archived.
//
// # Removal under readers
//
// A recording may be removed by one process while others read it: the archiver drops a copy that an ingest node serves.
// A reading that has its file open goes on to its end, with the same bytes. What is opened later is media.ErrNotFound,
// as is a Load that was under way, and readers turn to the archive, which has all of it. A process keeps at most 256
// files open that it reads no more, each for 20 seconds; so long a removed file keeps its space. NFS keeps such a file
// under another name in its directory (.nfs...), if a process of the same machine has it open: Remove then fails until
// that is closed, and may be repeated.
//
// # NFS and other shared storage
//
// What is needed of the file system: rename that replaces atomically and fails if there is nothing to rename, mkdir
// that fails if the directory is there, fsync of files and directories, and close-to-open consistency: a reader that
// opens a file sees all that its writer's client had sent before. Names must not be believed from memory, for a
// writer learns from the manifest's name that it is fenced: mount with lookupcache=none (at least positive, so that
// new takes are seen at once) and a short actimeo (1), hard, and NFS 4 where there is a choice. With nosharecache or
// a local cache of whole files (fsc) it is not safe. A local directory that processes of one machine share needs
// nothing.
//
// An NFS client sends on fsync, on close, or when it likes: other nodes see a part at once under SyncPart, a segment
// when its line is there under SyncSegment; until then its owner serves it, and whoever takes over sees what had been
// sent. A crash of the process loses nothing, since its files are closed with it: their client sends what is left,
// which a Reopen elsewhere must not come before. The lease's expiry gives it time. A crash of the machine, or a node
// that hangs or is cut off from the server, leaves what was sent: so where streams are to move on NFS without any
// loss, sync "part".
//
// Who may write is the lease's to say, before anything here: it keeps two nodes from taking a stream over at a time
// but for the moment in which one that lost it has not noticed. What that one does meanwhile the writer's name and
// ReopenAs make harmless. Nothing here waits for a lock of the recording: the node that has it may hang with the
// server.
//
// Appends are plain writes at an offset, by one client, never O_APPEND, which NFS can't do. A reader that finds a
// range behind the end of a file that it has open opens it anew before it gives up. A handle may be stale (ESTALE),
// because another client replaced or removed the file: names are looked up again, a few times, and readings go on in
// the file that has the name now, which for a track file has the same bytes. Locks: flock(2) of the root, which NFS
// turns into a lock of the whole cluster, exclusive for a process that wants the directory alone and shared for a
// cluster's nodes; it keeps oxbow serve and a cluster apart and orders nothing else, and a node whose lock the server
// forgot goes on. Errors of late writing (ENOSPC, EIO) come with fsync and close, and are told.
package reclog
