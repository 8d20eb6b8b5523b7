package cacheproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// policyPoll is how often the directory is asked who may watch, beside when it tells of a change: it bounds what an
	// event that was never published costs.
	policyPoll = 3 * time.Second
	// policyRetry is the first wait after no directory answered; policyPoll is the longest.
	policyRetry = 200 * time.Millisecond
	// policyTimeout bounds the wait for one directory.
	policyTimeout = 5 * time.Second
	// policyWorry is how long no directory answers before the operator is told.
	policyWorry = 15 * time.Second
	// maxPolicies bounds the directory's answer: some hundred thousand publishers.
	maxPolicies = 64 << 20
)

// policyFeed keeps an edge's policies up to date. What it was told last stays good while the directory is away, however
// long that is: keys and policies change seldom, and viewers come all the time.
type policyFeed struct {
	etag string // of what the edge has; only FollowPlayback uses it
	wake chan struct{}
	// first is closed when there are policies.
	first chan struct{}
	once  sync.Once
	// confirmed is when the catalog said last what the edge has, in nanoseconds of Unix; zero is never.
	confirmed atomic.Int64
}

func newPolicyFeed() *policyFeed {
	return &policyFeed{wake: make(chan struct{}, 1), first: make(chan struct{})}
}

// changed has the directory asked now.
func (f *policyFeed) changed() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// setPolicies replaces what is known.
func (p *Proxy) setPolicies(told media.PlaybackPolicies) {
	p.policies.Store(newPolicies(told, p.policies.Load()))
	p.feed.once.Do(func() { close(p.feed.first) })
}

// AwaitPlayback waits until the edge knows who may watch, or ctx ends, whose error it gives. Before, it answers 503.
func (p *Proxy) AwaitPlayback(ctx context.Context) error {
	select {
	case <-p.feed.first:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// FollowPlayback keeps up to date who may watch, until ctx ends. It asks the directory at once, when Follow hears of a
// change, and every few seconds. Without it an edge lets nobody in.
func (p *Proxy) FollowPlayback(ctx context.Context) error {
	wait, broken, told := policyRetry, time.Now(), false
	for ctx.Err() == nil {
		err := p.askPolicies(ctx)
		switch {
		case ctx.Err() != nil: // it was given up
		case err == nil:
			if told {
				p.logger.Info("playback policies are up to date again")
			}
			wait, broken, told = policyRetry, time.Now(), false
		case !told && time.Since(broken) >= policyWorry:
			told = true
			p.logger.Warn("playback policies can not be had: the last ones hold", "known", p.policies.Load() != nil, "err", err)
		}
		next := policyPoll - rand.N(policyPoll/4) // so that edges do not come together
		if err != nil {
			next, wait = wait, min(2*wait, policyPoll)
		}
		timer := time.NewTimer(next)
		select {
		case <-timer.C:
		case <-p.feed.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

// askPolicies asks one directory after the other, until one answers.
func (p *Proxy) askPolicies(ctx context.Context) error {
	d := p.locator.dirs
	err := fmt.Errorf("no directory is configured: %w", media.ErrUnavailable)
	for _, i := range d.order() {
		if err = p.askPoliciesOf(ctx, d.bases[i]); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (p *Proxy) askPoliciesOf(ctx context.Context, base string) error {
	ctx, cancel := context.WithTimeout(ctx, policyTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/internal/v1/playback", http.NoBody)
	if err != nil {
		return err
	}
	req.Header = http.Header{"Accept": {"application/json"}, "User-Agent": {"oxbow-edge"}}
	if p.feed.etag != "" {
		req.Header.Set("If-None-Match", p.feed.etag)
	}
	resp, err := p.locator.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPolicies+1))
	switch {
	case err != nil:
		return fmt.Errorf("read playback policies: %w", err)
	case len(body) > maxPolicies:
		return fmt.Errorf("playback policies of more than %d bytes: %w", maxPolicies, media.ErrTooLarge)
	}
	// A directory whose catalog is away says so by the Age of what it remembers.
	age, _ := strconv.ParseInt(resp.Header.Get("Age"), 10, 32)
	said := time.Now().Add(-time.Duration(max(age, 0)) * time.Second)
	known := p.policies.Load()
	switch {
	case resp.StatusCode == http.StatusNotModified && known != nil && p.feed.etag != "":
	case resp.StatusCode == http.StatusOK:
		var told media.PlaybackPolicies
		if err := json.Unmarshal(body, &told); err != nil {
			return errors.Join(errBadAnswer, err)
		}
		if told.Publishers == nil || told.Version <= 0 {
			return fmt.Errorf("playback policies without a version: %w", errBadAnswer)
		}
		if told.Remembered && known != nil && told.Version <= known.version {
			return fmt.Errorf("%w: the directory remembers version %d of the playback policies, and the edge has %d",
				media.ErrUnavailable, told.Version, known.version)
		}
		p.setPolicies(told)
		p.feed.etag = resp.Header.Get("Etag")
	case resp.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%w: the directory %s does not take our --cluster-token: give the edge that of the API",
			media.ErrDenied, base)
	default:
		return fmt.Errorf("playback policies: status %d: %w", resp.StatusCode, media.ErrUnavailable)
	}
	p.feed.confirmed.Store(said.UnixNano())
	return nil
}
