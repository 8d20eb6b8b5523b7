package loadgen

import (
	"context"
	"net/url"
	"strconv"
	"time"
)

// playlistRetries is how often hls.js retries a playlist, for errors and timeouts alike.
const playlistRetries = 2

// forever is longer than any Play.
const forever = 1000 * time.Hour

// reloads keeps a track's playlist fresh, wherever the track is.
func (p *player) reloads(ctx context.Context, t *track) {
	timer := time.NewTimer(0)
	for ctx.Err() == nil {
		p.mu.Lock()
		at, epoch := t.uri, t.epoch
		t.lists = nil
		if at != nil {
			t.lists = &httpClient{addr: hostPort(at), dialer: p.dialer}
		}
		c := t.lists
		p.mu.Unlock()
		if c != nil {
			stop := context.AfterFunc(ctx, c.interrupt)
			p.reloadsOf(ctx, t, c, at, epoch, timer)
			stop()
			c.close()
		}
		p.rest(ctx, t, epoch, timer, forever)
	}
}

// reloadsOf reloads the playlist until the track is elsewhere, or the show over.
func (p *player) reloadsOf(ctx context.Context, t *track, c *httpClient, at *url.URL, epoch int, timer *time.Timer) {
	ask, timeout := p.playlistAsk(t, at, false)
	for {
		asked := time.Now()
		c.timeout = timeout
		a, err := p.get(ctx, c, ask, true)
		if ctx.Err() != nil {
			return
		}
		f := faultOf(a, err)
		var then reload
		if f == nil {
			then, f = p.take(t, epoch, a.body, asked)
		}
		if f != nil {
			then = p.listFailed(t, epoch, f)
		}
		if then.never || then.wait > 0 && !p.rest(ctx, t, epoch, timer, then.wait) {
			return
		}
		ask, timeout = p.playlistAsk(t, at, then.direct)
	}
}

// rest waits, until the track moves at the latest, and says whether the track is still where it was.
func (p *player) rest(ctx context.Context, t *track, epoch int, timer *time.Timer, wait time.Duration) bool {
	timer.Reset(wait)
	for {
		p.mu.Lock()
		current, changed := t.epoch == epoch, p.changed
		p.mu.Unlock()
		if !current {
			return false
		}
		select {
		case <-timer.C:
			return true
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// playlistAsk gives the URL of the next reload, and how long it may take: a blocking one far less than others.
func (p *player) playlistAsk(t *track, at *url.URL, direct bool) (*url.URL, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ask, timeout := *at, requestTimeout
	if direct {
		e := &t.list
		query := "_HLS_msn=" + strconv.FormatInt(e.msn, 10)
		if e.partTarget > 0 {
			query += "&_HLS_part=" + strconv.Itoa(e.part)
			timeout = min(timeout, max(3*e.partTarget, e.target*8/10))
		}
		if e.skips {
			query += "&_HLS_skip=YES"
		}
		p.mark(&ask, query)
	}
	p.mark(&ask, p.tellLocked(t, "m", 0))
	return &ask, timeout
}

// reload says when and how to ask for the playlist again.
type reload struct {
	wait   time.Duration
	direct bool // with delivery directives
	never  bool
}

// take reads a playlist.
func (p *player) take(t *track, epoch int, body []byte, asked time.Time) (reload, *fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.epoch != epoch {
		return reload{never: true}, nil
	}
	msn, part, first := t.list.msn, t.list.part, t.listed != epoch
	if err := t.list.parse(body); err != nil {
		t.listed = 0
		return reload{}, &fault{err: err}
	}
	t.listed = epoch
	if t == p.tracks[0] {
		p.listErrors = 0
		if p.pieceErrors == 0 {
			p.level.failed = false
		}
	}
	p.wake()
	e := &t.list
	advanced := first || e.msn != msn || e.part != part
	switch {
	case e.ended:
		return reload{never: true}, nil
	case e.blocks && advanced:
		return reload{direct: true}, nil
	}
	wait := max(e.target, stallFloor)
	if !advanced {
		wait /= 2
	}
	return reload{wait: max(time.Until(asked.Add(wait)), time.Millisecond)}, nil
}

// listFailed decides about a playlist that failed: ask again after a while, or not here.
func (p *player) listFailed(t *track, epoch int, f *fault) reload {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.epoch != epoch {
		return reload{never: true} // it was interrupted
	}
	why := "playlist: " + f.Error()
	p.truth.Faults[why]++
	n := p.listErrors
	p.listErrors++
	main := t == p.tracks[0]
	if main && n < playlistRetries && f.again() {
		return reload{wait: f.delay(n)}
	}
	// That of an audio track is not retried where there is another pathway.
	if p.elsewhere(main, why, time.Now()) {
		return reload{never: t.epoch != epoch}
	}
	if n < playlistRetries {
		return reload{wait: f.delay(n)}
	}
	p.give(why)
	return reload{never: true}
}
