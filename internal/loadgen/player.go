package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// player is one viewer: for each of its tracks one goroutine reloads the playlist and another loads what is listed, and
// one asks the steering server.
type player struct {
	from *url.URL
	cmcd bool
	// measured: what it measures it tells, too.
	measured bool
	// startTold: it has told how long the start took.
	startTold bool
	session   string
	dialer    dialer // of its clients

	mu     sync.Mutex // guards all below
	heard  heard
	ways   *pathways
	level  *level
	tracks []*track // the variant's, then its audio's
	head   playhead
	// changed is closed, and replaced, when there may be something new to load.
	changed chan struct{}
	// listErrors counts failures of playlists since the variant's last good one, pieceErrors those since a good piece.
	listErrors, pieceErrors int
	estimate                float64 // of the throughput, in bits per second
	over                    bool    // the show is, and all of it loaded
	stopped                 bool
	leave                   context.CancelFunc
	truth                   PlayViewer
}

// track is a rendition as its player sees it.
type track struct {
	kind  string   // CMCD's ot: v, a, av
	uri   *url.URL // of its playlist; nil: the variant has none
	epoch int      // grows when uri changes
	lists *httpClient

	list   edge
	listed int // epoch of list
	inited int // epoch whose initialization section is loaded
	init   string
	// msn and part are the next piece, and into what is loaded of that segment.
	msn    int64
	part   int
	into   time.Duration
	joined bool
	// end is up to where media is loaded, on the play head's clock.
	end time.Duration
}

const (
	// defaultEstimate is what hls.js takes the throughput for until it knows more, in bits per second.
	defaultEstimate = 500_000
	// manifestTimeout bounds the load of the multivariant playlist, requestTimeout that of others.
	manifestTimeout = 20 * time.Second
	requestTimeout  = 10 * time.Second
	// maxRedirects is how many redirects of the multivariant playlist are followed.
	maxRedirects = 3
)

func newPlayer(from *url.URL, cmcd bool) *player {
	p := &player{from: from, cmcd: cmcd, session: newSession(), changed: make(chan struct{}), estimate: defaultEstimate}
	p.head.from = time.Now()
	p.truth = PlayViewer{Session: p.session, CameMS: time.Now().UnixMilli(), StartMS: -1, Faults: map[string]int{}}
	return p
}

// newSession gives a random UUID of version 4, in text.
func newSession() string {
	a, b := rand.Uint64()&^0xf000|0x4000, rand.Uint64()&^(3<<62)|2<<62
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&0xffffffffffff)
}

// watch plays until ctx ends, or the player gives up.
func (p *player) watch(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.leave = cancel
	m, err := p.open(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		p.mu.Lock()
		p.give("manifest: " + reason(err))
		p.mu.Unlock()
	case err == nil:
		p.begin(m)
		var parts sync.WaitGroup
		for _, t := range p.tracks {
			parts.Go(func() { p.reloads(ctx, t) })
			parts.Go(func() { p.loads(ctx, t) })
		}
		if m.steering != nil {
			parts.Go(func() { p.steer(ctx, m.steering) })
		}
		parts.Wait()
	}
	p.finish()
}

// open loads the multivariant playlist: one that fails by the server's fault is asked for once more.
func (p *player) open(ctx context.Context) (multivariant, error) {
	at := p.from
	for try := 0; ; try++ {
		ask := *at
		p.mark(&ask, p.tell(nil, "m", 0))
		c := &httpClient{addr: hostPort(&ask), timeout: manifestTimeout, dialer: p.dialer}
		stop := context.AfterFunc(ctx, c.interrupt)
		a, err := p.get(ctx, c, &ask, true)
		stop()
		var m multivariant
		f := faultOf(a, err)
		switch {
		case f == nil:
			m, err = parseMultivariant(at, a.body) // keeps no bytes of the body
		case a.status >= 300 && a.status < 400 && a.location != "" && try < maxRedirects:
			if at, err = at.Parse(a.location); err == nil {
				c.close()
				continue
			}
		default:
			err = f
		}
		c.close()
		if err == nil || f == nil || !f.again() || try > 0 || !pause(ctx, time.NewTimer(0), time.Now().Add(time.Second)) {
			return m, err
		}
	}
}

// begin takes the first level; a player that knows nothing of its throughput takes the first in the list.
func (p *player) begin(m multivariant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ways = newPathways(m)
	first := p.ways.levelsOf(p.ways.current)[0]
	p.tracks = []*track{{kind: "av"}}
	if m.audioOf(first) != nil {
		p.tracks = []*track{{kind: "v"}, {kind: "a"}}
	}
	p.place(first)
}

