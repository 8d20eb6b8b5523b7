package cacheproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	purgeRetry    = 200 * time.Millisecond
	purgeRetryMax = 5 * time.Second
	purgeTimeout  = 5 * time.Second
	// purgeSlack is by how much longer than it says a purge reaches of which this edge did not hear as it happened: what
	// was on its way then may have been kept.
	purgeSlack = 2 * time.Second
	// maxKnownPurges bounds the directory's answer, in bytes.
	maxKnownPurges = 16 << 20
)

// learnPurges asks the directory what was purged, now and at each wake-up, until ctx ends: events may have been missed.
// Until the first answer nothing is read from disk, which may have what was purged before this process began.
func (p *Proxy) learnPurges(ctx context.Context, wake <-chan struct{}) {
	wait := purgeRetry
	for {
		err := p.askPurges(ctx)
		again := (<-chan time.Time)(nil)
		if err != nil {
			p.logger.Debug("what was purged is not known", "err", err)
			again = time.After(wait)
			wait = min(2*wait, purgeRetryMax)
		} else {
			p.pending.Store(false)
			wait = purgeRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-again:
		}
	}
}

// askPurges asks one directory after the other, until one answers.
func (p *Proxy) askPurges(ctx context.Context) error {
	d := p.locator.dirs
	err := fmt.Errorf("no directory is configured: %w", media.ErrUnavailable)
	for _, i := range d.order() {
		if err = p.askPurgesOf(ctx, d.bases[i]); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (p *Proxy) askPurgesOf(ctx context.Context, base string) error {
	ctx, cancel := context.WithTimeout(ctx, purgeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/internal/v1/purges", http.NoBody)
	if err != nil {
		return err
	}
	req.Header = http.Header{"Accept": {"application/json"}, "User-Agent": {"oxbow-edge"}}
	resp, err := p.locator.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKnownPurges+1))
	answered := time.Now()
	switch {
	case err != nil:
		return fmt.Errorf("read purges: %w", err)
	case resp.StatusCode == http.StatusNotFound: // an older directory, which purges nothing
		return nil
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("purges: status %d: %w", resp.StatusCode, media.ErrUnavailable)
	case len(body) > maxKnownPurges:
		return fmt.Errorf("purges of more than %d bytes: %w", maxKnownPurges, media.ErrTooLarge)
	}
	var told media.KnownPurges
	if err := json.Unmarshal(body, &told); err != nil {
		return errors.Join(errBadAnswer, err)
	}
	if told.Purges == nil {
		return fmt.Errorf("purges: %w", errBadAnswer)
	}
	return p.learn(told.Purges, answered)
}

// learn purges what was purged while this edge did not hear of it.
func (p *Proxy) learn(told []media.KnownPurge, now time.Time) error {
	for _, purge := range told {
		err := media.CheckPurge(purge.Publisher, purge.Stream, purge.Recording)
		if err != nil || purge.AgeMS < 0 {
			return fmt.Errorf("purge of %.80q: %w", purge.Publisher, errBadAnswer)
		}
	}
	dropped := 0
	for _, purge := range told {
		scope := scopeOf(purge.Publisher, purge.Stream, purge.Recording)
		at := now.Add(-time.Duration(min(purge.AgeMS, int64(maxPurgeAge/time.Millisecond))) * time.Millisecond)
		if p.purges.knows(scope, at) {
			continue
		}
		dropped += p.purge(scope, at.Add(purgeSlack))
	}
	if dropped > 0 {
		p.logger.Info("purged what was ordered meanwhile", "dropped", dropped)
	}
	return nil
}

// maxPurgeAge is beyond what directories remember.
const maxPurgeAge = 10 * 365 * 24 * time.Hour

// knows says whether a purge of about that time was noted.
func (p *Purges) knows(scope string, at time.Time) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	known, ok := p.at[scope]
	return ok && !at.After(known.Add(purgeSlack)) || !at.After(p.floor)
}
