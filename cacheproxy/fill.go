package cacheproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// found is what a lookup came to: an object, or a flight that the caller has joined and must leave.
type found struct {
	object *object
	flight *flight
	result result
}

// whole gives the object with its body, for which it waits.
func (f found) whole(a asker) (*object, error) {
	if f.flight == nil {
		return f.object, nil
	}
	return f.flight.complete(a.context())
}

// find gives the key's object from the cache, or joins its flight, or begins one.
func (p *Proxy) find(ctx context.Context, rt route, k key, who *caller) (found, error) {
	if p.waiting.Add(1) > int64(p.config.MaxWaiters) {
		p.waiting.Add(-1)
		return found{}, fmt.Errorf("%d waiters: %w", p.config.MaxWaiters, errBusy)
	}
	p.metrics.waiters.Inc()
	f, made, o, err := p.take(ctx, rt, k, who)
	switch {
	case err != nil || o != nil:
		p.left()
		return found{object: o}, err
	case made:
		return found{flight: f, result: resultMiss}, nil
	}
	f.shared.Store(true)
	return found{flight: f, result: resultCollapsed}, nil
}

func (p *Proxy) left() {
	p.waiting.Add(-1)
	p.metrics.waiters.Dec()
}

// leave ends what find began.
func (p *Proxy) leave(f found) {
	if f.flight != nil {
		f.flight.leave()
		p.left()
	}
}

