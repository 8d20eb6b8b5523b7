// Package archiver moves finished recordings to object storage, removes what has expired, ends the recordings whose
// owner is gone, and keeps the volume from filling up. It serves one cluster: the recordings of one storage. They go to
// the store that their settings name, and a copy to a second one if they name a mirror.
//
//	catalog --ClaimDue--> Step --+-- archive:    local files -> objects -> verify -> manifest -> verify -> local manifest
//	                             |               -> catalog "archived" -> event
//	                             +-- drop_local: archive checked once more -> local files removed -> catalog
//	                             +-- delete:     event -> uploads aborted -> archived manifest -> objects -> local files
//	                                             -> catalog "deleted"
//	        --ClaimClip-> StepClip - clip:       index and manifest over the source's media -> catalog -> event
//	                             +- clip (made): copies of that media -> index -> manifest -> catalog
//
// Run is a few loops around Step, which does one due action. Archiving has loops of its own, and so have removals, so
// that neither waits for the other. Any number of archivers may work on one catalog: a claim is a lease that is renewed
// while its action runs, and its epoch fences whoever lost it.
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
//  9. With a mirror, "the archive" above is both stores: a recording is archived, and its local copy dropped, when both
//     have all of it. A store that this process does not have is an error, told in the row, never a copy less.
//  10. Publishers take turns, by the bytes of what is claimed for them: a publisher's great backlog, or a store of its
//     that is away, costs another no more than a share. Of one publisher, and of those that are equally far, what has
//     been due for longest goes first.
//  11. Memory and connections go with Parallel and Removals, never with what is due. A recording of a day takes some
//     30 MiB: its indexes and playlists. Its sample tables go by temporary files (TMPDIR).
//  12. A deletion is told before the first byte goes, each time that it is begun.
//  13. A recording's files are archived whole, with what no index names: were the index at fault, the media is not
//     lost.
//
// # Recovery
//
// Recovery ends what its owner can't end any more. A recording on storage that grows by its manifest is an orphan while
// its stream has no lease and its files do not change, both as seen by this process. An ingest node adopts it within
// seconds; if none does within the reconnect window in force, and a lease's time more, it is ended here:
//
//	Claim the stream -> look again -> Reopen (fences whoever wrote it) -> Renew -> manifest "ended" -> row -> event
//
// An orphan is also what the stream's owner has left: the publisher went to another cluster, or the owner shows another
// recording. It is ended in the same way, but under the owner's lease, since that is not to be taken from it; instead
// of a renewal the registry is asked again whether the owner is still elsewhere.
//
// Rows follow storage: one that grows while its recording has ended there is saved as ended, and one whose recording is
// not there is closed as lost, after a while, and never while the stream's owner shows that recording. A recording that
// ended and has no row, because its process did not outlive the catalog's absence, gets one.
//
//  14. Of all processes of a cluster one ends a recording: it has the stream's lease, and the manifest's writer. A
//     publisher who comes back meanwhile acquires the stream, which fences the one, and reopens it, which fences the
//     other: its epoch is above the one that the recording is ended under.
//  15. While the registry does not answer, or can't know, nothing is ended.
//  16. A recording ended when its last media did, not when that was found: its dues count from there.
//
// # Pressure
//
// Pressure asks how full the volume of the recordings is, in bytes and inodes, and climbs a ladder: alarm (0.80 used),
// archive early (0.85), drop archived local copies before their grace is over (0.90), refuse new shows (0.95; ingest's
// to do, by reclog.Root.Full). Each rung does what those below it do, and is left by itself when the volume is 0.02
// below its mark. A volume that does not answer is unknown, not full.
//
//  17. Pressure only moves dues forward. What is done then is done as ever, by the invariants above: what is not
//     archived is never dropped, and what is kept is archived and dropped but not deleted.
//
// # Pictures
//
// Pictures has an external ffmpeg make pictures (package thumbnail), where there is one: of each growing recording at
// every thumbnail_interval the newest random access point, as thumbnail.jpg; at its end one that shows something, and
// sprite sheets with thumbnails.vtt. It reads the random access points near the wanted times and nothing else, so that
// a day costs what an hour does. What was written a moment ago, by whichever process, is left as it is.
//
//  18. Archiving waits for the last pictures until half a minute after its due time (4 s in continuous mode), however
//     many recordings wait, and goes on without. What is archived gets no other pictures. A clip that is made on the
//     cluster's storage gets pictures of its own, one that is made in the archive none.
//
// # Archives
//
// How a store fares is learned from every operation on it, and by a look at it every 30 s. The catalog has it for the
// API: ok, slow (it takes less than SlowRate), or what Config.StateOf makes of an error. What a write meets, such as a
// full store, is not taken back by a read that succeeds, but by the next write, or when none has failed for a while.
//
// # Retention
//
// Retention has the bounds of count and bytes judged every few seconds (the catalog looks only where something
// changed), and copies dropped where a policy wants more of the volume free. Like Pressure it only moves dues.
//
// # Clips
//
// A clip is a recording whose media is that of another, its source, until that is to go. Its row is there first; who
// asked waits for it, so it is claimed apart from all else. One of a recording that the archive has is made there, any
// other on the cluster's storage, and archived behind its source.
//
//  19. Media goes after every clip that needs it: before a recording is deleted, and before its local copy is dropped,
//     each clip that stays has its own media there, or is archived itself. The removal waits for that, and asks for it
//     (ReleaseClips). It makes no difference whether the source, or the clip, is held.
//
// # Continuous upload
//
// Continuous uploads the shows whose archive_mode is continuous while they grow, so that the archive is complete
// seconds after their end, and what an ingest loses with its disk is what came after the last upload. A show is claimed
// like an action; its owner's ending save ends that claim. Every interval, of what a reclog.Follower finds new:
//
//	ClaimUpload --> track files' uploads extended to the end of the listed segments --> sealed takes' objects completed
//	            --> files of lines, when much is new --> recording.growing.json
//	ended       --> archive, as ever: the same uploads are completed --> recording.growing.json removed
//	ended, lost --> archive: salvage, from the uploads and recording.growing.json alone
//
// An upload's last part, if it is short, is sent again with all that it had whenever it has grown: at most nine times
// the media's bytes, or a part in each Bound. So a track of few bits waits until its last part has grown by an eighth,
// or Bound is over. So the loss is an interval for shows of many bits, and Bound at most; each interval
// costs a request for each track and two for the description.
//
//  20. Only bytes of listed segments are uploaded: what lies behind may still be cut off.
//  21. recording.growing.json names what the archive has when it is stored, and stays until the manifest is there.
//  22. The row says uploaded before the first byte is sent, so that what there is will be salvaged or removed.
//  23. A salvage changes nothing that it could not do again from: the description, made whole, outlives its objects.
//  24. What this process read for an upload is not read again to archive it; another one sums the local bytes anew.
//
// # Events
//
// What becomes of a claim is logged by the catalog with its end (docs/events.md); Pressure logs its levels, and takes
// up the one that was told last; Recovery tells with a row what the recording's owner did not come to tell.
//
//  25. events.json is stored before the manifest, and keeps what the log no longer has.
//
// # Metrics
//
//	oxbow_archiver_pictures_enabled                     1 if there is an ffmpeg
//	oxbow_archiver_pictures_total{kind,result}          kind live or final
//	oxbow_archiver_ffmpeg_cpu_seconds_total, _ffmpeg_runs_total{result}
//	oxbow_archiver_actions_total{action,result}, _action_duration_seconds{action}, _lateness_seconds{action}, _busy
//	oxbow_archiver_stored_bytes_total, _stored_objects_total, _present_objects_total, _deleted_objects_total
//	oxbow_archiver_damaged_recordings_total, _repaired_archives_total
//	oxbow_archiver_upload_done_bytes, _upload_total_bytes, _upload_rate_bytes_per_second, _upload_eta_seconds
//	                                                    of the recordings under way together; each one's is in the API
//	oxbow_archiver_waiting_publishers{lane}             with something due: archive, remove
//	oxbow_archiver_archive_up{archive}                  1 while it works, however slow
//	oxbow_archiver_salvaged_recordings_total            archived without their local copy, which was gone
//	oxbow_archiver_growing_shows                        uploaded by this process while they are live
//	oxbow_archiver_growing_lag_seconds, _growing_lag_bytes   of the uploads behind the live edge: furthest, and all
//	oxbow_archiver_growing_sent_bytes_total             what was sent again too
//	oxbow_archiver_growing_failures_total
//	oxbow_archiver_orphans                              growing recordings that nobody owns; they should not stay
//	oxbow_archiver_recovered_recordings_total{kind}     ended for their owners: orphan, row, lost, unlisted
//	oxbow_archiver_pressure_level                       0 normal, 1 alarm, 2 archive early, 3 drop, 4 refuse
//	oxbow_archiver_volume_used_ratio                    of bytes or inodes, whichever is more
//	oxbow_archiver_volume_stalled                       1 while the volume does not answer
//	oxbow_archiver_hastened_recordings_total{action}    made due early by the pressure
//	oxbow_archiver_retention_changes_total, _retention_local_free_total     made due by bounds, by want of room
//	oxbow_archiver_retention_duration_seconds, _retention_failures_total, _retention_last_success_seconds
//
// # What the archive has
//
// The cluster's tree of the recording, byte for byte, and static playlists over byte ranges of its files, so that the
// bucket plays without Oxbow:
//
//	publisher/stream/recording/1/video.mp4, 1/video.idx, 1/audio.mp4, 1/audio.idx, 1/metadata.jsonl, 2/...
//	publisher/stream/recording/index.m3u8, video.m3u8, audio.m3u8
//	publisher/stream/recording/thumbnail.jpg, sprite-1.jpg, ..., thumbnails.vtt
//	publisher/stream/recording/events.json          what was told of it, up to its archiving: {"publisher", "stream",
//	                                                "recording", "events": [as the REST API gives them, by id]}
//	publisher/stream/recording/recording.json       state archived; stored last, deleted first
//
// A clip that refers to its source has 1/video.source.idx in the place of 1/video.mp4 and 1/video.idx, and its
// playlists lead to ../source/1/video.mp4.
package archiver
