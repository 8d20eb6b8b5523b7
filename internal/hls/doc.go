// Package hls writes playlists and judges delivery directives (draft-pantos-hls-rfc8216bis, "d§"; rules have ids,
// which name the tests). It is pure: no I/O, no clock, no goroutine. What it says follows from a Snapshot alone, so
// any node gives the same text for the same recording.
//
// Flow: the packager publishes a Snapshot per part; origin asks Decide whether a request may be answered from it, calls
// AppendMedia or AppendMultivariant once per version, and keeps the text in a Body, which compresses itself once. Lines
// holds the text of finished segments, so that a render copies what earlier versions formatted already. The archiver
// writes AppendStatic's playlists beside the files that it uploads.
//
// A rendition has two playlists over the same media:
//
//	live/{track}.m3u8   Sliding: the last part of the recording, no PLAYLIST-TYPE
//	{track}.m3u8        Whole: EVENT while it grows, EVENT and ENDLIST when ended, VOD when archived
//
// A clip is a piece of the Whole playlist: ParseClip reads it from a query, Resolve finds its segments in a Snapshot.
//
// All URIs are relative, so that a path prefix (a token, a mount point) carries over.
//
// Invariants:
//
//  1. A line once rendered for a segment or part is rendered the same for ever (SEQ-2, SEQ-3, SEQ-4). In particular
//     an EXTINF is a function of the segment's own ticks: the difference of the two rounded ends. A run of EXTINFs
//     thus never drifts from media time by more than a microsecond.
//  2. MEDIA-SEQUENCE and DISCONTINUITY-SEQUENCE are functions of the snapshot's segments that never decrease (SEQ-1,
//     DSC-1).
//  3. Header values come from media.Constants only, and so never change (TD-3, PRT-4).
//  4. A full playlist and a delta of the same snapshot differ in nothing but the skipped segments (DLT-2).
//  5. A printed part duration is 10 to 20 us over the true one, and PART-TARGET too (PRT-16): the order of the two
//     holds.
package hls
