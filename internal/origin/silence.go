package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// aliveLook is after what time, and how often from then on, an owner that holds an answer back is asked whether it is
	// there at all, and aliveWait how long it has for that.
	aliveLook, aliveWait = time.Second, time.Second
	// aliveTTL is how long that is believed.
	aliveTTL = 500 * time.Millisecond
)

// errOwnerSilent: the owner answers nothing, as one whose network was cut.
var errOwnerSilent = errors.New("the stream's owner does not answer checks")

// check asks a node whether it is there. Any answer but a 5xx says that its process serves.
func (r *Relay) check(ctx context.Context, base string, _, _ bool) fetched[bool] {
	ctx, cancel := context.WithTimeout(ctx, aliveWait)
	defer cancel()
	dead := fetched[bool]{cost: smallCost, ttl: aliveTTL}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/healthz", nil)
	if err != nil {
		return dead
	}
	resp, err := r.transport.RoundTrip(req)
	if err != nil {
		return dead
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	_ = resp.Body.Close()
	return fetched[bool]{value: resp.StatusCode < http.StatusInternalServerError, cost: smallCost, ttl: aliveTTL}
}

// askAwake asks the owner, and leaves one that is silent: a request that is held back can't tell that from patience.
func (r *Relay) askAwake(
	ctx context.Context, giveUp context.CancelCauseFunc, req *http.Request, owner Owner,
) (*http.Response, error) {
	if alive, known := r.alive.peek(owner.URL); known && !alive {
		if again, err := r.alive.get(ctx, owner.URL); err == nil && !again {
			return nil, errOwnerSilent
		}
	}
	listening, stop := context.WithCancel(ctx)
	defer stop()
	silent := make(chan bool, 1)
	listen := time.AfterFunc(aliveLook, func() {
		gone := r.awaitSilence(listening, owner)
		if gone {
			giveUp(errOwnerSilent)
		}
		silent <- gone
	})
	resp, err := r.ask(ctx, req, owner)
	stop()
	if !listen.Stop() && <-silent && err == nil { // the answer came too late: its body is cut
		_ = resp.Body.Close()
		return nil, errOwnerSilent
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", owner.URL, err)
	}
	return resp, nil
}

// awaitSilence waits until the owner fails a check, and says whether it did before ctx ended.
func (r *Relay) awaitSilence(ctx context.Context, owner Owner) bool {
	look := time.NewTicker(aliveLook)
	defer look.Stop()
	for ctx.Err() == nil {
		if alive, err := r.alive.get(ctx, owner.URL); err == nil && !alive {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
		case <-look.C:
		}
	}
	return false
}
