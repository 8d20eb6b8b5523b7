// Package api is Oxbow's REST API, its start page and its directory service.
//
// The flow: Public serves people and their tools (/v1, /, /watch, /assets, health), Internal serves edges
// (/internal/v1/locate, /internal/v1/events: what happens to recordings, as it happens, /internal/v1/playback: who may
// watch what, with the keys that playback tokens are verified with, /internal/v1/purges: what was to be forgotten, and
// /internal/v1/edges: what an edge tells of itself, which is answered with its orders). A request passes observe
// (log, metrics, panics), then for /v1 the limit of its token or address, then authorize, which knows the token, its
// scope and its publisher, and writes the row of the audit log behind the answer, then the look for an answer under its
// Idempotency-Key, then the decoding and validation that huma does from the types in wire.go, then a handler that asks
// the catalog through small interfaces. Errors go through one table (statusOf) and leave as RFC 9457 problem documents.
//
// Invariants:
//
//  1. Every error is a problem document, and every 4xx that a value caused names the value in errors[].location
//     ("body.archive_delay", "query.limit", "path.recording"): of a path the first that is not there, of what is
//     missing its name. The OpenAPI document tells every status, header and property of the answers.
//  2. What the client did not mean is refused, never ignored: unknown fields, unknown query parameters, null, a name
//     that an object has twice. So is text that no database takes: zero bytes, and what is no UTF-8.
//  3. Without a token only what its publisher lists is shown, and of that no more than a viewer needs. With a token of
//     one publisher only what that publisher has is seen and changed, and what others have is answered as what there is
//     not. An operation that names neither publisher nor recording in its path, and is not known to restrict itself, is
//     refused to such tokens.
//  4. A key, a token, and a webhook's secret, leaves the server once, in the answer to its creation; what verifies
//     playback tokens goes to edges too, which show the cluster's token for it where there is one.
//  5. Every body, answer list and wait has a limit. The listing that everybody may ask for costs the catalog one look
//     a second, whatever the number of viewers.
//  6. What is live is located by its lease, even while the catalog is away; what else there may be is guessed then,
//     never denied.
//  7. An edge that follows the events misses none without being told: by a reset, by unsure, or by the stream's end.
//     One reader of the registry serves all of them, and a slow one is cut rather than waited for.
//     So it is with who follows the log of events: one reader of the catalog, and an exact place to go on from.
//  8. The text of an error that is not one of media's sentinels is logged here and not told.
//  9. A dry run changes nothing, and is refused for the reasons that the change would be.
//  10. A token that was good is taken for good for tokenAge without a look at the catalog, never beyond its end, and
//     not after it was revoked in this process.
//  11. What came with a known token and is no GET leaves one row in the audit log, or an error in the server's log that
//     has all of the row: refused or not, and also when the handler panics. The answer ends after the row is written.
//     No secret is in it; only 429 leaves none.
//  12. A condition of If-Match is judged where the change is made, never before it.
//  13. Under one Idempotency-Key of one token one request succeeds, once. Its answer can be read with that key alone.
//  14. An edge is listed under its name alone: never in the place of another node, nor of an edge that started later.
//     An order to drain is for the process that it was given for, whichever API process that asks.
//  15. The OpenAPI document has a text for everything, and the pages load nothing from elsewhere.
//  16. Players that ask where to play from (/steering) wait for nobody: the picture of the edges is made beside them,
//     and stands while registry and catalog are away. Nothing is remembered of a viewer.
package api
