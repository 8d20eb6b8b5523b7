// Package registry knows what changes from second to second: which nodes are there, which node owns which stream, and
// what has happened lately. Memory serves one process, Redis many; both pass the same suite of tests.
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
//  4. A registry that lost its memory learns leases again from their owners' renewals. Of two that assert themselves
//     the higher epoch stays; a lease that was given since goes before both.
//  5. The log of events is bounded. A reader that fell behind is told so, with a LostError, and never skips in silence.
//     Ids grow, over restarts too.
//  6. What has run out is dropped when it is next looked at: there is no goroutine here, but one that waits for events
//     while somebody reads them from Redis.
//  7. Claim takes nothing from an owner that lives, also if the registry was away for long: it answers
//     media.ErrUnavailable until the registry was there for LeaseTTL without a break.
//  8. A call to a registry that is away ends within 2 s, with media.ErrUnavailable. An Acquire or Claim that ended so
//     because Redis stood still does not take effect when Redis goes on.
//  9. While the registry is away a Memo answers with what it said last, and says so.
//
// # Redis
//
// Redis 7.0 or newer. Every change is one Lua script on keys of one hash tag, so that it is atomic, and works in a
// Redis Cluster. Times are microseconds by the clock of Redis (TIME), never of a node. The keys, with the prefix oxbow:
//
//	oxbow:{leases-NN}:held   hash   publisher/stream -> end, epoch, origin, node, token, lease as JSON
//	                                @since, @last, @server -> the time since when there was no break, the last beat's
//	                                time and the run_id of the Redis that took it
//	oxbow:{leases-NN}:ends   zset   publisher/stream by the end of its lease
//	oxbow:{nodes}:known      hash   id -> node as JSON
//	oxbow:{nodes}:ends       zset   id by when it is no longer listed
//	oxbow:{events}:log       stream entries n-0 with the field event; n is the event's id
//	oxbow:{events}:state     hash   last -> newest id, lost -> newest id that is no longer there, server -> run_id
//
// Streams are in 16 groups NN, by the hash of the publisher's name: all streams of a publisher are together, and its
// leases are listed by one script, all leases by 16 in one round trip; none goes through the keyspace. (A key for each
// stream would put the stream and its place in the lists into different slots: they could not change together, and
// nothing in the stream's slot could tell for how long that part of a Cluster was there.)
//
// The fields of an entry are separated by spaces, the node is escaped as in a URL's query, origin is "given" or, from
// the owner's renewal, "learnt", and the token is the call that was given the lease, which is answered the same when it
// is sent again because the answer was lost. A released entry has an empty node. An entry outlives its lease by seven
// days, for its epoch; after that the floor alone makes epochs grow, as it does when Redis forgets. Epochs are at most
// 2^52, so that the doubles of Lua hold them exactly. Ids of events are the microseconds of the clock, or one more than
// the id before: they grow over a loss of memory, and JSON numbers hold them.
//
// A beat is any Register, Acquire, Claim, Renew or Release. If a group of streams saw none for half of LeaseTTL, or
// another server than before (by its run_id, at which Register, Acquire and Claim look), then Redis was away or lost
// its memory, or nobody was there: the group's time without a break begins anew. So nodes register each second, and
// Claim is of use to nodes only that do.
//
// # When Redis is away
//
// Calls fail with media.ErrUnavailable: owners go on, nobody can take over, new publishers are refused with the reason.
// When it is back, with its memory or empty, owners renew within a second and have their leases as before. An Acquire
// is answered at once, above the floor, by intent: a publisher comes to one node at a time, and the take-over fences
// the former writer on storage. A Claim is answered after LeaseTTL. Readers of events get a LostError if Redis forgot
// the events or has another run_id: some may be missing. A publish of an event whose answer was lost is sent again, so
// that readers may see an event twice.
//
// # Fail-over
//
// Redis replicates asynchronously: a master that dies loses what its replicas had not received, usually some
// milliseconds, at most repl-timeout if it is cut off from them. min-replicas-to-write 1 and min-replicas-max-lag 2
// make a master that is cut off refuse writes (here: away) after two seconds. What a fail-over may lose, and what
// follows:
//
//   - a lease just acquired: the former owner's entry is back. The new owner's renewal has a higher epoch. It stands if
//     the former lease has run out, which it has unless the fail-over took less than LeaseTTL; else the new owner is
//     fenced, and its publisher comes again. Two writers are kept apart by storage in any case: its fence knows the
//     higher epoch, and the next owner's floor is above it.
//   - a release: the stream is owned until the lease runs out.
//   - events: nobody knows which, so every reader gets a LostError, and looks at the state of things anew. The same is
//     so after a restart with persistence, which may lose the last second.
//
// A master that is cut off and still has clients may give leases until its sentinels' clients have all moved. Its
// owners find out at their first renewal at the new master; storage keeps their writes apart until then. Clocks of
// master and replica should agree within a second: a lease that ends more than twice LeaseTTL in the future counts as
// ended.
//
// # Configuration
//
// maxmemory-policy noeviction: nothing here may be evicted (a lost key is handled as a loss of memory). Persistence is
// not needed. cluster-require-full-coverage no lets the rest of a Cluster go on when a part is away. The user needs:
//
//	user oxbow on >password ~oxbow:* resetchannels -@all +ping +select +eval +evalsha +time +info
//	  +hget +hmget +hset +hdel +zadd +zrem +zcard +zscore +zrangebyscore +pexpire +del
//	  +xadd +xlen +xtrim +xrange +xrevrange +xread
//
// and in a Redis Cluster +cluster|slots too. Sentinels, if they have users:
//
//	user oxbow on >password &* -@all +ping +subscribe +sentinel|get-master-addr-by-name +sentinel|sentinels
package registry
