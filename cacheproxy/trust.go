package cacheproxy

import (
	"context"
	"errors"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// vouchTTL is how long a cached object is served without a look at its recording while the directory tells of every
	// change: it bounds what an event that was never published costs.
	vouchTTL = 30 * time.Second
	// unsureTTL is how long any answer of the directory is believed while it does not: so a deleted recording is 410
	// within five seconds.
	unsureTTL = 3 * time.Second
)

// trust says what of the directory's answers may be believed. It is replaced, never modified.
type trust struct {
	// sure: the directory tells of every change as it happens.
	sure bool
	// since: what was known before this may have changed unnoticed.
	since time.Time
}

// holds says whether what was so at that time is so still.
func (t *trust) holds(at, now time.Time) bool {
	if at.IsZero() || at.Before(t.since) {
		return false
	}
	if t.sure {
		return now.Sub(at) < vouchTTL
	}
	return now.Sub(at) < unsureTTL
}

// setTrust takes what the event stream says. With anew, nothing that was known before holds any more.
func (p *Proxy) setTrust(sure, anew bool) {
	next := trust{sure: sure, since: p.trust.Load().since}
	if anew {
		next.since = time.Now()
	}
	p.trust.Store(&next)
	p.metrics.eventsSure.Set(0)
	if sure {
		p.metrics.eventsSure.Set(1)
	}
}

// vouch looks whether the recording of what is about to be served from the cache is there, unless that was looked at a
// short while ago. Only media.ErrGone keeps it from being served: while the directory is away, what is there stands.
func (p *Proxy) vouch(ctx context.Context, rt route, k key, vouched, now time.Time) error {
	t := p.trust.Load()
	if rt.recording == "" || t.holds(vouched, now) {
		return nil
	}
	if p.gone.has(rt.recording, now) {
		return media.ErrGone
	}
	where := locationKey{path: rt.path, recording: rt.recording}
	if t.sure && !vouched.IsZero() && !vouched.Before(t.since) {
		p.cache.vouch(k, now) // the others need not ask too
		p.running.Go(func() { _, _, _ = p.locator.locate(context.WithoutCancel(ctx), where, 0) })
		return nil
	}
	_, current, err := p.locator.locate(ctx, where, 0)
	switch {
	case errors.Is(err, media.ErrGone):
		return err
	case err == nil && current:
		p.cache.vouch(k, p.locator.said(where))
	}
	return nil
}
