// Package origin answers HTTP requests for recordings under the one URL scheme of the system: from the shows that are
// live in this process, and from any storage of recordings (a cluster's directory, the archive's bucket). Ingest
// nodes and edges run the same handler, so the bytes of a URL are the same live, after the show, and from the
// archive.
//
//	/{publisher}/{stream}/index.m3u8                       the show that is live, else the latest recording
//	/{publisher}/{stream}/{recording}/index.m3u8           one recording
//	/{publisher}/{stream}/{recording}/live/{track}.m3u8    its sliding playlist
//	/{publisher}/{stream}/{recording}/{track}.m3u8         all of it
//	/{publisher}/{stream}/{recording}[/live]/{track}.iframes.m3u8    a video track's random access points
//	/{publisher}/{stream}/{recording}[/live]/subtitles.m3u8          subtitles, if the recording has them
//	/{publisher}/{stream}/{recording}/recording.mp4        all of it as one file (package progressive)
//	/{publisher}/{stream}/{recording}/{take}/{track}/init.mp4
//	/{publisher}/{stream}/{recording}/{take}/{track}/{msn}.m4s
//	/{publisher}/{stream}/{recording}/{take}/{track}/{msn}.{part}.m4s
//	/{publisher}/{stream}/{recording}/{take}/subtitles/{msn}.vtt
//	/{publisher}/{stream}/thumbnail.jpg                    of the show that is live, else of the latest recording
//	/{publisher}/{stream}/{recording}/thumbnail.jpg        of one recording; it changes while that is live
//	/{publisher}/{stream}/{recording}/sprite-{n}.jpg       sheets of small pictures, and what is where, once it has ended
//	/{publisher}/{stream}/{recording}/thumbnails.vtt
//
// A Relay in front of the handler lets any node of a cluster be asked: what another node has live it asks of that node
// (relay.go). A request that waits follows the show when it moves to another node, or to this one.
//
// Playlists that do not slide take a clip, ?start= and ?end= (hls.Clip). The multivariant playlist takes all forms of
// bounds and names media playlists by times of day. Those refuse what is relative to a live edge that moves, since
// each reload would be another playlist.
//
// A download takes a clip too, cut to the picture. While the recording grows only what has an end, in absolute terms,
// can be downloaded (409): each answer without would be another file. Its header is made once, detached from the
// requests that wait for it, few at a time; what takes longer than they wait is 503, and ready for the next. Bodies may
// take hours: each write has a deadline, the whole has none.
//
// Flow: parse the path; find the recording, as a show or from storage through a bounded cache; for a playlist or a
// hinted part, wait until a snapshot has what was asked for; answer from the version's body (rendered and compressed
// once, of chunks that it shares with other versions, written one after the other) or copy a byte range of a track
// file.
//
// Invariants:
//
//  1. A version of a playlist is rendered once and compressed once, whatever the number of requests for it. Those of
//     clips are kept up to a bound.
//  2. A playlist served never goes back: a recording's versions are taken in the order in which its show gives them.
//     One that another process writes is read again while it grows, and keeps the lines that were listed. A show that
//     left and came back is another with the same recording: it lists all that was.
//  3. Every wait ends: by a newer snapshot, after three target durations (503), at once when the show leaves this
//     process for another (503), or with its request. Waiters are bounded.
//  4. What is neither listed nor hinted is 404 at once (HNT-7), but for what another process may have listed of a
//     recording that it writes: that is waited for (late.go). What may exist later is never cacheable as missing.
//  5. Media answers depend on the URL alone and say that they never change.
//     A clip's media is read of its source's files until it has its own: the bytes are the same.
//  6. Work that many requests share is detached from them, with its own timeout, and done once.
//  7. Nothing waits long for storage: what does not come in time is 503, goes on alone, in bounded number, and makes
//     the next wait shorter. What memory serves has no part in that. Of a store over the network each file has that
//     time, not all of a recording; they are read side by side (ahead.go), and one that is late cuts nobody's wait.
//  8. A download has one strong ETag wherever it is answered, so that it can be resumed at another node, or from the
//     archive; a clip's keeps it when its source is deleted, and its bodies under way go on.
//  9. Every answer, errors too, carries CORS headers, Cache-Control and, if it may have a body, Content-Length.
package origin
