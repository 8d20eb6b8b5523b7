// Package front is what stands between the network and our servers: it bounds what one client takes, and learns from
// the load balancer in front of us, by the PROXY protocol, who a connection is from.
//
// A client is an IPv4 address, or the /64 of an IPv6 address, which is what one household or one phone has. Behind an
// IPv4 address there may be thousands of viewers (NAT of offices and mobile networks), and each asks twenty times a
// second where latency is low: so no limit is on by default but that of connections, at more than such a network has.
//
// Flow of a connection:
//
//	accept   the system's listener
//	PROXY    as long as the peer is one of Proxies: the header, which tells the client (proxyproto.go)
//	count    the client's connections; one too many is told so, where plain HTTP is spoken, and closed
//	serve    by the fast lane or net/http, as a Conn
//
// Of a request, whose client may be told by X-Forwarded-For, the server asks Book.Request first, and Book.Bytes before
// it sends a piece of a body. Both answer how long to wait:
//
//   - Requests above the rate wait for up to a second, which evens out bursts; what would have to wait longer is
//     refused.
//   - Bytes above the rate wait as long as it takes. Pacing is kinder than a refusal: a player sees a slow network, and
//     goes down a level.
//
// Invariants:
//
//  1. A limit counts a client once, over all listeners and protocols that have the same Book.
//  2. Nobody in Exempt is counted; nor is who can't be known.
//  3. Nothing on a request's way allocates, or takes a lock that is not its client's shard's.
//  4. A client is remembered while it has a connection or owes something, and for not much longer: of those that don't
//     there are never more than of those that do, beyond a few. There are at most maxClients; others pass unlimited,
//     and are counted, for it is the many that are attacked then.
//  5. Only the header's bytes are read of a connection before it is given on, so that it is as the system made it.
//  6. A header is believed only from Proxies, who must send one: what they send else is closed. From others it is what
//     any bytes are, and HTTP refuses it.
//
// Metrics:
//
//	oxbow_front_clients                          clients that are remembered
//	oxbow_front_connections                      connections that are counted for their client
//	oxbow_front_connections_refused_total        connections above the limit of their client
//	oxbow_front_requests_held_total              requests that waited for their client's rate
//	oxbow_front_requests_refused_total           requests that were refused for it
//	oxbow_front_paced_seconds_total              time that bodies waited for their client's rate
//	oxbow_front_unlimited_total                  clients that were not remembered for want of room
//	oxbow_front_proxy_headers_total{outcome}     PROXY headers: client, none (the proxy's own), bad, late, busy
package front
