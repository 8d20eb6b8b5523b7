// Package control is what nodes ask each other beside media: an api process asks the ingest nodes for their sessions,
// has the owner of a stream add events or end a connection, and tells a node to drain. It is glue between the api's
// interfaces and an ingest node's parts, over HTTP on the internal port.
//
//	GET    /internal/v1/node/status                             Status: the node and the leases that it holds
//	POST   /internal/v1/node/drain                              202: begun
//	GET    /internal/v1/node/sessions                           []media.IngestReport
//	GET    /internal/v1/node/streams/PUBLISHER/STREAM/session   media.IngestReport
//	DELETE /internal/v1/node/streams/PUBLISHER/STREAM/session   {"reason": TEXT}; 204
//	DELETE /internal/v1/node/streams/PUBLISHER/STREAM/keys/ID/session   204, also when nobody came with the key
//	POST   /internal/v1/node/streams/PUBLISHER/STREAM/feed      {"feed": "primary" or "backup"}; 204
//	GET    /internal/v1/node/streams/PUBLISHER/STREAM/events    []media.ShowEvent
//	POST   /internal/v1/node/streams/PUBLISHER/STREAM/events    media.TimedEvent; the media.ShowEvent that it became
//	PATCH  /internal/v1/node/streams/PUBLISHER/STREAM/events    media.TimedEvent with more of its ID; the whole one
//
// Invariants:
//
//  1. An error of media's sentinels leaves a node as a problem document (RFC 9457) with a code, and the Client makes of
//     it an error of the same sentinel and text: whoever asks can't tell a node from a part of its own process.
//  2. What is no answer of this protocol is never taken for one: a 404 without a code is a fault, not "not found".
//  3. With a token, nothing is answered without it.
//  4. Every body, answer, wait and number of asks under way has a limit. A node that hangs is left out of lists, which
//     say so.
package control
