package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// A source of HLS is read by its segments, three target durations behind its live edge, where segments are sure to be:
// Low-Latency parts of another server would bring its media sooner, but what came as hints may be lost without a word.
// Each rendition has a goroutine that fetches a few of its segments ahead; one goroutine demuxes them and lets the
// frames go by the wall clock (pull_hls_pace.go).
//
// gohlslib's client, which could do the same, gives up when the next segment is late, passes over discontinuities and
// new init sections, and drops parts when two come between its polls.

// Limits of what a source of HLS may answer, and times.
const (
	maxHLSPlaylist = 4 << 20
	maxHLSSegment  = 64 << 20
	maxHLSAudio    = 8 << 20 // a segment of a rendition beside the first
	maxHLSInit     = 1 << 20
	hlsAhead       = 2 // segments of a rendition fetched and not yet demuxed, beside the one in hand
	hlsTries       = 3 // of one segment
	hlsRetry       = 500 * time.Millisecond
)

// hlsFeed is an HLS server whose multivariant playlist, or only media playlist, was read.
type hlsFeed struct {
	cfg        Config
	client     *http.Client
	renditions []*hlsRendition // the first has the video, if there is any
	ready      chan struct{}   // holds one token when a chunk has come
	started    bool
	received   atomic.Int64 // bytes
	pace       pacer
	last       string // the show that has ended, by hlsPlaylist.show
}

// hlsRendition is one media playlist of the source.
type hlsRendition struct {
	url      *url.URL
	first    *hlsPlaylist // read already, if not nil
	chunks   chan hlsChunk
	hlsQueue // of the goroutine that plays; what is above is the fetcher's

	initAt   hlsResource // the last init section, the fetcher's too
	initData []byte
}

// hlsChunk is a segment as it was fetched, or the end.
type hlsChunk struct {
	data, init    []byte
	discontinuity int64
	missing       bool  // segments before it are lost
	behind        bool  // the next one was there too: we could be closer to the live edge
	end           error // io.EOF is EXT-X-ENDLIST
}

func dialHLS(ctx context.Context, u *url.URL, cfg Config) (feed, error) {
	client := &http.Client{Jar: &cookies{}, Timeout: time.Minute}
	f := &hlsFeed{cfg: cfg, client: client, ready: make(chan struct{}, 1)}
	playlist, at, err := f.playlist(ctx, u)
	if err != nil {
		return nil, err
	}
	if len(playlist.variants) == 0 {
		f.add(at, playlist, hlsAudio{}, -1)
	} else if err := f.choose(playlist, at); err != nil {
		return nil, err
	}
	// A show is begun for what is there to be played, not before.
	lead := f.renditions[0]
	if lead.first == nil {
		if lead.first, lead.url, err = f.playlist(ctx, lead.url); err != nil {
			return nil, err
		}
	}
	if len(lead.first.segments) == 0 {
		return nil, fmt.Errorf("%w: the source's playlist has no segments", media.ErrUnavailable)
	}
	if lead.first.ended {
		f.last = lead.first.show()
	}
	return f, nil
}

func (f *hlsFeed) ended() string { return f.last }

// choose takes the variant of the highest bandwidth that has video, and the audio that belongs to it.
func (f *hlsFeed) choose(p *hlsPlaylist, base *url.URL) error {
	best := p.variants[0]
	for _, v := range p.variants[1:] {
		if v.video && !best.video || v.video == best.video && v.bandwidth > best.bandwidth {
			best = v
		}
	}
	at, err := base.Parse(best.uri)
	if err != nil {
		return fmt.Errorf("%w: URI of a variant of the source", media.ErrInvalid)
	}
	f.add(at, nil, hlsAudio{}, -1)
	number := 0
	for _, audio := range p.audio {
		if audio.group != best.audio || best.audio == "" || number >= maxTracksOfKind {
			continue
		}
		if audio.uri != "" && audio.uri != best.uri { // else it is in the variant's own segments
			at, err := base.Parse(audio.uri)
			if err != nil {
				return fmt.Errorf("%w: URI of an audio rendition of the source", media.ErrInvalid)
			}
			f.add(at, nil, audio, number)
		}
		number++
	}
	f.renditions[0].others = len(f.renditions) - 1
	return nil
}