// place plays a level from now on. What comes from elsewhere already is finished. Callers hold mu.
func (p *player) place(l *level) {
	p.level = l
	uris := []*url.URL{l.uri, p.ways.audioOf(l)}
	for i, t := range p.tracks {
		if t.uri != nil && uris[i] != nil && *t.uri == *uris[i] {
			continue
		}
		t.uri = uris[i]
		t.epoch++
		if t.lists != nil {
			t.lists.interrupt()
		}
	}
	p.wake()
}

// wake has all look for work again. Callers hold mu.
func (p *player) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// move plays the pathway that ways has gone to. Callers hold mu.
func (p *player) move(from, why string, now time.Time) {
	at := 0
	for i, l := range p.ways.levelsOf(from) {
		if l == p.level {
			at = i
		}
	}
	levels := p.ways.levelsOf(p.ways.current)
	p.truth.Moves = append(p.truth.Moves, PlayMove{
		AtMS: now.UnixMilli(), From: from, To: p.ways.current, Why: why, MediaMS: -1,
	})
	p.place(levels[min(at, len(levels)-1)])
}

// elsewhere is what hls.js does with a failure that it does not retry: another variant of the pathway if that may help,
// else another pathway. It books a late failure of the pathway before on the one that it has gone to meanwhile. It says
// whether there was one to go to. Callers hold mu.
func (p *player) elsewhere(main bool, why string, now time.Time) bool {
	if main {
		p.level.failed = true
		levels := p.ways.levelsOf(p.ways.current)
		at := 0
		for i, l := range levels {
			if l == p.level {
				at = i
			}
		}
		for i := len(levels) - 1; i > 0; i-- {
			if l := levels[(i+at)%len(levels)]; !l.failed {
				p.listErrors = 0
				p.place(l)
				return true
			}
		}
	}
	from := p.ways.current
	if !p.ways.penalise(from, now) {
		return false
	}
	p.move(from, why, now)
	return true
}

// give is the fatal error of a player. Callers hold mu.
func (p *player) give(why string) {
	if p.truth.Fatal == "" && !p.stopped {
		p.truth.Fatal = why
		p.leave()
	}
}

// end gives up to where there is media of every track. Callers hold mu.
func (p *player) end() time.Duration {
	end, found := time.Duration(0), false
	for _, t := range p.tracks {
		switch {
		case t.uri == nil:
		case !t.joined:
			return 0
		case !found || t.end < end:
			end, found = t.end, true
		}
	}
	return end
}

// ahead is the media ahead of the head now. Callers hold mu.
func (p *player) ahead(t *track, now time.Time) time.Duration {
	p.head.run(now, p.end())
	return max(t.end-p.head.position, 0)
}

// finish closes the viewer's books. A player that gave up plays on to the end of what it has.
func (p *player) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.stopped = true
	p.head.stop(now, p.end(), p.over)
	v := &p.truth
	v.LeftMS = now.UnixMilli()
	if p.head.begun() {
		v.StartMS = ms(p.head.started)
	}
	v.WatchedS = p.head.position.Seconds()
	v.Stalled = p.head.stalls
	v.Stalls, v.StalledMS, v.StallMaxMS = p.head.count, ms(p.head.stalled), ms(p.head.longest)
	v.BufferMS = ms(max(p.end()-p.head.position, 0))
	if p.ways != nil {
		v.Pathway = p.ways.current
	}
}

// get asks, and counts.
func (p *player) get(ctx context.Context, c *httpClient, u *url.URL, keep bool) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	a, err := c.get(ctx, u.RequestURI(), keep)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.truth.Requests++
	p.truth.Bytes += a.size
	if err == nil {
		p.heard.take(u.RawQuery)
	}
	return a, err
}

// fault is a request that failed, as a player in a browser tells one from another.
type fault struct {
	status  int // zero: no answer
	timeout bool
	err     error
}

func (f *fault) Error() string {
	switch {
	case f.timeout:
		return "timeout"
	case f.status != 0:
		return fmt.Sprintf("HTTP %d", f.status)
	}
	return reason(f.err)
}

// again says whether hls.js retries: no answer at all, which a browser can't tell from a refusal by CORS, and 4xx are
// final.
func (f *fault) again() bool { return f.timeout || f.status != 0 && (f.status < 400 || f.status > 499) }

// faultOf tells what is wrong with an exchange; nil is nothing.
func faultOf(a answer, err error) *fault {
	var netErr net.Error
	switch {
	case errors.As(err, &netErr) && netErr.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return &fault{timeout: true, err: err}
	case err != nil:
		return &fault{err: err}
	case a.status != 200:
		return &fault{status: a.status, err: media.ErrNotFound}
	}
	return nil
}

// delay is how long hls.js waits before the nth retry, from zero.
func (f *fault) delay(n int) time.Duration {
	if f.timeout {
		return 0
	}
	return min(time.Second<<min(n, 10), 8*time.Second)
}
