// Package accesslog writes what viewers ask of an edge and what came of it, a line of JSON for each request.
//
// Flow: Asked begins the line with what is gone when the answer ends; Answered chooses (sample, and whatever failed),
// ends the line and queues it; one goroutine writes. Who answers viewers waits for nothing: when the queue is full,
// because the disk is slow or full, lines are dropped and counted.
//
// A line has these fields, of which those in brackets are left out when there is nothing to say:
//
//	time      when the request came, RFC 3339 with milliseconds, UTC
//	method    GET, HEAD, or what else a generic cache passes
//	host      [Host]
//	path      without a playback token
//	query     [without a playback token; secrets of others' making are masked]
//	proto     HTTP/1.1, HTTP/2.0 or HTTP/3.0
//	tls       [true]
//	status    0: nothing was answered
//	bytes     of the body, as written to the connection
//	ms        from the request's head to the answer's end
//	result    hit, miss, collapsed, stale, pass, disk or error
//	cut       [true: broken off, by the viewer or for want of an upstream]
//	client    [the viewer's address, as Config.Addresses wants it]
//	agent     [User-Agent]
//	referer   [without its query]
//	range     [Range]
//
// The file may be renamed or removed at any time: within a second, or at Reopen, a new one is begun.
//
// Metrics:
//
//	oxbow_accesslog_lines_total     lines that were written
//	oxbow_accesslog_dropped_total   lines that were dropped, for a full queue or a write that failed
package accesslog
