// Package ingest takes live streams in. It speaks RTMP and SRT with publishers, checks their keys, takes the media out
// of FLV or MPEG transport streams and hands it, frame by frame, to a Packager.
//
// Flow:
//
//	Server.Serve    accepts connections within limits, one goroutine each; ServeTLS is RTMPS (tls.go)
//	Tunnel          RTMPT: HTTP requests as one more kind of connection (tunnel*.go)
//	Server.ServeSRT the same for SRT, on one UDP port
//	rtmpConn        handshake, chunks, AMF commands (rtmp*.go, chunk*.go, amf*.go, handshake.go, wire.go)
//	flvDemuxer      FLV and E-RTMP bodies to configurations, frames and timed metadata (flv*.go)
//	tsDemuxer       MPEG transport stream bytes to the same (ts*.go)
//	fieldPair       one frame of two fields of H.264, for both demuxers (fields.go)
//	srtPublisher    an SRT connection (srt*.go; srt_socket.go alone knows the library)
//	Puller          streams that are fetched: one pull for each source, which connects, publishes, waits, tries again
//	feed            a source that was reached: HLS (pull_hls*.go, fmp4*.go), RTMP (pull_rtmp.go), SRT (pull_srt.go)
//	session         what every protocol shares: authorisation, lease, takeover, tracks, counts (session.go, lineup.go)
//	standby         a publish of a stream's other feed, kept ready until it takes over (standby.go, gop.go, pulse.go)
//	keyholders      sessions and the keys that they came with, whose end is theirs (keys.go)
//	Server.Drain    has publishers leave where that costs viewers least (drain.go)
//	quality         what a session's frames tell of encoder and network, and its warnings (quality*.go, sessions.go)
//	door, damper    who may be connected, and who is answered late (door.go, damper.go, overrun.go)
//	Publication     the packager's side: of the stream's show, or a member's of its group's
//
// The seam for the next protocol: a handler that calls Server.open with a request and feeds the session that it gets
// through the sink interface.
//
// Invariants:
//
//  1. Nothing that a client claims is allocated before a limit has counted it; memory follows the bytes that came.
//  2. NetStream.Publish.Start is said after the key was found right, the lease is held and the Packager has agreed.
//  3. A stream has one live session, and a standby for each feed at most. Of the live ones that with the highest epoch
//     wins; the other is told, and has left before the new one publishes (or TakeoverTimeout has passed; then the epoch
//     fences it).
//  4. A session is one goroutine. While a frame is being taken nothing is read: that is RTMP's back-pressure. SRT knows
//     none: a second goroutine drains it into a queue with a limit, past which packets are dropped and counted.
//  5. The wire's clock is kept: DTS is the RTMP timestamp, with E-RTMP's nanoseconds, or the PES packet's DTS,
//     unwrapped once for all tracks; PTS is DTS plus their signed difference. Repairs belong to the packager.
//  6. Tracks are set before the first frame, and a frame's track indexes the tracks set last.
//  7. A payload is borrowed: it lies in the demuxer's buffer and is valid until the call returns.
//  8. A key is never logged, nor an error or URL that may hold one: only the stream that it opened, or a hash.
//  9. A frame that lacks a part is dropped and counted, never handed over.
//  10. Every wait has a deadline, and no connection ends without a log line, or being counted in one when its address
//     has too many.
//  11. Connections that have not published give way to new ones, refused ones first; those that have do not. A
//     right key is never delayed.
//  12. A warning is logged once when it is raised and once when it is over.
//  13. A source never takes a stream from who is live: it looks before it acquires, stands by, and tries again later.
//  14. Of a source's URL only its redacted form is shown or logged.
//  15. A publish of the feed that is live takes over at once; one of the other feed stands by, without a lease, and
//     takes over when the live feed is gone, has been silent for backup_after, or on request. Nothing else switches.
//  16. A standby begins with a random access point that it kept, all at once, then goes on as any session. What it
//     keeps is bounded in bytes and time.
//  17. A drain ends no publish in the middle of a segment, unless it has been silent for a second or DrainTimeout has
//     passed, and is no goodbye.
//  18. A key's end, by time or revocation, is the end of the sessions that came with it, live or standing by, and of no
//     other. It is no goodbye: the show waits for who comes with another key.
package ingest
