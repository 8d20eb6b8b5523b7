// Package media is Oxbow's vocabulary: the nouns that every other package shares, and nothing that acts.
// It imports the standard library only.
//
// The standards' words keep their meaning (RFC 8216bis, CMAF): segment, part, media sequence number, rendition,
// discontinuity. Four words are our own:
//
//   - A publisher is a tenant. It owns streams, keys and settings.
//   - A stream is a named channel of a publisher. It is live or not.
//   - A recording is one show of a stream. A live show is a recording that still grows; VOD is the same recording,
//     finished. One id and one set of URLs serve it from the first frame to its expiry.
//   - A take is one uninterrupted publishing connection inside a recording.
//
// Media time is int64 ticks of a track's timescale in segments and parts, and time.Duration in frames.
package media
