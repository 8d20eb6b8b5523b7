package cacheproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// An answer for a growing recording, or for a stream, whose newest recording may change, is used this long.
	locateLiveTTL = 2 * time.Second
	// An answer for a finished one may be older: who finds it wrong asks again, and the directory tells of its end. While
	// it does not, unsureTTL bounds all answers.
	locateEndedTTL   = 30 * time.Second
	locateUnknownTTL = time.Second
	locateGoneTTL    = 10 * time.Minute
	// A guess is made while the directory's catalog is away, and a better answer is there as soon as that is back.
	locateGuessTTL = 2 * time.Second
	// Asks about one thing begin at least this far apart, however many of its requests fail.
	locateSpacing = 200 * time.Millisecond
	// After a failed ask the directory is left alone for this long, per thing asked about.
	locateRetry   = time.Second
	locateTimeout = 2 * time.Second
	// A request that has an old answer waits this long for a new one.
	locatePatience = 250 * time.Millisecond
	locateAsks     = 64
	maxLocations   = 65536
	maxLocation    = 64 << 10
	maxNodes       = 16
	// An answer that nobody asked for during this long may be forgotten.
	locatePeriod = time.Hour
)

type locationKey struct {
	path      media.StreamPath
	recording media.RecordingID
}

// located is what the directory said last about one thing; its fields are guarded by the locator's mu.
type located struct {
	known    bool
	location media.Location
	err      error // ErrNotFound or ErrGone, when the directory said so
	expires  time.Time
	said     time.Time     // when the ask was sent that gave the answer
	begun    int           // asks sent so far
	answer   int           // which of them gave the answer
	floor    int           // answers to it and to those before are not believed: something has happened since
	lastAsk  time.Time     // when the last one was sent
	retryAt  time.Time     // no ask before it
	call     chan struct{} // closed when the ask under way ends; nil without one
}

// locator asks the directory service where recordings are, and remembers. Requests for one thing share one ask; while
// the directory is away, old answers stay good.
type locator struct {
	dirs      *directories
	transport http.RoundTripper
	metrics   *metrics
	logger    *slog.Logger
	slots     chan struct{}
	running   sync.WaitGroup
	timeout   time.Duration // of one question
	// sure says whether the directory tells of every change; gone is told of each recording that it says is deleted.
	sure func() bool
	gone func(path media.StreamPath, id media.RecordingID)

	mu      sync.Mutex
	since   time.Time // answers from before are not believed
	entries *rotating[locationKey, *located]
	away    bool // for the log: it tells of changes only
}

func newLocator(bases []string, transport http.RoundTripper, m *metrics, logger *slog.Logger) *locator {
	return &locator{
		dirs: newDirectories(bases, logger), transport: transport, metrics: m, logger: logger,
		slots:   make(chan struct{}, locateAsks),
		timeout: locateTimeout,
		entries: newRotating[locationKey, *located](maxLocations, locatePeriod),
		sure:    func() bool { return false },
		gone:    func(media.StreamPath, media.RecordingID) {},
	}
}

// forget has the next request ask: what was said before an event may be wrong since.
func (l *locator) forget(k locationKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.entries.get(k, time.Now()); ok {
		e.floor, e.retryAt = e.begun, time.Time{}
	}
}

// forgetAll is forget of everything.
func (l *locator) forgetAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = time.Now()
}

// said gives when the newest answer's ask was sent.
func (l *locator) said(k locationKey) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.entries.get(k, time.Now()); ok {
		return e.said
	}
	return time.Time{}
}

// believedLocked says whether an answer needs no new ask.
func (l *locator) believedLocked(e *located, now time.Time) bool {
	if !e.known || !now.Before(e.expires) || e.answer <= e.floor || e.said.Before(l.since) {
		return false
	}
	return now.Sub(e.said) < unsureTTL || errors.Is(e.err, media.ErrGone) || l.sure()
}

// mark gives a value for locate's after: answers to asks that are sent from now on are newer.
func (l *locator) mark(k locationKey) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.entries.get(k, time.Now()); ok {
		return e.begun
	}
	return 0
}

// locate says where the recording is, or without an id the stream's live or latest one. The answer is not expired and,
// for an after that mark gave, newer than that; if none such can be had, it is an old one and not current.
// ErrNotFound, ErrGone: the directory said so. ErrUnavailable: it is away and nothing is known.
func (l *locator) locate(ctx context.Context, k locationKey, after int) (
	location media.Location, current bool, err error,
) {
	for {
		l.mu.Lock()
		now := time.Now()
		e, ok := l.entries.get(k, now)
		if !ok {
			e = &located{}
			l.entries.put(k, e, now)
		}
		if e.answer > after && l.believedLocked(e, now) {
			defer l.mu.Unlock()
			return e.location, true, e.err
		}
		if now.Before(e.retryAt) {
			defer l.mu.Unlock()
			return e.stale()
		}
		if e.call == nil {
			e.call = make(chan struct{})
			wait := e.lastAsk.Add(locateSpacing).Sub(now)
			l.running.Go(func() { l.ask(context.WithoutCancel(ctx), k, e, wait) })
		}
		call, known := e.call, e.known
		l.mu.Unlock()

		patience := l.timeout + 2*locateSpacing
		if known && after == 0 {
			patience = locatePatience
		}
		timer := time.NewTimer(patience)
		select {
		case <-call:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return media.Location{}, false, ctx.Err()
		case <-timer.C:
			l.mu.Lock()
			defer l.mu.Unlock()
			return e.stale()
		}
	}
}

