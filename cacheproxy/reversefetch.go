package cacheproxy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/httpcache"
	"github.com/oxbow-video/oxbow/internal/media"
)

// errSingle ends a flight whose answer is for the request that began it.
var errSingle = errors.New("answer is not for sharing")

// fetch is one request to the upstreams for a GET that may be cached.
type fetch struct {
	at         place
	header     http.Header // of the request upstream, without conditions and ranges
	authorized bool
	change     *change // set when it is sent
	interim    *interim
	// single hands an answer that is not for sharing to the request that began the fetch; done is closed when that
	// request needs nothing any more.
	single chan *http.Response
	done   chan struct{}
	// validated and failed say how the answer came about. They are set before the flight ends.
	validated bool
	failed    int // status of the answer that a stale one stands in for, or 502 for none
}

// interim passes 1xx answers on (RFC 9110 section 15.2), as long as nothing else is written.
type interim struct {
	mu sync.Mutex
	w  http.ResponseWriter
}

// newInterim passes nothing to nobody, nor to a client of before they were known.
func newInterim(w http.ResponseWriter, r *http.Request) *interim {
	if !r.ProtoAtLeast(1, 1) {
		w = nil
	}
	return &interim{w: w}
}

func (i *interim) pass(code int, h http.Header) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.w == nil || code == http.StatusContinue || code == http.StatusSwitchingProtocols {
		return // the first is the server's own, the second was not asked for
	}
	own := i.w.Header()
	for name, values := range httpcache.Forwarded(h) {
		own[name] = values
	}
	i.w.WriteHeader(code)
	clear(own)
}

func (i *interim) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.w = nil
}

// get answers a GET.
func (p *Reverse) get(w http.ResponseWriter, r *http.Request, uri string) (result, error) {
	alone := false
	for tries := 0; ; tries++ {
		now := time.Now()
		at := p.look(uri, r.Header, now)
		o := at.object
		switch {
		case o == nil:
		case o.freshAt(now):
			return resultHit, p.respond(w, r, fetched{object: o, status: freshStatus(o, now)}, now)
		case o.usableAt(now, o.policy.whileRevalidate):
			p.refresh(r, at)
			return resultStale, p.respond(w, r, fetched{object: o, status: freshStatus(o, now)}, now)
		}
		if o == nil && !p.onDisk(at) {
			if list := p.partsOf(at); list != nil {
				if p.answerParts(w, r, list, now) {
					return resultHit, nil
				}
				at.partial = true
			}
			if at.ranged = askedRange(r); at.ranged == "" && len(r.Header["Range"]) > 0 {
				return resultPass, p.pass(w, r, uri)
			}
		}
		res, again, err := p.await(w, r, at, alone)
		if !again {
			return res, err
		}
		alone = errors.Is(err, errSingle) || tries > 0
	}
}

// await answers out of a flight, or says that its answer was not for this request; with errSingle, that it was for one.
func (p *Reverse) await(
	w http.ResponseWriter, r *http.Request, at place, alone bool,
) (res result, again bool, err error) {
	authorized := len(r.Header["Authorization"]) > 0
	at.single = at.single || alone
	alone = authorized || at.single || at.object != nil && at.object.policy.lifetime == 0
	q := p.newFetch(w, r, at)
	defer close(q.done)
	f, made, o, err := p.take(r.Context(), q, alone)
	switch {
	case err != nil:
		return resultError, false, err
	case f == nil:
		now := time.Now()
		return resultHit, false, p.respond(w, r, fetched{object: o, status: freshStatus(o, now)}, now)
	}
	defer f.leave()
	p.metrics.waiters.Inc()
	v, err := f.wait(r.Context())
	p.metrics.waiters.Dec()
	q.interim.end()
	if err != nil && p.leaving.Load() {
		return resultError, false, errLeaving
	}
	if o = v.result; o == nil {
		o = v.head
	}
	switch {
	case errors.Is(err, errSingle) && made:
		select {
		case resp := <-q.single:
			return resultMiss, false, p.relay(w, r, resp, forwardReason(at))
		case <-r.Context().Done():
			return resultError, false, r.Context().Err()
		}
	case errors.Is(err, errSingle), errors.Is(err, media.ErrTooLarge) && !at.single:
		return 0, true, errSingle
	case err != nil:
		return resultError, false, err
	case made:
		return p.answerFetched(w, r, f, o, q)
	case !o.generic.judged.Shared, o.generic.variant != httpcache.Variant(o.generic.names, r.Header):
		return 0, true, nil
	}
	if o.disk {
		now := time.Now()
		return resultDisk, false, p.respond(w, r, fetched{object: o, status: diskStatus(o, now)}, now)
	}
	status := httpcache.Status{Cache: cacheName, Forward: forwardReason(at), Collapsed: true}
	return resultCollapsed, false, p.respond(w, r, fetched{object: o, flight: f, status: status}, time.Now())
}

