// Package hls writes playlists and judges delivery directives (draft-pantos-hls-rfc8216bis, "d§"; rules have ids,
// which name the tests). It is pure: no I/O, no clock, no goroutine. What it says follows from a Snapshot alone, so
// any node gives the same text for the same recording.
//
// Flow: the packager publishes a Snapshot per part; origin asks Decide whether a request may be answered from it, calls
// Render or AppendClip once per version, and keeps the Body, which compresses itself once. A Cache for each recording
// holds what versions have in common; Extends says whether that of an older snapshot may go on. The archiver writes
// Static's playlists, which are the finished ones with byte ranges of files, beside the files that it uploads.
//
// A rendition has two playlists over the same media, each in several forms:
//
//	live/{track}.m3u8           Sliding: the last part of the recording, no PLAYLIST-TYPE
//	{track}.m3u8                Whole: EVENT while it grows, EVENT and ENDLIST when ended, VOD when archived
//	[live/]{track}.iframes.m3u8 IFrames: byte ranges of the random access points of finished segments
//	[live/]subtitles.m3u8       Subtitles: a file for each finished segment of the first rendition
//
// A Whole playlist may be a clip: with From it begins at that segment, and grows as the recording does; with To it is
// finished, of type VOD. Clips, of which there are as many as viewers think of, have nothing of their own in the Cache.
//
// What an update costs does not grow with the recording. A playlist's text is a head, finished entries, and a tail of
// what is near the live edge. Entries are formatted once and kept as chunks of 32, each with its deflate blocks, which
// refer to no other chunk, and sums that say the CRC-32 and a digest of any run of chunks; so a version's text, ETag
// and gzip member are made of three slices each, two of them small. Date ranges, in one block before the first segment,
// are kept likewise. Chunks are counted from the recording's first entry and their number in a version follows from
// the snapshot: all nodes send the same bytes.
//
// A clip is a piece of the Whole playlist: ParseClip reads it from a query, Resolve finds its segments in a Snapshot.
//
// All URIs are relative, so that a path prefix (a token, a mount point) carries over.
//
// Invariants:
//
//  1. A line once rendered for a segment or part is rendered the same for ever (SEQ-2, SEQ-3, SEQ-4), also where a loss
//     is learned later, as long as the recording's Cache lives. In particular an EXTINF is a function of the segment's
//     own ticks: the difference of the two rounded ends. A run of EXTINFs thus never drifts from media time by more
//     than a microsecond.
//  2. MEDIA-SEQUENCE and DISCONTINUITY-SEQUENCE are functions of the snapshot's segments that never decrease (SEQ-1,
//     DSC-1).
//  3. Header values come from media.Constants only, and so never change (TD-3, PRT-4).
//  4. A full playlist and a delta of the same snapshot differ in nothing but the skipped segments and, with version 2,
//     date ranges (DLT-2).
//  5. A printed part duration is 10 to 20 us over the true one, and PART-TARGET too (PRT-16): the order of the two
//     holds.
//  6. An I-frame playlist covers all the time of its segments: what no random access point covers is a gap.
//  7. A sliding playlist lists a date range, with all its tags, until its window has left the range's end behind, and
//     again if the end is put off (DR-1).
//  8. A delta of version 2 has every date range that came within the skip boundary. It may have older ones, or name
//     ranges as removed that were before, where a node's cache has known them for less long: that alone differs
//     between nodes.
package hls