func (e *located) stale() (media.Location, bool, error) {
	if !e.known {
		return media.Location{}, false, fmt.Errorf("directory: %w", media.ErrUnavailable)
	}
	return e.location, false, e.err
}

// ask sends one ask after that wait, and stores what came of it.
func (l *locator) ask(ctx context.Context, k locationKey, e *located, wait time.Duration) {
	if wait > 0 {
		<-time.After(wait)
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	l.mu.Lock()
	e.begun++
	e.lastAsk = time.Now()
	number, sent := e.begun, e.lastAsk
	l.mu.Unlock()
	location, err := l.fetch(ctx, k)
	if errors.Is(err, media.ErrGone) && k.recording != "" {
		l.gone(k.path, k.recording)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	close(e.call)
	e.call = nil
	now := time.Now()
	if !said(err) {
		if !l.away {
			l.away = true
			l.logger.Warn("directory is away", "publisher", k.path.Publisher, "stream", k.path.Stream, "err", err)
		}
		e.retryAt = now.Add(locateRetry)
		return
	}
	if l.away {
		l.away = false
		l.logger.Info("directory is back", "publisher", k.path.Publisher, "stream", k.path.Stream)
	}
	e.answer, e.said, e.retryAt = number, sent, time.Time{}
	if location.Guess && e.known {
		location, err = e.guessed(location)
	}
	e.known, e.location, e.err = true, location, err
	switch {
	case errors.Is(err, media.ErrGone):
		e.expires = now.Add(locateGoneTTL)
	case location.Guess:
		e.expires = now.Add(locateGuessTTL)
	case err != nil:
		e.expires = now.Add(locateUnknownTTL)
	case k.recording == "" || !location.Archived:
		e.expires = now.Add(locateLiveTTL)
	default:
		e.expires = now.Add(locateEndedTTL)
	}
}

// guessed gives what is better than the directory's guess, for what it said before: deleted is deleted for good, and
// the nodes that had the recording come first.
func (e *located) guessed(guess media.Location) (media.Location, error) {
	if e.err != nil {
		if errors.Is(e.err, media.ErrGone) {
			return media.Location{}, e.err
		}
		return guess, nil
	}
	nodes := slices.Clone(e.location.Nodes)
	for _, node := range guess.Nodes {
		if len(nodes) < maxNodes && !slices.Contains(nodes, node) {
			nodes = append(nodes, node)
		}
	}
	guess.Nodes = nodes
	return guess, nil
}

// said says whether an ask's outcome is what a directory knows.
func said(err error) bool {
	return err == nil || errors.Is(err, media.ErrNotFound) || errors.Is(err, media.ErrGone)
}

// fetch is one ask of the directories.
func (l *locator) fetch(ctx context.Context, k locationKey) (media.Location, error) {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return media.Location{}, fmt.Errorf("directory: %w", media.ErrUnavailable)
	}
	target := "/internal/v1/locate/" + k.path.String()
	if k.recording != "" {
		target += "/" + string(k.recording)
	}
	location, err := l.dirs.ask(ctx, l.running.Go, func(ctx context.Context, base string) (media.Location, error) {
		location, err := l.request(ctx, base+target)
		l.metrics.directoryRequests.Inc()
		if err == nil {
			err = checkLocation(k, location)
		}
		if !said(err) && !errors.Is(ctx.Err(), context.Canceled) { // another one was faster
			l.metrics.failed("directory")
		}
		return location, err
	})
	if err != nil {
		return media.Location{}, fmt.Errorf("locate %s/%s: %w", k.path, k.recording, err)
	}
	return location, nil
}

func (l *locator) request(ctx context.Context, target string) (location media.Location, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return location, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := l.transport.RoundTrip(req)
	if err != nil {
		return location, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxLocation))
	if err != nil {
		return location, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return location, json.Unmarshal(body, &location)
	case http.StatusNotFound:
		return location, media.ErrNotFound
	case http.StatusGone:
		return location, media.ErrGone
	}
	return location, fmt.Errorf("status %d: %w", resp.StatusCode, media.ErrUnavailable)
}

// checkLocation refuses an answer about something else, or with nodes that can't be asked. A stream that is about to be
// live has no recording yet, only the nodes that wait for it.
func checkLocation(k locationKey, loc media.Location) error {
	if begins := k.recording == "" && loc.Recording == "" && len(loc.Nodes) > 0; !begins {
		if _, err := media.ParseRecordingID(string(loc.Recording)); err != nil {
			return err
		}
	}
	switch {
	case k.recording != "" && loc.Recording != k.recording,
		loc.Publisher != "" && loc.Publisher != k.path.Publisher,
		loc.Stream != "" && loc.Stream != k.path.Stream:
		return fmt.Errorf("%w: the answer is about another recording", media.ErrInvalid)
	case loc.Guess && k.recording == "":
		return fmt.Errorf("%w: a guess about no recording", media.ErrInvalid)
	case len(loc.Nodes) > maxNodes:
		return fmt.Errorf("%w: more than %d nodes", media.ErrInvalid, maxNodes)
	case loc.State == media.Deleting || loc.State == media.Deleted:
		return media.ErrGone
	}
	for _, node := range loc.Nodes {
		if err := media.CheckBaseURL(node); err != nil {
			return fmt.Errorf("node: %w", err)
		}
	}
	return nil
}
