// Package registry knows what changes from second to second: which nodes are there, which node owns which stream, and
// what has happened lately. Memory serves one process; every implementation passes the same suite of tests.
//
// The flow: a node registers itself again and again; ingest acquires a stream's lease before it publishes, renews it
// while it goes on, and releases it; the directory asks who owns a stream; whoever changes a recording publishes an
// event, and edges read the events, resuming where they stopped.
//
// Invariants:
//
//  1. A stream's epoch only grows, and is above the floor that its owner read from storage: so also when the registry
//     lost its memory.
//  2. Acquire always succeeds at taking over. Whoever held the lease before gets media.ErrFenced from Renew, and never
//     the lease back under its old epoch.
//  3. A lease that nobody renews ends by itself. Until somebody else acquires the stream its last owner may renew it:
//     the epoch proves that nobody wrote in between.
//  4. A registry that lost its memory learns leases again from their owners' renewals.
//  5. The log of events is bounded. A reader that fell behind is told so, with a LostError, and never skips in silence.
//     Ids grow, over restarts too.
//  6. What has run out is dropped when it is next looked at: there is no goroutine here.
//  7. While the registry is away a Memo answers with what it said last, and says so.
package registry