// add adds a rendition; number is the audio track's, or negative for the one whose own tracks count.
func (f *hlsFeed) add(at *url.URL, first *hlsPlaylist, audio hlsAudio, number int) {
	r := &hlsRendition{url: at, first: first, chunks: make(chan hlsChunk, hlsAhead)}
	r.hlsQueue = hlsQueue{audio: audio, number: number, maxFrame: f.cfg.MaxFrame}
	f.renditions = append(f.renditions, r)
}

func (f *hlsFeed) close() { f.client.CloseIdleConnections() }

func (f *hlsFeed) run(ctx context.Context, out *session) error {
	fetching, cancel := context.WithCancel(ctx)
	var fetchers sync.WaitGroup
	defer fetchers.Wait()
	defer cancel()
	for _, r := range f.renditions {
		fetchers.Go(func() {
			err := f.follow(fetching, r)
			f.put(fetching, r, hlsChunk{end: orEOF(err)})
		})
	}
	out.quality.transport = func() media.IngestTransport {
		return media.IngestTransport{ReceivedBytes: f.received.Load()}
	}
	return f.play(ctx, out)
}

// put hands a chunk to the goroutine that demuxes.
func (f *hlsFeed) put(ctx context.Context, r *hlsRendition, c hlsChunk) {
	select {
	case r.chunks <- c:
	case <-ctx.Done():
		return
	}
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

// follow fetches a rendition's segments until its playlist ends, which is nil.
func (f *hlsFeed) follow(ctx context.Context, r *hlsRendition) error {
	at := hlsPosition{next: -1}
	lastGood, lastNew := time.Now(), time.Now()
	for {
		p := r.first
		r.first = nil
		var err error
		if p == nil {
			p, r.url, err = f.playlistAgain(ctx, r.url)
		}
		now := time.Now()
		wait := hlsRetry
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && (now.Sub(lastGood) > f.cfg.IdleTimeout || errors.Is(err, media.ErrUnsupported)):
			return fmt.Errorf("%w: %w", errSource, err)
		case err == nil:
			segments := at.news(p)
			if err := f.fetchAll(ctx, r, &at, segments, p.ended); err != nil {
				return err
			}
			if p.ended {
				if r == f.renditions[0] {
					f.last = p.show()
				}
				return nil
			}
			lastGood = time.Now() // not now: who plays may have held us back
			if len(segments) > 0 {
				lastNew = lastGood
			}
			// RFC 8216bis, 6.3.4: a target duration after a change, half of it without one.
			if wait = max(p.target, hlsRetry); len(segments) == 0 {
				wait /= 2
			}
			if limit := max(f.cfg.IdleTimeout, 3*p.target); time.Since(lastNew) > limit {
				return fmt.Errorf("no new segment for %v: %w", limit, os.ErrDeadlineExceeded)
			}
		}
		pause(ctx, wait-time.Since(now))
	}
}

// hlsPosition is where in a rendition the next segment is.
type hlsPosition struct {
	next     int64 // Media Sequence Number; negative before the first playlist
	restarts int64 // of the source, each of which is a discontinuity
	missing  bool
}

// news gives the segments of a playlist that were not fetched yet.
func (at *hlsPosition) news(p *hlsPlaylist) []hlsSegment {
	s := p.segments
	if len(s) == 0 {
		return nil
	}
	first, last := s[0].msn, s[len(s)-1].msn
	switch {
	case at.next < 0 && p.ended:
		return s
	case at.next >= 0 && last < at.next-1: // the source began anew
		at.restarts++
		return s[liveStart(p):]
	case at.next < 0 || first > at.next: // that, or we were away for too long
		at.missing = at.next >= 0
		return s[liveStart(p):]
	}
	return s[at.next-first:]
}

