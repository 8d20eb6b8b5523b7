// Package api is Oxbow's REST API, its start page and its directory service.
//
// The flow: Public serves people and their tools (/v1, /, /watch, /assets, health), Internal serves edges
// (/internal/v1/locate, /internal/v1/events: what happens to recordings, as it happens, and /internal/v1/playback: who
// may watch what, with the keys that playback tokens are verified with). A request passes observe
// (log, metrics, panics), then for /v1 the token check, then the
// decoding and validation that huma does from the types in wire.go, then a handler that asks the catalog through small
// interfaces. Errors go through one table (statusOf) and leave as RFC 9457 problem documents.
//
// Invariants:
//
//  1. Every error is a problem document, and every 4xx that a value caused names the value in errors[].location
//     ("body.archive_delay", "query.limit", "path.recording").
//  2. What the client did not mean is refused, never ignored: unknown fields, unknown query parameters, null.
//  3. Without a token only what its publisher lists is shown, and of that no more than a viewer needs.
//  4. A key leaves the server once, in the answer to its creation; what verifies playback tokens goes to edges too.
//  5. Every body, answer list and wait has a limit. The listing that everybody may ask for costs the catalog one look
//     a second, whatever the number of viewers.
//  6. What is live is located by its lease, even while the catalog is away; what else there may be is guessed then,
//     never denied.
//  7. An edge that follows the events misses none without being told: by a reset, by unsure, or by the stream's end.
//     One reader of the registry serves all of them, and a slow one is cut rather than waited for.
//  8. The text of an error that is not one of media's sentinels is logged here and not told.
//  9. A dry run changes nothing, and is refused for the reasons that the change would be.
package api
