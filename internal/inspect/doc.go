// Package inspect checks a recording against itself and tells what it found: `oxbow inspect`.
//
//	Recording:  manifest -> per take and track: index line by line against the track's boxes -> tracks against each
//	            other -> metadata -> playlists beside the files -> files that are in no manifest
//	Playlists:  multivariant playlist -> media playlists -> init sections and segments, as a player loads them
//
// It reads the format of package reclog with eyes of its own: what wrote the bytes does not judge them.
//
// # Invariants
//
//  1. Nothing is written, locked or made, so that the recording of a running server may be inspected.
//  2. The index is read before the size of its track file is asked, so that a recording that grows meanwhile shows no
//     fault. What is torn at the end of a take that is not sealed is "growing", never an error.
//  3. Media is streamed. What is kept is a few words for each segment, and at most MaxFindings findings of each
//     name.
//  4. Each finding has a name that scripts may rely on, a severity, a place, and what to do about it.
//  5. Every read has a limit before anything is allocated for it.
package inspect
