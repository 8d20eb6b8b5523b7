// Package cacheproxy is the edge: an HTTP cache that knows HLS. It finds out which ingest node or archive has a
// recording, fetches every object and every playlist version once however many viewers want it, and hands the bytes to
// all of them while they arrive.
//
// Flow of a GET:
//
//	hold      is the client above its rate (Config.Limits)? Then it waits, or is sent away (limits.go)
//	admit     take the token off path and query; is it signed, then does the token cover it?
//	parse     path of DESIGN section 6, delivery directives; whatever else is 404 or 400 at once
//	lookup    memory cache; a hit ends here
//	find      join the key's flight, or look into the cache again and begin one
//	disk      (the flight's goroutine) what was asked for twice before, verified as it is read (disk.go)
//	peers     the sibling that is to have it, the next one, this edge; then shields (peers.go, peerask.go)
//	search    directory -> nodes in order -> archive -> mirror; a 404 asks the directory again
//	contest   who is late with what is there already has the next one asked beside it; internal/upstream knows when.
//	          An owner that holds an answer back is left when it moves, or answers no check either (moved.go)
//	receive   the body into shared chunks; waiters are woken with the head and what there is; the
//	          more wait, the more of it is gathered first (flight.go)
//	settle    playlists only: which version is it, and was a newer one seen?
//	respond   each viewer at its own pace: conditions, range, Age, Cache-Status; bodies at the client's rate
//
// A request comes by net/http (ServeHTTP, web.go) or by the fast lane (ServeLane, lane.go; see package fastlane). Both
// are exchanges to all of the above, so that there is one logic and one answer: only how bytes are read and sent
// differs. An object's header is made ready to be sent once for each of its forms (forms.go). The lane's paths are
// views of its connection's buffer until keep; what outlives a hit is cloned before that.
//
// Two policies. Media is keyed by its path, for its URL names bytes; it is shown to viewers while it comes. A playlist
// is keyed by path and normalised directives, is fetched compressed, is shown when it is whole, and its variants, plain
// and in zstd, are made from the compressed one (coding.go says who gets which).
//
// Beside that, Follow reads the directory's stream of events. A deleted recording gets a tombstone and its objects
// leave the cache, which keeps them by recording; one that ended or was archived loses its playlists. While the stream
// is whole, locations and cached objects are vouched for by it, and by a look every half a minute in case an event was
// never published. While it is not, or after a reset, the directory is asked about all that is served (trust.go).
//
// FollowPlayback keeps who may watch what: all policies and keys, replaced as a whole (policies.go). Tokens are
// verified once and remembered by their hash, with the policies that they were verified by (verdicts.go).
//
// What an archive's handler writes by reference (slab.PieceWriter) goes to viewers so, and stays where it is: the cache
// keeps such an object's head and where its bytes lie, and a hit finds them there or is a miss (shared.go).
//
// Peers is the port at which other edges ask (peerport.go): the same exchanges, without admit. Who asks is told by
// CDN-Loop (chain.go), and what is answered tells its age to the millisecond. Each peer is asked all the time whether
// it is there (pulse), for what may be held back tells nothing of who holds it.
//
// Reverse is another handler on the same cache and flights: in front of any HTTP origin, after its headers alone
// (internal/httpcache), and without the invariants below that speak of recordings, playlists and tokens. It asks its
// origins as nodes are asked, but that it takes nothing for late which may be held back (reversesearch.go).
//
// Invariants:
//
//  1. At most one fetch per key is under way, and its object is in the cache before it stops being joinable: so
//     upstreams see one request per object and version (HTTP-22, BLK-12). Only what may not be kept is asked for again,
//     and beside a late upstream, or after a failed one, another is asked, within a budget.
//     Where edges ask each other it is one per key and set of edges that it may still ask: see 14.
//  2. A flight belongs to nobody: the viewer who caused it may leave. When all have left it has Config.Linger to end.
//  3. Bytes that a viewer may have seen never change and are never followed by others: an upstream that fails before
//     that is replaced by the next. Where one fails later, media goes on from another by a range, if the strong ETag,
//     the length and the coding are the same (resume.go); else the viewers' connections end. A short body is never a
//     whole 200, and never cached.
//  4. A request without _HLS_msn is never answered with an older version than any that was served before (SEQ-9).
//  5. Nothing is used beyond what its Cache-Control, or CDN-Cache-Control, allows; past that it is asked for again.
//     Nothing is guessed (no heuristic freshness). A 404 is kept for a second at the most, a 410 for as long as it
//     says. Age is what the upstream told and the time since: an answer that was held back is not older for that.
//  6. The cache's bytes, overhead included, are within their bound at every moment; those of shared objects are their
//     keeper's. A slow viewer costs the chunks of what it reads beyond that, until its write deadline. What left the
//     cache takes an eighth more at the most until the collector finds it (internal/slab), and what is dead leaves in
//     time though nothing else comes.
//  7. While the directory is away its old answers stand; while it is unknown the archives are still asked.
//  8. Every wait ends: header, body pauses, whole bodies, viewers' writes and directory asks have time limits; flights,
//     waiters, remembered locations, versions and tombstones have counts.
//  9. Nothing of a deleted recording is served, from the cache, a node or an archive, but bodies that were on their
//     way: at once with the stream of events, within five seconds without it, as long as the directory answers.
//     From disk nothing is served before the directory has told this process of its recording.
//     What was purged is asked for anew: at once with the stream of events, and what was missed with its next reset; no
//     fetch from before is kept or joined. From disk nothing is read before what was purged is known (purgefeed.go).
//  10. Nothing that is signed is served to who brings no good token, from the cache or else; an edge that was never
//     told who may watch serves nobody. A revoked key is good for nothing once the policies have come that lack it.
//  11. A token is seen by nothing behind admit: no key, upstream, log or metric has one. Only a multivariant playlist
//     that was asked for with ?token= is made anew for its viewer (personal.go), and what is cached stays as it is.
//     What steers viewers has none either.
//  12. Bodies of media lie outside the heap. Who reads their bytes holds the piece until it has done so, and gives them
//     to nothing that may read them later: an HTTP/2 stream gets a copy (writecopy.go). Playlists and refusals, which
//     are read as text, are on the heap.
//  13. Observers are told of every request that is answered, of Proxy (GET and HEAD) and of Reverse (all), once before
//     it and once when the answer has ended, well or not, whichever server has read it. They see no token.
//  14. The lane answers every request as net/http would, down to its header fields. Of Reverse it answers a fresh whole
//     by itself, and the rest by Reverse's own code over its exchange (reverselane.go).
//  15. A request waits only for fetches that ask no more than it may ask: siblings and shields for viewers, no siblings
//     for siblings, nobody for who wants only what is there, no shield behind a shield. Each edge on the way may ask
//     fewer than the one before, so that no two wait for each other whatever they think of the site, and a fetch that
//     comes to ask as few as another one of its key joins that.
//  16. What another edge gave is no older than it was there, and on disk only where a shield gave it. What it had from
//     before a recording's end is not kept by who knows of that end (turns.go). Who asks tells what it knows to be
//     purged of that, so that nobody gives it (purgetold.go). None of its own errors is a viewer's answer.
//  17. What steers viewers (steered.go) is put into copies of multivariant playlists: what is cached is the origin's.
//  18. Of each version of a playlist there is one copy that was fetched, in gzip. Its plain text is an object with a
//     key of its own; its copy in zstd (packing.go) is made once, is kept beside it, and goes with it.
//
// At the end of a process EndWaits sends those away who wait for an answer to begin; the server before it tells all
// others that their answer is the connection's last.
//
// Lock order: flights.mu, then flight.mu, a cache shard or fronts.mu; fronts.mu, then a cache shard; a cache shard,
// then the tombstones' mu or the disk's. The locator's mu stands alone.
package cacheproxy
