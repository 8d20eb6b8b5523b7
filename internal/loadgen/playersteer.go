package loadgen

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// minTTL keeps a server that forgets the TTL from being asked without end.
const minTTL = 100 * time.Millisecond

// steer asks the steering server for as long as the player goes on, as hls.js does: 410 ends it, and so does 429, whose
// Retry-After hls.js 1.7.4 does not read; other failures wait for the TTL that was told last.
func (p *player) steer(ctx context.Context, at *url.URL) {
	c, stop := &httpClient{}, func() bool { return true }
	defer func() { stop(); c.close() }()
	timer := time.NewTimer(0)
	ttl := defaultTTL
	for retries := 0; ; {
		ask := *at
		if host := hostPort(&ask); c.addr != host {
			stop()
			c.close()
			c = &httpClient{addr: host, timeout: requestTimeout, dialer: p.dialer}
			stop = context.AfterFunc(ctx, c.interrupt)
		}
		p.mu.Lock()
		p.mark(&ask, "_HLS_pathway="+url.QueryEscape(p.ways.current)+
			"&_HLS_throughput="+strconv.FormatInt(int64(p.estimate), 10))
		p.mu.Unlock()
		a, err := p.get(ctx, c, &ask, true)
		p.mu.Lock()
		p.truth.SteerBytes += a.size
		p.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		f := faultOf(a, err)
		var m steeringManifest
		if f == nil {
			if m, err = parseSteeringManifest(a.body); err != nil {
				f = &fault{status: a.status, err: err}
			}
		}
		wait := ttl
		switch {
		case f == nil:
			retries = 0
			if ttl = max(m.ttl(), minTTL); m.Reload != "" {
				if at, err = at.Parse(m.Reload); err != nil {
					return
				}
			}
			wait = ttl
			p.obey(m)
		case errors.Is(f.err, media.ErrUnsupported), f.status == 410, f.status == 429:
			p.faulty("steering: " + f.Error())
			return
		case f.again() && retries == 0 && f.status != 200:
			retries++
			wait = f.delay(0)
			p.faulty("steering: " + f.Error())
		default:
			retries = 0
			p.faulty("steering: " + f.Error())
		}
		if !pause(ctx, timer, time.Now().Add(wait)) {
			return
		}
	}
}

// obey does what a steering manifest says: clones first.
func (p *player) obey(m steeringManifest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range m.Clones {
		p.ways.clone(c)
	}
	from := p.ways.current
	if now := time.Now(); m.Priority != nil && p.ways.follow(m.Priority, now) {
		p.move(from, "steering", now)
	}
}

func (p *player) faulty(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.truth.Faults[why]++
}