// take joins the key's flight or launches one, detached from the request that happened to be first.
func (p *Proxy) take(ctx context.Context, rt route, k key, who *caller) (*flight, bool, *object, error) {
	may := who.may()
	if f := p.flights.join(k, may); f != nil { // of thousands, all but the first
		return f, false, nil, nil
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	linger := p.config.Linger
	if k.plain {
		linger = 0 // what it waits for lingers
	}
	f, made, o, err := p.flights.take(k, may, p.peers.plan(k.path, who), cancel, linger, func() *object {
		o, res := p.lookup(k, time.Now())
		if res == resultHit {
			return o
		}
		return nil
	})
	if !made {
		cancel(nil)
		return f, made, o, err
	}
	p.running.Go(func() {
		defer cancel(nil)
		defer p.flights.land(f)
		p.fly(ctx, rt, f, who)
	})
	return f, made, nil, nil
}

// refresh fetches a key anew for nobody in particular.
func (p *Proxy) refresh(ctx context.Context, rt route, k key) {
	if f, _, _, err := p.take(ctx, rt, k, nil); err == nil && f != nil {
		f.leave()
	}
}

// lookup gives what the cache may answer with: resultHit, or resultStale together with a refresh.
func (p *Proxy) lookup(k key, now time.Time) (*object, result) {
	o, _, res := p.look(k, now)
	return o, res
}

// look is lookup, and gives when the object's recording was vouched for.
func (p *Proxy) look(k key, now time.Time) (o *object, vouched time.Time, res result) {
	o, vouched = p.cache.look(k)
	switch {
	case o == nil || p.fronts.outdated(k, o, now):
		return nil, vouched, resultMiss
	case o.freshAt(now):
		return o, vouched, resultHit
	case o.usableAt(now, o.policy.whileRevalidate):
		return o, vouched, resultStale
	}
	return nil, vouched, resultMiss
}

// fly brings the flight to its end and its object, if it may be kept, into the cache before that.
func (p *Proxy) fly(ctx context.Context, rt route, f *flight, who *caller) {
	var o *object
	var said time.Time
	var err error
	if f.key.plain {
		o, err = p.unpacked(ctx, rt, f.key)
	} else if o, said = p.fromDisk(ctx, rt, f.key); o == nil {
		o, err = p.fetch(ctx, rt, f, who)
	} else {
		p.metrics.peers.fetched(who, o.way)
	}
	if (err != nil || o.status >= 500) && !f.opened() {
		now := time.Now()
		if old := p.cache.get(f.key); old != nil && old.usableAt(now, old.policy.ifError) &&
			!p.fronts.outdated(f.key, old, now) {
			stale := *old
			stale.standIn = true
			f.finish(&stale)
			return
		}
	}
	if err != nil {
		f.fail(err)
		return
	}
	p.keepFlown(f, o, said)
	f.finish(o)
}

// fetch asks upstreams until one gives the whole object. One that breaks off after viewers had read of it is followed
// by who has the same bytes.
func (p *Proxy) fetch(ctx context.Context, rt route, f *flight, who *caller) (*object, error) {
	s := p.search(rt, f.key, http.MethodGet)
	s.others = others{plan: f.plan, flight: f}
	for {
		resp, from, err := s.next(ctx)
		if errors.Is(err, errFollow) {
			defer s.others.follow.leave()
			return s.others.follow.complete(ctx)
		}
		if err != nil {
			return nil, err
		}
		o, err := p.receive(rt, f, resp, s.came)
		_ = resp.Body.Close() // the body was read to its end, or is given up
		if err == nil {
			p.metrics.peers.fetched(who, s.came)
			o = p.turns.judge(f.key, o)
		}
		switch {
		case err == nil && rt.kind.text():
			return p.settle(f.key, o, s.archived && !rt.sliding)
		case err == nil:
			return o, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		}
		s.err = err
		p.metrics.failed(from)
		p.logger.Debug("upstream broke off", "upstream", from, "path", f.key.path, "err", err)
		if !f.retract() {
			return p.resume(ctx, rt, f, from, err)
		}
		if from == "" {
			return nil, fmt.Errorf("%s of %s: %w", rt.kind, rt.path, err)
		}
	}
}

func (p *Proxy) search(rt route, k key, method string) *search {
	a := ask{
		method: method, path: k.path, query: k.query(), kind: rt.kind,
		wait: p.config.FetchTimeout, holds: k.blocks(rt.kind),
		header: http.Header{"User-Agent": {"oxbow-edge"}, "Accept-Encoding": {"identity"}},
	}
	if rt.kind.text() {
		a.wait *= 3
		a.header["Accept-Encoding"] = []string{"gzip"}
	}
	if a.holds || rt.kind == kindDownload {
		a.wait = p.config.BlockTimeout
	}
	return &search{proxy: p, where: locationKey{path: rt.path, recording: rt.recording}, ask: a}
}

// receive reads one answer's body into the flight. Viewers of media see the bytes as they come; a playlist is shown
// when it is whole, for it may have to be replaced, and a refusal too.
func (p *Proxy) receive(rt route, f *flight, resp *http.Response, came way) (*object, error) {
	limit := p.config.MaxObjectBytes
	switch {
	case resp.StatusCode != http.StatusOK:
		limit = maxRefusal
	case rt.kind.text():
		limit = p.config.MaxPlaylistBytes
	}
	length := resp.ContentLength
	if length > limit {
		return nil, fmt.Errorf("body of %d bytes: %w", length, media.ErrTooLarge)
	}
	head := newObject(rt.kind, resp.StatusCode, resp.Header, length, time.Now())
	head.came(came, p.hitStatus[0])
	if length < 0 && !slices.Contains(resp.TransferEncoding, "chunked") {
		head.policy = policy{} // the end of such a body can't be told from a broken connection
	}
	if !f.begin(head) {
		return nil, errBadAnswer
	}
	shown := resp.StatusCode == http.StatusOK && !rt.kind.text()
	shared, err := pourAny(f, resp.Body, length, limit, shown)
	if err != nil {
		return nil, err
	}
	o := f.whole(head, shared)
	if o.status >= http.StatusBadRequest {
		return refusal(o), nil
	}
	return o, nil
}

// pour copies the body into the flight and checks its length.
func pour(f *flight, body io.Reader, length, limit int64, shown bool) error {
	return pourFrom(f, body, 0, length, limit, shown)
}

// pourFrom is pour of a body whose first size bytes are in the flight.
func pourFrom(f *flight, body io.Reader, size, length, limit int64, shown bool) error {
	for size != length {
		more := int64(-1)
		if length >= 0 {
			more = length - size
		}
		n, err := body.Read(f.space(more))
		size += int64(n)
		if size > limit {
			return fmt.Errorf("body of more than %d bytes: %w", limit, media.ErrTooLarge)
		}
		if length >= 0 && size > length {
			return fmt.Errorf("body of more than its %d bytes: %w", length, errBadAnswer)
		}
		if n > 0 {
			f.commit(n, shown)
		}
		switch {
		case err == nil:
		case !errors.Is(err, io.EOF):
			return err
		case length >= 0 && size < length:
			return io.ErrUnexpectedEOF
		default:
			return nil
		}
	}
	return nil
}

// brief is the Cache-Control of what is about to be replaced.
const brief = "public, max-age=1"

// settle finds a playlist's version and what is to be served for it. One that must be VOD by now, and is not, comes
// from a node that has not looked yet.
func (p *Proxy) settle(k key, o *object, vod bool) (*object, error) {
	if o.status != http.StatusOK || o.kind != kindPlaylist {
		return o, nil
	}
	text, err := p.unzip.text(o)
	if err != nil {
		return nil, err
	}
	o.version = parseVersion(text)
	if vod && !bytes.Contains(text[:min(len(text), 512)], []byte("\n#EXT-X-PLAYLIST-TYPE:VOD")) {
		for _, name := range freshnessFields {
			delete(o.header, name)
		}
		o.header["Cache-Control"] = []string{brief}
		o.policy, _ = judge(o.status, o.header, o.received)
	}
	return p.fronts.settle(k, o, time.Now()), nil
}

// unpacked gives a playlist's plain variant. It shares the fetch of the other one, so that upstreams see one request
// whatever viewers accept.
func (p *Proxy) unpacked(ctx context.Context, rt route, k key) (*object, error) {
	k.plain = false
	o, res := p.lookup(k, time.Now())
	if res != resultHit {
		f, err := p.find(ctx, rt, k, nil)
		if err != nil {
			return nil, err
		}
		defer p.leave(f)
		if o = f.object; o == nil {
			if o, err = f.flight.complete(ctx); err != nil {
				return nil, err
			}
		}
	}
	coding := o.header.Get("Content-Encoding")
	if coding == "" || coding == "identity" {
		return o, nil
	}
	text, err := p.unzip.text(o)
	if err != nil {
		return nil, err
	}
	return o.plain(text), nil
}