// answerFetched answers the request that began the flight.
func (p *Reverse) answerFetched(
	w http.ResponseWriter, r *http.Request, f *flight, o *object, q *fetch,
) (result, bool, error) {
	now := time.Now()
	status := httpcache.Status{Cache: cacheName, Forward: forwardReason(q.at), ForwardStatus: o.status}
	res := resultMiss
	switch {
	case q.failed != 0:
		status, res = freshStatus(o, now), resultStale
		status.Detail = "upstream-" + strconv.Itoa(q.failed)
	case o.disk:
		status, res = diskStatus(o, now), resultDisk
	case q.validated:
		status.ForwardStatus, status.Stored = http.StatusNotModified, o.generic.judged.Store
	default:
		status.Stored = o.generic.judged.Store
	}
	return res, false, p.respond(w, r, fetched{object: o, flight: f, status: status, first: true}, now)
}

const cacheName = "oxbow"

func freshStatus(o *object, now time.Time) httpcache.Status {
	return httpcache.Status{Cache: cacheName, TTL: o.policy.lifetime - o.ageAt(now)}
}

func diskStatus(o *object, now time.Time) httpcache.Status {
	s := freshStatus(o, now)
	s.Detail = "disk"
	return s
}

func forwardReason(at place) string {
	switch {
	case at.object != nil:
		return "stale"
	case at.partial:
		return "partial"
	case at.key != mediaKey(at.uri):
		return "vary-miss"
	}
	return "uri-miss"
}

func (p *Reverse) newFetch(w http.ResponseWriter, r *http.Request, at place) *fetch {
	q := &fetch{
		at: at, header: p.upstreamHeader(r), authorized: len(r.Header["Authorization"]) > 0,
		interim: newInterim(w, r),
		single:  make(chan *http.Response), done: make(chan struct{}),
	}
	for _, name := range []string{"Range", "If-Range", "If-None-Match", "If-Modified-Since"} {
		delete(q.header, name) // the whole is fetched, for all
	}
	if at.ranged != "" { // or, of what is not there, the range
		q.header["Range"] = []string{at.ranged}
	}
	return q
}

// take joins the place's flight or launches one, detached from the request that happened to be first.
func (p *Reverse) take(ctx context.Context, q *fetch, alone bool) (*flight, bool, *object, error) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	k := q.at.key
	if q.at.ranged != "" {
		k = mediaKey(k.path + "\n" + q.at.ranged)
	}
	if alone {
		k = mediaKey(k.path + "\n+" + strconv.FormatUint(p.generations.Add(1), 36))
	}
	f, made, o, err := p.flights.take(k, 0, plan{}, cancel, p.config.Linger, func() *object {
		if o := p.cache.get(q.at.key); o != nil && !o.generic.sign && o.freshAt(time.Now()) {
			return o
		}
		return nil
	})
	if !made {
		cancel(nil)
		return f, made, o, err
	}
	q.change = p.changes.begin(q.at.uri)
	p.running.Go(func() {
		defer cancel(nil)
		defer p.changes.end(q.at.uri, q.change)
		defer p.flights.land(f)
		p.fly(ctx, f, q)
	})
	return f, made, nil, nil
}

// refresh fetches a stale object anew for nobody in particular.
func (p *Reverse) refresh(r *http.Request, at place) {
	q := p.newFetch(nil, r, at)
	close(q.done)
	if f, _, _, err := p.take(r.Context(), q, false); err == nil && f != nil {
		f.leave()
	}
}

