package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/oxbow-video/oxbow/internal/front"
)

// leaveTimes bound how long an edge's viewers are sent away.
type leaveTimes struct {
	// grace is how long connections that idle may ask once more: a low-latency player does within a part's duration.
	grace time.Duration
	// rest bounds what comes then: until its end answers that were begun may go on. All is less than stopPatience.
	rest time.Duration
	// waits is when, before that end, who still waits for an answer to begin is sent away with one.
	waits time.Duration
}

// usualLeave is for edges, whose viewers have mostly left before that, and for processes that are alone, whose viewers
// have nowhere else to go.
func usualLeave() leaveTimes {
	return leaveTimes{grace: 500 * time.Millisecond, rest: 3 * time.Second, waits: time.Second}
}

// leaver is an edge whose viewers are sent away.
type leaver interface{ EndWaits() }

// serveUntilLeft serves until ctx ends, and then sends the viewers away as kindly as may be:
//
//  1. Every answer says that it is its connection's last, or GOAWAY; who comes is served still. That ends when nobody
//     is connected, or after its grace.
//  2. The port is closed, and so are connections that idle. Requests under way are answered, for the rest.
//  3. A moment before its end, who waits (a blocking reload, which nothing may come for) gets 503 with Retry-After.
//  4. What is left, a download or a viewer who is slow, is cut.
//
// A balancer in front should have known before the first of these (see --drain-timeout).
func serveUntilLeft(
	l net.Listener, server httpServer, leaving *front.Leaving, edge leaver, times leaveTimes,
) func(context.Context) error {
	return func(ctx context.Context) error {
		done := make(chan struct{})
		go func() {
			defer close(done)
			<-ctx.Done()
			leaving.Begin()
			if lane, ok := server.(interface{ Leave() }); ok {
				lane.Leave()
			}
			awaitNobody(l, times.grace)
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), times.rest)
			defer cancel()
			waits := time.AfterFunc(times.rest-times.waits, edge.EndWaits)
			defer waits.Stop()
			if err := server.Shutdown(ctx); err != nil {
				_ = server.Close()
			}
		}()
		err := server.Serve(l)
		if !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		<-done
		return nil
	}
}

// awaitNobody waits until no connection is open, where that is known, but not for long.
func awaitNobody(l net.Listener, most time.Duration) {
	counted, ok := l.(interface{ Open() int })
	if !ok {
		return
	}
	const look = 5 * time.Millisecond
	tick := time.NewTicker(look)
	defer tick.Stop()
	late := time.NewTimer(most)
	defer late.Stop()
	for counted.Open() > 0 {
		select {
		case <-tick.C:
		case <-late.C:
			return
		}
	}
}
