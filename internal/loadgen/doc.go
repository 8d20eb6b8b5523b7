// Package loadgen makes load, to find what a server of live streams costs and how much it bears: one clip published as
// many streams, and one stream watched by many viewers. It is made to be far cheaper than any server.
//
// Flow of publishing: Load reads an FLV file (for RTMP) or an MPEG transport stream (for SRT) and cuts it into messages
// once; Run dials every URL during the ramp, each stream then sends the clip in a loop, the same bytes with timestamps
// that run on, and the Result says what came of it.
//
// Flow of watching: View reads the multivariant playlist; each viewer then has one connection for each rendition, on
// which blocking reloads and the parts that they list take turns, as in a low-latency player without a buffer. Latency
// publishes and watches at once, and knows by the bytes which frame a part ends with.
//
// Flow of playing: Play has viewers with a buffer, which do what hls.js 1.7.4 does with its defaults in a browser. A
// player takes the first variant and stays with it; for each of its tracks one goroutine reloads the playlist and
// another loads what is listed, and one asks the steering server. What comes feeds the play head, which runs with the
// clock and stands where media is missing. Failures are retried, or booked on the pathway, which is left for the next
// of the last steering manifest and not gone back to for five minutes. What hls.js does wrong is done, too: a piece's
// failure is booked on the pathway of the moment, a HOST with a port is ignored, and 429 ends steering.
//
// Invariants:
//  1. Everything ends by itself: a bounded time after ramp and duration have passed.
//  2. A stream that falls behind is late, never thinned out: every message is sent, in order, and its lag is counted. A
//     viewer loads every part that it finds listed, and counts those that it came too late for.
//  3. Little is hidden from the lag: the send buffers hold at most 128 KiB.
//  4. Answers of a server have limits: 64 header lines, bodies of 32 MiB where they are kept, steering manifests of
//     256 KiB, 1000 variants and renditions.
//  5. What a player tells of itself is what it saw: each request and byte is counted once, and a stall from the moment
//     when media ended.
package loadgen
