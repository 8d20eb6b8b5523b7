// Package packager makes shows of publications: it repairs the timeline of frames, cuts them into parts and segments,
// muxes CMAF, records every byte before it announces it, and publishes what playlists say. The rules by id are those of
// shared/HLS.md.
//
// Flow of a frame, on the connection's goroutine, under the stream's lock:
//
//	Publication.WriteFrame   follow tracks and their configurations        publication.go, format.go
//	observer                 until a take can begin: copy and wait         observe.go, constants.go
//	take                     DTS to ticks, audio onto its grid             take.go, clock.go
//	leader                   where the first video's parts, segments end   leader.go, gop.go
//	lane                     audio follows the leader's cuts               lane.go
//	follower                 so does other video                           follower.go
//	fragment                 samples to moof+mdat in a reused buffer       fragment.go, init.go
//	emsgQueue                ID3 as emsg in front of the leading track's   emsg.go
//	Show                     onto storage, into memory, into a snapshot    show.go, recorder.go, memory.go
//
// What a codec's configuration says, and its silence: format.go, a file per codec. Frames are taken as they are said
// to be, for nothing here looks into them: Sync is a random access point, the payload a finished sample. Timed
// metadata is mapped to media time, kept for players and recorded (metadata.go), and so is an event that the API was
// told of (events.go). An ID3 tag is also an emsg box in front of the part of the leading track that its time falls
// into (CMF-21), or of the next that is cut; what its part never comes for, or what finds no room, is in playlists
// only.
//
// Streams of a group, which make one show together, write to a Member each; what they write goes into one Publication:
//
//	Member.WriteFrame        hold frames until the member is known, and for changes to come     member.go, memberheld.go
//	memberClock              each connection's clock onto the group's                           groupclock.go
//	group                    begin, come and leave, who leads                                   group.go, groupset.go
//
// Storage's side, on a goroutine of the show: recorder queues what the show hands over and waits for it a moment
// (recorder.go, jobs.go, outage.go); the goroutine writes it in order (tape.go).
//
// The clock's side, on Run's goroutine and one of each stream's and group's: stream.tick lists fillers, notices
// silence, closes reconnect windows (tick.go); queue writes rows and events (queue.go).
//
// A connection's life: Publish, SetTracks, frames. For a new recording the observer waits until every announced track
// has sent something, two seconds at most, and until the first GOPs tell how long segments are; the constants are
// then fixed for the recording's life. It begins with the first IDR that it kept, so nothing is lost by waiting, and
// the first playlist comes with the first whole segment. Within a recording a take begins at the first IDR.
//
// A show moves to another process of its cluster by that one's Root.ReopenAs, Resume and Publish, in this order: the
// next take follows without a filler. This process gives it up by Forget when the lease is lost, also once storage says
// that another writes (leave.go); at a drain by Leave, HandOver. A process that may have been stopped holds back what
// it was about to tell until it has asked whether the stream is still its own (confirm.go).
//
// Invariants:
//
//  1. One lock per stream owns the publication, the show and the take; a show's goroutine alone touches its recording
//     log, and never takes that lock. A group's lock is taken before its stream's, never with one held. Readers
//     (Snapshot, Part, Current, Packager.Show) never take it either: they read atomics, and memory under a lock of its
//     own. Locks are never nested but for leaves.
//  2. A snapshot is never modified once published. Shared slices are only appended to.
//  3. Written before announced: a part is on storage before a snapshot names it, unless storage fails or lets it wait
//     for longer than 200 ms; then memory alone serves viewers, and it has no offset. What waits is written in its
//     order when storage goes on, and snapshots learn its offset; what fails, or finds the queue full, is a gap in the
//     recording. A segment whose parts are not listed is waited for at its end.
//  4. All renditions have the same MSNs. Between takes all have the same number of segments. The first track leads,
//     but in a group that lost its member another, and the others' segments end at its cuts: a unit behind at most,
//     video 20 ms before to 100 ms behind. Video that has nothing for a segment has a gap there.
//  5. In a take, tfdt of a part is the end of the one before, to the tick (CMF-5). A take begins right
//     behind what is listed, fillers included, so that tfdt never goes back (LIF-1).
//  6. Media time to date is one mapping per take, by presentation time, and dates never go back (PDT-2, PDT-3,
//     PDT-4).
//  7. No listed segment rounds to more than the target duration (TD-2), no listed part exceeds PART-TARGET (PRT-2),
//     and no dependent part in mid-segment falls below 85 % of it (PRT-3): a segment of which that can't be had is
//     listed whole.
//  8. While a show grows a segment is listed every 1.5 target durations (SEQ-6), unless the setting is to hold.
//  9. Nothing on the live path waits for the catalog or the event bus. Every buffer has a bound: waiting frames (64
//     MiB), pending audio (2048 units), pending video beside the leader (2048 frames, 32 MiB), a recording's metadata
//     (65536 pieces, 16 MiB), what of it waits for a take (4096 pieces, 1 MiB), ID3 for the media (1024 tags, 1 MiB;
//     64 KiB in a part), frames held for a member of a group (16 MiB), groups (one for a show that is live), parts in
//     memory and on their way to storage (Config.Memory), storage work (8192 pieces; half of it for metadata), rows
//     (65536), events (4096), events for the log (256 with a row, 65536 in all).
//  10. Storage that stalls holds up a frame of its stream once in an outage, for 200 ms (400 ms where a take ends), and
//     no other stream. Nothing waits for it again until the queue is empty and no work was late for a target duration.
//     A new recording is refused after five seconds for each of its two steps, the directory and the first take, and
//     until the first step has returned at once. A stop gives storage up after five seconds.
//  11. Metadata is announced before it is written: the storage goroutine writes it in its order, and nothing waits for
//     it. So the numbers that a crash may have cost are passed over, and no date range's ID comes to mean another. It
//     is written before the index line of the segment it came in, whose subtitles are so the same from storage; what
//     storage refuses, or the queue has no room for, players of the recording do not get.
//  12. Storage before the catalog: the row and the event of a recording's end follow its manifest, however late.
//  13. A show that another process has is told of no more: no version, row, event or filler follows, and its end is not
//     told where the manifest was another's by then.
//     Its row and the log's events wait together and are saved together: the newest row with all of its events. What a
//     process did not come to save, the next one tells from the takes (reclog.Recording.History), under the same keys.
//  14. Settings that change in mid-show hold where players need not have known them before (settings.go); a sliding
//     playlist never goes back behind where it began, however long its window becomes (SEQ-1).
//
// A stall that outlasts the queue of pieces (about two hours) costs the take: what waits is given up and another take
// begins once storage answers. Where storage hangs for ever, so do the show's goroutine, the queue and an ended show's
// memory, since a system call can't be taken back. What origin reads from such storage waits all the same.
package packager
