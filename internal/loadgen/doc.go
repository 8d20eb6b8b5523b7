// Package loadgen publishes one clip as many streams at its own pace, to find what a server of live streams costs and
// how many it bears. It is made to be far cheaper than any server: a clip is cut into messages once, all streams send
// the same bytes, and only timestamps differ.
//
// Flow: Load reads an FLV file (for RTMP) or an MPEG transport stream (for SRT); Run dials every URL during the ramp,
// each stream then sends the clip in a loop with timestamps that run on, and the Result says what came of it.
//
// Invariants:
//  1. Run ends by itself: a bounded time after Ramp and Duration have passed.
//  2. A stream that falls behind is late, never thinned out: every message is sent, in order, and its lag is counted.
//  3. Little is hidden from the lag: the send buffers hold at most 128 KiB.
package loadgen
