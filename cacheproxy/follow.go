package cacheproxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// followSilence is how long a stream of events may be silent; the directory says something every second.
	followSilence = 3 * time.Second
	// followRetry is the first wait before the next directory is tried, followRetryMax the longest; each is cut by up to
	// half at random, so that edges do not come together.
	followRetry    = 200 * time.Millisecond
	followRetryMax = 5 * time.Second
	// followGood is how long a stream lasted that worked.
	followGood = 10 * time.Second
	// maxEventLine bounds a line of the stream.
	maxEventLine = 64 << 10
)

// Follow follows the directory's stream of events until ctx ends, so that what happens to a recording is known here at
// once. It has one stream, from one directory, and goes on with the next when that fails. While there is none, the
// directory is asked about everything that is served, every unsureTTL.
func (p *Proxy) Follow(ctx context.Context) error {
	defer p.setTrust(false, false)
	bases := p.locator.dirs.bases
	if len(bases) == 0 {
		<-ctx.Done()
		return nil
	}
	wake := make(chan struct{}, 1)
	p.pending.Store(true)
	var learning sync.WaitGroup
	defer learning.Wait()
	learning.Go(func() { p.learnPurges(ctx, wake) })
	f := &follower{proxy: p, last: -1, wake: wake}
	wait, told, broken := followRetry, false, time.Now()
	for at := 0; ctx.Err() == nil; at++ {
		base := bases[at%len(bases)]
		begun := time.Now()
		err := f.once(ctx, base)
		p.setTrust(false, false)
		if ctx.Err() != nil {
			break
		}
		if f.heard {
			broken, told = time.Now(), false
		}
		if time.Since(begun) >= followGood {
			wait = followRetry
		}
		level := p.logger.Debug
		if !told && time.Since(broken) >= followSilence { // not of a directory that restarts, nor of a stop
			level, told = p.logger.Warn, true
		}
		level("events of the directory are not followed: it is asked instead", "directory", host(base), "err", err)
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-ctx.Done():
		}
		wait = min(2*wait, followRetryMax)
	}
	return nil
}

// follower is the state that outlives one stream.
type follower struct {
	proxy *Proxy
	last  int64 // the id up to which all is known; negative at the beginning
	heard bool  // the stream under way said something
	wake  chan<- struct{}
}

// once follows one directory until that breaks.
func (f *follower) once(ctx context.Context, base string) error {
	f.heard = false
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(followSilence, func() { cancel(fmt.Errorf("silent for %s: %w", followSilence, errTimeout)) })
	defer silent.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/internal/v1/events", http.NoBody)
	if err != nil {
		return err
	}
	req.Header = http.Header{"Accept": {"text/event-stream"}, "User-Agent": {"oxbow-edge"}}
	if f.last >= 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatInt(f.last, 10))
	}
	resp, err := f.proxy.locator.transport.RoundTrip(req)
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		return fmt.Errorf("answer %d of type %.80q: %w", resp.StatusCode, resp.Header.Get("Content-Type"), errBadAnswer)
	}
	f.proxy.metrics.eventsConnected.Set(1)
	defer f.proxy.metrics.eventsConnected.Set(0)
	err = readEvents(resp.Body, func() { f.heard = true; silent.Reset(followSilence) }, f.handle)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return err
}

// streamEvent is one event of the stream, as it is on the wire.
type streamEvent struct {
	id   string
	name string
	data []byte
}

// readEvents reads server-sent events (HTML Living Standard, section 9.2) until the stream ends, which is an error.
// Alive is called at every line.
func readEvents(body io.Reader, alive func(), handle func(streamEvent) error) error {
	in := bufio.NewReaderSize(body, maxEventLine)
	var e streamEvent
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read events: %w", err)
		}
		alive()
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			if e.name != "" {
				if err := handle(e); err != nil {
					return err
				}
			}
			e = streamEvent{}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			e.id = string(value)
		case "event":
			e.name = string(value)
		case "data":
			if e.data = append(e.data, value...); len(e.data) > maxEventLine {
				return fmt.Errorf("event %.40q: %w", e.name, media.ErrTooLarge)
			}
		}
	}
}

// handle takes one event of the stream.
func (f *follower) handle(e streamEvent) error {
	id := int64(-1)
	if e.id != "" {
		var err error
		if id, err = strconv.ParseInt(e.id, 10, 64); err != nil || id < 0 {
			return fmt.Errorf("event id %.40q: %w", e.id, errBadAnswer)
		}
	}
	p := f.proxy
	switch e.name {
	case "reset":
		p.metrics.eventResets.Inc()
		level := slog.LevelInfo
		if f.last < 0 { // the first time
			level = slog.LevelDebug
		}
		f.last = id
		p.locator.forgetAll()
		p.feed.changed()
		select {
		case f.wake <- struct{}{}:
		default:
		}
		p.setTrust(true, true)
		p.logger.Log(context.Background(), level, "events of the directory are followed anew", "id", id)
		return nil
	case "sure":
		p.setTrust(true, false)
		return nil
	case "unsure":
		p.setTrust(false, false)
		return nil
	}
	if id < 0 {
		return fmt.Errorf("event %.40q without an id: %w", e.name, errBadAnswer)
	}
	if id > f.last { // one that was sent twice is known
		var event media.Event
		if err := json.Unmarshal(e.data, &event); err != nil {
			return fmt.Errorf("event %d: %w", id, err)
		}
		p.apply(event)
		f.last = id
	}
	return nil
}

// apply has the edge know what happened.
func (p *Proxy) apply(e media.Event) {
	kind := e.Type
	switch e.Type {
	case media.EventLive, media.EventInterrupted, media.EventEnded, media.EventArchived, media.EventFailed,
		media.EventDeleted, media.EventPlayback, media.EventPurged:
	default:
		kind = "other"
	}
	p.metrics.events.WithLabelValues(kind).Inc()
	if !e.Time.IsZero() {
		p.metrics.eventLag.Observe(max(0, time.Since(e.Time).Seconds()))
	}
	if e.Type == media.EventPlayback {
		p.feed.changed()
		return
	}
	if e.Type == media.EventPurged {
		if media.CheckPurge(e.Publisher, e.Stream, e.Recording) == nil {
			p.Purge(e.Publisher, e.Stream, e.Recording)
		}
		return
	}
	id, err := media.ParseRecordingID(string(e.Recording))
	if err != nil || media.CheckPublisherName(e.Publisher) != nil || media.CheckStreamName(e.Stream) != nil {
		return
	}
	path := media.StreamPath{Publisher: e.Publisher, Stream: e.Stream}
	if e.Type == media.EventDeleted {
		p.bury(path, id)
		return
	}
	p.locator.forget(locationKey{path: path, recording: id})
	p.forgetStream(path)
	p.watches.stir(locationKey{path: path, recording: id})
	p.watches.stir(locationKey{path: path})
	if e.Type == media.EventEnded || e.Type == media.EventArchived {
		// They have ENDLIST now, or are VOD.
		p.turns.turn(recordingGroup(path, id), time.Now())
		p.metrics.evictions.Add(float64(p.cache.drop(recordingGroup(path, id), true)))
	}
}
