// Package upstream knows how well the servers are that a proxy asks: which come first, how many requests each may have
// under way, when another one is asked as well or instead, and for how long one that failed is left alone. It knows
// names only: what a request is, and how it is sent, is its user's.
//
// Flow of a request:
//
//	Request   counts it: retries and hedges are a share of these
//	Order     the upstreams that it may ask: well ones first, ejected ones last
//	Begin     a place with the first; if it is full, with the next; if all are, Await
//	(ask)     Use.Answered when the answer's header came, Use.Failed with what went wrong
//	HedgeAfter, Hedge: it is late, so another is asked too; Retry: it failed, so another is asked
//	Use.Done  the place is free for the next
//
// An upstream's states:
//
//	well        --- a fault that says it is away, or many of any sort --> ejected
//	ejected     --- its time is over, or an active check passed       --> on trial
//	on trial    --- one request at a time comes first; answered       --> recovering; failed --> ejected, for longer
//	recovering  --- a share of requests that grows to all             --> well
//
// Invariants:
//
//  1. Nothing is ever taken out of a request's list: who has ejected upstreams only still asks them, in its own order.
//  2. An ejection is between Config.EjectTime and Config.MaxEjectTime long, whatever checks say, and what began before
//     it counts for no other one: a crowd that fails at once is one failure.
//  3. A check only tells of what checks can see. One that passes ends an ejection of what could not be reached, or of
//     what has failed a check since; it never ends that of who answers checks and not requests.
//  4. A request that waits by its nature (Waits) takes no place, has no latency, and is not kept from who recovers.
//  5. Retries that load upstreams are at most a fifth of all requests, beside a small floor and a burst; hedges leave
//     half of the burst to retries.
//  6. What is kept per name is bounded, and forgotten when it was not used for a while. No goroutine waits for anything
//     but a check, which has a time limit; Close ends them.
package upstream