// liveStart is the index of the segment to begin with: three target durations from the end (RFC 8216bis, 6.3.3).
func liveStart(p *hlsPlaylist) int {
	length := time.Duration(0)
	for i := len(p.segments) - 1; i > 0; i-- {
		if length += p.segments[i].duration; length >= 3*p.target {
			return i
		}
	}
	return 0
}

func (f *hlsFeed) fetchAll(
	ctx context.Context, r *hlsRendition, at *hlsPosition, segments []hlsSegment, ended bool,
) error {
	for i, s := range segments {
		at.next = s.msn + 1
		if s.gap {
			at.missing = true
			continue
		}
		c := hlsChunk{discontinuity: s.discontinuity + at.restarts<<32, behind: !ended && i < len(segments)-1}
		var err error
		if s.init.uri != "" {
			c.init, err = f.initSection(ctx, r, s.init)
		}
		if err == nil {
			limit := int64(maxHLSSegment)
			if r.number >= 0 {
				limit = maxHLSAudio
			}
			c.data, err = f.fetchPatiently(ctx, r.url, s.media, limit)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && errors.Is(err, media.ErrTooLarge):
			return err
		case err != nil:
			at.missing = true // the next one may be there
			continue
		}
		c.missing, at.missing = at.missing, false
		f.put(ctx, r, c)
	}
	return nil
}

// initSection fetches an init section, unless it is the last one.
func (f *hlsFeed) initSection(ctx context.Context, r *hlsRendition, at hlsResource) ([]byte, error) {
	if at == r.initAt && r.initData != nil {
		return r.initData, nil
	}
	data, err := f.fetchPatiently(ctx, r.url, at, maxHLSInit)
	if err == nil {
		r.initAt, r.initData = at, data
	}
	return data, err
}

func (f *hlsFeed) fetchPatiently(
	ctx context.Context, base *url.URL, what hlsResource, limit int64,
) (data []byte, err error) {
	u, err := base.Parse(what.uri)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: URI in the source's playlist", media.ErrInvalid)
	}
	for try := range hlsTries {
		if try > 0 {
			pause(ctx, hlsRetry)
		}
		data, _, err = f.get(ctx, u, what, limit)
		if err == nil || ctx.Err() != nil || errors.Is(err, media.ErrTooLarge) {
			break
		}
	}
	return data, err
}

// playlistAgain keeps the URL if it fails.
func (f *hlsFeed) playlistAgain(ctx context.Context, u *url.URL) (*hlsPlaylist, *url.URL, error) {
	p, at, err := f.playlist(ctx, u)
	if err != nil {
		return nil, u, err
	}
	return p, at, nil
}

// playlist reads a playlist, and says where it was found.
func (f *hlsFeed) playlist(ctx context.Context, u *url.URL) (*hlsPlaylist, *url.URL, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	text, at, err := f.get(ctx, u, hlsResource{}, maxHLSPlaylist)
	if err != nil {
		return nil, nil, fmt.Errorf("playlist: %w", err)
	}
	p, err := parseHLS(string(text))
	return p, at, err
}

// get fetches a resource of at most limit bytes. Its errors name no URL.
func (f *hlsFeed) get(ctx context.Context, u *url.URL, what hlsResource, limit int64) ([]byte, *url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, nil, withoutURL(err)
	}
	req.Header.Set("User-Agent", "oxbow")
	want := http.StatusOK
	if what.length > 0 {
		want = http.StatusPartialContent
		req.Header.Set("Range", "bytes="+strconv.FormatInt(what.offset, 10)+"-"+
			strconv.FormatInt(what.offset+what.length-1, 10))
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, nil, withoutURL(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != want {
		return nil, nil, fmt.Errorf("%w: the source answers %d", media.ErrUnavailable, resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	f.received.Add(int64(len(data)))
	switch {
	case err != nil:
		return nil, nil, withoutURL(err)
	case int64(len(data)) > limit:
		return nil, nil, fmt.Errorf("%w: more than %d bytes in one answer of the source", media.ErrTooLarge, limit)
	}
	return data, resp.Request.URL, nil
}
