// Package fastlane is an HTTP/1.1 server for the requests that matter: plain GET and HEAD over TCP. It answers those by
// a loop of its own, with one system call for header and body, and gives every other connection, with the bytes that it
// has read of it, to the http.Server beside it.
//
// Flow of a connection, in one goroutine:
//
//	read    into a pooled buffer, which goes back while the connection waits
//	parse   one whole head by a strict grammar (parse.go); what is odd is handed over unread (handover.go)
//	answer  the Handler queues header and shared bytes (exchange.go)
//	send    writev, and sendfile for pieces that lie in a memory file (send_linux.go); back to read
//
// The grammar is a part of HTTP's: GET or HEAD, a target that begins with one slash and has no escapes in its path,
// HTTP/1.1 to the letter, lines that end in CRLF, names that are tokens with the colon right behind, values of visible
// ASCII, exactly one Host, nothing that tells of a body or another protocol, a head of at most 8 KiB. It is for
// net/http to say what the rest means, and to refuse it.
//
// A sweeper looks at all connections once a second: it closes those that idle too long or that take too long for a
// head, and looks at the sockets of those whose answer is waited for, so that a viewer who left is noticed without a
// goroutine of its own.
//
// Invariants:
//
//  1. Every head that is taken is one that http.ReadRequest reads to the same method, path, query and values, with no
//     body, and ends at the same byte (FuzzHead). So whoever is in front of us sees the same requests as we do.
//  2. A connection that is handed over has all bytes from the beginning of the request that was not taken, and stays
//     with net/http to its end. Nothing of that request was answered.
//  3. Answers come in the order of requests; a body has the length that its header told, or the connection is cut.
//  4. Every wait ends: for a request (IdleTimeout), for a head (HeadTimeout), for 256 KiB to be taken (WriteTimeout);
//     a wait for the Handler's answer ends with the Handler, or when the viewer has left, by Exchange.Context.
//  5. What is queued does not change until it was sent, and is kept alive as long. A view of the request's text is good
//     until the Handler returns or calls Exchange.Keep, whichever is first.
//  6. After Leave every answer tells that it is its connection's last; connections that idle may ask once more.
//     Shutdown closes idle connections at once and lets those under way finish their request, as http.Server's does.
//  7. A connection that is an OverTCP is closed as such, and its ends are what it says, in the lane and in net/http.
//
// Metrics, which the program registers from Server.Stats:
//
//	oxbow_fastlane_connections                 open connections in the lane
//	oxbow_fastlane_connections_total           connections that came
//	oxbow_fastlane_requests_total              requests that were answered in the lane
//	oxbow_fastlane_handed_over_total{reason}   connections that went to net/http, by what it was of their request
//	oxbow_fastlane_closed_total{reason}        connections that were closed for what they did not do: idle, head, write,
//	                                           and left for viewers who did not wait for their answer
//
// On other systems than Linux every connection is handed over.
package fastlane