// fly brings the flight to its end, and its object into the cache before that.
func (p *Reverse) fly(ctx context.Context, f *flight, q *fetch) {
	old := q.at.object
	if p.onDisk(q.at) && q.at.ranged == "" {
		if old = p.load(ctx, q); old != nil && old.freshAt(time.Now()) {
			f.finish(old)
			return
		}
		q.at.object = old
	}
	resp, err := p.ask(ctx, q, old)
	now := time.Now()
	if err == nil && resp.StatusCode == http.StatusNotModified && old != nil {
		_ = resp.Body.Close()
		if names(resp.Header, old) {
			q.validated = true
			o := old.freshened(resp.Header, q.authorized, now)
			if !p.keep(q.at.uri, o, q.change) {
				p.cache.remove(q.at.key)
				p.dropDisk(q.at.uri)
			}
			p.metrics.validations.Inc()
			f.finish(o)
			return
		}
		resp, err = p.ask(ctx, q, nil) // it spoke of something else
	}
	answered := err == nil
	if (!answered || resp.StatusCode >= 500) && p.mayStandIn(old, answered, now) {
		q.failed = http.StatusBadGateway
		if answered {
			q.failed = resp.StatusCode
			_ = resp.Body.Close()
		}
		f.finish(old)
		return
	}
	if err != nil {
		f.fail(err)
		return
	}
	p.receive(f, q, resp, now)
}

// names says whether a 304 speaks of the object (RFC 9111 section 4.3.4).
func names(h http.Header, o *object) bool {
	etag := h.Get("Etag")
	return !httpcache.Strong(etag) || etag == o.etag
}

// receive reads an answer's body into the flight, or hands it over if it is not for sharing.
func (p *Reverse) receive(f *flight, q *fetch, resp *http.Response, now time.Time) {
	head := newGeneric(resp, q.header, q.authorized, now)
	if resp.StatusCode == http.StatusPartialContent {
		if head = p.newPart(q, resp, now); head == nil {
			p.handOver(f, q, resp)
			return
		}
	} else if p.single(q, head, resp) {
		if q.at.ranged == "" && resp.StatusCode < 500 { // a failure says nothing of the answers that there will be
			p.markSingle(q.at.uri, now)
		}
		p.handOver(f, q, resp)
		return
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or given up
	p.shelve(q.at.uri, head, now)
	f.begin(head)
	if err := pour(f, resp.Body, resp.ContentLength, p.config.MaxObjectBytes, true); err != nil {
		p.broken(f, q, err)
		return
	}
	o := f.whole(head, nil)
	if o.status == http.StatusPartialContent {
		p.keepPart(q, o)
	} else {
		p.keep(q.at.uri, o, q.change)
	}
	f.finish(o)
}

// single says that an answer is for the request that began the fetch, or is too large to hold.
func (p *Reverse) single(q *fetch, head *object, resp *http.Response) bool {
	// The end of such a body can't be told from a broken connection.
	endless := resp.ContentLength < 0 && resp.ProtoMajor == 1 && !slices.Contains(resp.TransferEncoding, "chunked")
	large := resp.ContentLength > p.config.MaxObjectBytes || resp.ContentLength < 0 && q.at.single // it may have been
	return !head.generic.judged.Store || endless || large || len(resp.Trailer) > 0
}

// handOver gives the answer to the request that began the fetch, and waits until that has it.
func (p *Reverse) handOver(f *flight, q *fetch, resp *http.Response) {
	f.fail(errSingle)
	p.flights.land(f) // it takes no place while its body goes to one
	select {
	case q.single <- resp:
		<-q.done // its body is this fetch's
	case <-q.done:
		_ = resp.Body.Close()
	}
}

// broken ends a flight whose body did not come whole.
func (p *Reverse) broken(f *flight, q *fetch, err error) {
	if errors.Is(err, media.ErrTooLarge) {
		p.markSingle(q.at.uri, time.Now())
	} else if p.mayStandIn(q.at.object, false, time.Now()) && f.retract() {
		q.failed = http.StatusBadGateway
		f.finish(q.at.object)
		return
	}
	p.logger.Debug("upstream broke off", "uri", q.at.uri, "err", err)
	f.fail(err)
}
